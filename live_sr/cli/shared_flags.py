"""Flags that several commands share, and the settings that result from config.toml and the flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_sr.cli import argument_types
from live_sr.errors import UsageError

if TYPE_CHECKING:
    from live_sr.config import Flags, Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8", "fp8")
TRACK_FOLDER = "tracked"


class HelpWithDefaults(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a description, and puts the default behind each flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if action.help is None or default is None or default is False or default in ("", [], argparse.SUPPRESS):
            return action.help
        return f"{action.help} (%(default)s)"


def find_config(given: Path | None) -> Path | None:
    """The settings file: the given one, else config.toml in the working folder or in the user's. Raises UsageError."""
    from live_sr import config
    from live_sr.system import paths

    if given is not None and not given.is_file():
        raise UsageError(f"there is no settings file {given}", "correct --config, or leave it out for the defaults")
    return given or config.find((Path.cwd(), paths.get_config_folder()))


def load_settings(a: argparse.Namespace, flags: Flags | None = None) -> Settings:
    """The settings for a command without a game's window. Raises UsageError that lists all mistakes."""
    from live_sr import config

    return config.load(find_config(a.config), flags=flags)


def make_overrides(
    *,
    model: str | None = None,
    scale: int | str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    capture: str | None = None,
    mode: str | None = None,
    aspect: str | None = None,
    output_monitor: str | None = None,
    hud: str | None = None,
    sound: str | None = None,
    whole_frames: bool = False,
) -> Flags:
    """What the flags change, in the shape of config.toml. A flag that is not given, None, changes nothing."""
    flags: dict[str, dict[str, Any]] = {
        "model": {"name": model, "scale": scale, "chain": [] if model else None},
        "engine": {
            "backend": engine,
            "precision": precision,
            "changed_regions": False if whole_frames else None,
        },
        "capture": {"backend": capture},
        "overlay": {"mode": mode, "aspect": aspect, "monitor": output_monitor},
        "hud": {"level": hud},
        "recording": {"sound": sound},
    }
    given = {section: {k: v for k, v in values.items() if v is not None} for section, values in flags.items()}
    return {section: values for section, values in given.items() if values}


def add_config_flag(parser: argparse.ArgumentParser, *, of_action: bool = False) -> None:
    """Adds `--config`. of_action: to an action of a command that has the flag itself, so that both places work."""
    default = argparse.SUPPRESS if of_action else None  # a default here would overwrite the value given to the command
    parser.add_argument("--config", type=Path, metavar="FILE", default=default, help="settings (config.toml)")


def add_track_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--track` and `--track-to`: two flags, since one with an optional value would take the next word for it."""
    parser.add_argument("--track", action="store_true", help=f"keep what is measured in MLflow, in {TRACK_FOLDER}/")
    parser.add_argument(
        "--track-to", metavar="FOLDER|URI", help="the same in another folder, or on the server at http://..."
    )


def get_track_place(a: argparse.Namespace) -> str | None:
    """Where the flags of `add_track_flags` want it kept; None: nowhere."""
    if a.track_to is None and not a.track:
        return None
    return a.track_to or TRACK_FOLDER


def add_target_flags(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    what.add_argument("--pid", type=int, help="the window of this process")
    what.add_argument(
        "--region", type=argument_types.parse_region, metavar="X,Y,W,H", help="a part of the desktop, in pixels"
    )
    what.add_argument("--monitor", type=int, metavar="N", help="a whole monitor, counted from 1")


def add_picture_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a network, a filter, a model file, or a+b")
    parser.add_argument("--scale", type=argument_types.parse_scale, metavar="N|fit", help="2, 3, 4, or fit")
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="auto, tensorrt, rtx, cuda, webgpu, openvino-gpu, onnx-webgpu, native, openvino or filters",
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="auto: the fastest that is safe")
    parser.add_argument("--mode", choices=("cover", "beside"), help="over the game, or in a separate window")
    parser.add_argument("--aspect", metavar="W:H", help="shape of the picture, such as 4:3 for old games, or source")
    parser.add_argument("--output-monitor", metavar="N|NAME", help="the monitor to show the picture on (the game's)")
    parser.add_argument(
        "--whole-frames", action="store_true", help="upscale every frame as a whole, not only what has changed"
    )
    parser.add_argument("--hud", choices=("off", "line", "detail"), help="how much the HUD shows")
    add_config_flag(parser)


def get_picture_overrides(a: argparse.Namespace, *, capture: str | None = None, sound: str | None = None) -> Flags:
    """What the flags added by `add_picture_flags` change."""
    return make_overrides(
        model=a.model,
        scale=a.scale,
        engine=a.engine,
        precision=a.precision,
        capture=capture,
        mode=a.mode,
        aspect=a.aspect,
        output_monitor=a.output_monitor,
        hud=a.hud,
        sound=sound,
        whole_frames=a.whole_frames,
    )
