"""The command that works on files: upscale."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from live_sr.upscale import flags

if TYPE_CHECKING:
    from live_sr.cli.settings import Commands


def add_to(commands: Commands) -> None:
    parser = commands.add_parser("upscale", help="make pictures, videos and folders of them larger")
    flags.add(parser)
    parser.set_defaults(command=_upscale)


def _upscale(a: argparse.Namespace) -> int:
    from live_sr import upscale

    return upscale.main(flags.options(a))
