"""Compile the native engine beside its source, for this checkout or for a wheel (CONTRIBUTING.md).

    python -m tools.build_native

Without it, live-sr compiles it into the user's cache folder when it first needs it.
"""

import sys

from live_sr.engines.native import library
from live_sr.errors import EngineError


def main() -> int:
    try:
        print(f"native engine: {library.build_beside_source()}")
    except EngineError as error:
        print(f"native engine: {error.message} ({error.remedy}); OpenVINO is used instead")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
