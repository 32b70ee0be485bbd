"""What several commands share: the settings file, what flags change of it, and the flags themselves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_sr import typed
from live_sr.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def config_path(given: Path | None) -> Path | None:
    from live_sr import backends, config

    if given is not None and not given.is_file():
        raise UsageError(f"there is no settings file {given}", "correct --config, or leave it out for the defaults")
    return given or config.find((Path.cwd(), backends.config_folder()))


def overrides(a: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the flags change, in the shape of config.toml."""
    flags = {
        "model": {"name": a.model, "scale": a.scale, "chain": [] if a.model else None},
        "engine": {"backend": a.engine, "precision": a.precision},
        "capture": {"backend": getattr(a, "capture", None)},
        "overlay": {"mode": a.mode},
        "hud": {"level": a.hud},
    }
    given = {s: {k: v for k, v in values.items() if v is not None} for s, values in flags.items()}
    return {section: values for section, values in given.items() if values}


def subject_flags(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    what.add_argument("--pid", type=int, help="the window of this process")
    what.add_argument("--region", type=typed.region, metavar="X,Y,W,H", help="a part of the desktop, in pixels")
    what.add_argument("--monitor", type=int, metavar="N", help="a whole monitor, counted from 1")


def picture_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a network, a filter, a model file, or a+b")
    parser.add_argument("--scale", type=typed.scale, metavar="N|fit", help="2, 3, 4, or fit")
    parser.add_argument("--engine", metavar="NAME", help="openvino or filters")
    parser.add_argument("--precision", choices=PRECISIONS, help="auto: the fastest that is safe")
    parser.add_argument("--mode", choices=("cover", "beside"), help="over the game, or a window of its own")
    parser.add_argument("--hud", choices=("off", "line", "detail"), help="how much the HUD shows")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")
