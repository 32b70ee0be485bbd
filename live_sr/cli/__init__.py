"""The command line. Parses, and imports a command's module only when that command runs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from live_sr import __version__
from live_sr.cli import files, keeping, measuring, playing
from live_sr.errors import LiveSRError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Failures that we name are printed as a sentence and a remedy."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a note is for now, also where the output goes to a file
    try:
        return int(arguments.command(arguments))
    except LiveSRError as error:
        print(f"live-sr: {error.message}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # what reads our output has seen enough
        sys.stdout = None
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live-sr", description="Neural super-resolution on a live game window.")
    parser.add_argument("--version", action="version", version=f"live-sr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    playing.add_to(commands)
    files.add_to(commands)
    measuring.add_to(commands)
    keeping.add_to(commands)
    return parser
