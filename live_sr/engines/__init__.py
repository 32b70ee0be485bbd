"""What makes a small picture large: one file for each runtime, and the engines made of other engines."""

import sys

# OpenVINO's Python package leaves an identifier in the player's home and is ready to send statistics of its use, unless
# its telemetry cannot be imported: then it goes without. None means just that.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
