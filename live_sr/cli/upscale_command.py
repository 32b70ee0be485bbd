"""The commands that upscale files and streams: upscale, gstreamer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import PRECISIONS, add_config_flag, load_settings, make_overrides

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands
    from live_sr.upscale.options import UpscaleOptions


def add_commands(commands: Commands) -> None:
    _add_flags(commands.add_parser("upscale", help="upscale pictures, videos and folders of them"))
    gstreamer = commands.add_parser("gstreamer", help="add the element livesrupscale to GStreamer, or remove it")
    gstreamer.add_argument("action", choices=("install", "remove"), help="for this user, with this installation")
    gstreamer.set_defaults(command=_run_gstreamer)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("inputs", type=Path, nargs="+", metavar="INPUT", help="pictures, videos, folders of them")
    flag("-o", "--output", type=Path, required=True, metavar="OUT", help="a file for one input, otherwise a folder")
    flag("--model", metavar="NAME", help="a network, a filter, a model file, or a chain: a+b (as in the settings)")
    how_large = parser.add_mutually_exclusive_group()
    how_large.add_argument(
        "--scale", type=_parse_factor, metavar="N", help="how many times larger (the model's smallest)"
    )
    how_large.add_argument("--size", type=argument_types.parse_size, metavar="WxH", help="the exact size in pixels")
    how_large.add_argument("--to", metavar="1080p", help="as large as fits: 1080p, 1440p, 4k")
    flag("--engine", metavar="NAME", help="the engine for networks (as in the settings)")
    flag("--precision", choices=PRECISIONS, help="auto: the fastest that is safe (as in the settings)")
    flag(
        "--tile",
        type=argument_types.parse_tile,
        default=0,
        metavar="auto|off|PIXELS",
        help="split pictures that are too large (auto)",
    )
    flag("--overwrite", action="store_true", help="replace existing files")
    add_config_flag(parser)

    video = parser.add_argument_group("videos", "sound, subtitles and everything else are copied unchanged")
    flag = video.add_argument
    flag(
        "--codec",
        default="libx264",
        metavar="NAME",
        help="libx264, libx265, libsvtav1, ffv1, or auto: the GPU's if it works",
    )
    flag("--quality", type=float, metavar="N", help="in the codec's own scale, lower is better (libx264: crf 16)")
    flag("--preset", default="", metavar="NAME", help="the codec's trade-off of time and size (libx264: veryfast)")
    flag("--allow-8bit", action="store_true", help="accept that a video with more than 8 bits a channel becomes 8-bit")
    flag(
        "--segment",
        type=argument_types.parse_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how much is finished, and can be resumed, at a time (5)",
    )
    flag("--preview", type=Path, metavar="FILE.png", help="write a thumbnail of the progress every few seconds")
    flag("--resume", action="store_true", help="go on where an interrupted command stopped")
    flag("--discard", action="store_true", help="delete what an interrupted command left, and begin again")
    flag("--ray", action="store_true", help="spread a video over a Ray cluster that is started on this machine")
    flag("--ray-address", metavar="ADDRESS", help="the same over the cluster at this address")
    flag(
        "--workers", type=argument_types.parse_count, default=0, metavar="N", help="workers of the cluster started here"
    )
    parser.set_defaults(command=_run_upscale)


def _run_upscale(a: argparse.Namespace) -> int:
    from live_sr import upscale

    return upscale.main(make_options(a))


def make_options(a: argparse.Namespace) -> UpscaleOptions:
    """The options that the flags and settings give. Raises UsageError, ModelError or MissingPart."""
    from live_sr.engines.options import EngineOptions
    from live_sr.models.resolve import resolve
    from live_sr.upscale.options import EncodingOptions, ScalingOptions, UpscaleOptions, parse_target_lines

    settings = load_settings(a, make_overrides(model=a.model, engine=a.engine, precision=a.precision))
    engine = EngineOptions.from_settings(settings)
    model = resolve(settings.model.name, cache=engine.cache)
    return UpscaleOptions(
        inputs=tuple(a.inputs),
        output=a.output,
        scaling=ScalingOptions(
            model, a.scale, a.size, None if a.to is None else parse_target_lines(a.to), engine, a.tile
        ),
        encoding=EncodingOptions(a.codec, a.quality, a.preset, a.allow_8bit, a.segment),
        preview=a.preview,
        resume=a.resume,
        discard=a.discard,
        overwrite=a.overwrite,
        ray="" if a.ray and a.ray_address is None else a.ray_address,
        workers=a.workers,
    )


def _parse_factor(text: str) -> int:
    if text.lstrip("x") not in ("1", "2", "3", "4", "8"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a scale; give 1, 2, 3, 4 or 8')
    return int(text.lstrip("x"))


def _run_gstreamer(a: argparse.Namespace) -> int:
    from live_sr.upscale.gstreamer import plugin

    return plugin.install() if a.action == "install" else plugin.remove()
