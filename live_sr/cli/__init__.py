"""The command line. Parses, and imports a command's module only when that command runs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from live_sr import __version__, terminal
from live_sr.cli import (
    live_commands,
    manage_commands,
    measure_commands,
    pairs_command,
    serve_command,
    training_commands,
    upscale_command,
)
from live_sr.errors import LiveSRError, reason
from live_sr.system import paths

log = logging.getLogger(__name__)

UNEXPECTED_REMEDY = "this is a mistake in live-sr: please report it with what the same command prints with --verbose"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. A failure is printed as a sentence and a remedy, never as a traceback."""
    paths.unset_empty_variables()
    terminal.set_up_streams()
    try:
        arguments = make_parser().parse_args(argv)
        with terminal.log_to_stderr(verbose=getattr(arguments, "verbose", False)):
            return _run(arguments)
    finally:
        terminal.flush_streams()


def _run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.command(arguments))
    except LiveSRError as error:
        log.debug("where the error below was raised:", exc_info=True)
        terminal.print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # no part of live-sr expected it
        log.debug("where the error below was raised:", exc_info=True)
        terminal.print_error(LiveSRError(f"unexpected error: {reason(error)}", UNEXPECTED_REMEDY))
        return LiveSRError.exit_code


class _Parser(argparse.ArgumentParser):
    """Of the program and, as argparse makes its sub-parsers of the same class, of each command and action."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            default=argparse.SUPPRESS,  # so that a command's parser does not take back what stood before the command
            help="also print what was chosen and why, engine builds, timings, and where an error was raised",
        )


def make_parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="live-sr", description="Neural super-resolution on a live game window."
    )
    parser.add_argument("--version", action="version", version=f"live-sr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    live_commands.add_commands(commands)
    upscale_command.add_commands(commands)
    serve_command.add_commands(commands)
    measure_commands.add_commands(commands)
    manage_commands.add_commands(commands)
    pairs_command.add_commands(commands)
    training_commands.add_commands(commands)
    return parser
