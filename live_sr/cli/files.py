"""The command that works on files: upscale."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import typed
from live_sr.cli.settings import PRECISIONS

if TYPE_CHECKING:
    from live_sr.cli.settings import Commands
    from live_sr.upscale.options import UpscaleOptions


def add_to(commands: Commands) -> None:
    _flags(commands.add_parser("upscale", help="make pictures, videos and folders of them larger"))


def _flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("inputs", type=Path, nargs="+", metavar="INPUT", help="pictures, videos, folders of them")
    flag("-o", "--output", type=Path, required=True, metavar="OUT", help="a file for one input, else a folder")
    flag("--model", default="fast", metavar="NAME", help="a network, a filter, a model file, or a chain: a+b (fast)")
    how_large = parser.add_mutually_exclusive_group()
    how_large.add_argument("--scale", type=_factor, metavar="N", help="so many times wider and higher (the model's)")
    how_large.add_argument("--size", type=typed.size, metavar="WxH", help="exactly so many pixels")
    how_large.add_argument("--to", metavar="1080p", help="as large as fits: 1080p, 1440p, 4k")
    flag("--engine", default="auto", metavar="NAME", help="the engine for networks (the best that runs here)")
    flag("--precision", default="auto", choices=PRECISIONS, help="auto: the fastest that is safe")
    flag(
        "--tile", type=typed.tile, default=0, metavar="auto|off|PIXELS", help="split pictures that are too large (auto)"
    )
    flag("--overwrite", action="store_true", help="replace files that are there")

    video = parser.add_argument_group("videos", "sound, subtitles and all else are copied as they are")
    flag = video.add_argument
    flag(
        "--codec", default="libx264", metavar="NAME", help="libx264, libx265, libsvtav1, ffv1, or auto: try the card's"
    )
    flag("--quality", type=float, metavar="N", help="as the codec counts it, less is better (libx264: crf 16)")
    flag("--preset", default="", metavar="NAME", help="the codec's trade of time for size (libx264: medium)")
    flag("--allow-8bit", action="store_true", help="make 8 bits a channel of a video that has more")
    flag("--segment", type=typed.seconds, default=5.0, metavar="SECONDS", help="done for good at a time (5)")
    flag("--preview", type=Path, metavar="FILE.png", help="a thumbnail of where it is, every few seconds")
    flag("--resume", action="store_true", help="go on where an interrupted command was")
    flag("--discard", action="store_true", help="throw away what an interrupted command left, and begin again")
    flag("--ray", nargs="?", const="", metavar="ADDRESS", help="on the machines of a Ray cluster, or one made here")
    flag("--workers", type=typed.number, default=0, metavar="N", help="of the cluster made here")
    parser.set_defaults(command=_upscale)


def _upscale(a: argparse.Namespace) -> int:
    from live_sr import upscale

    return upscale.main(options(a))


def options(a: argparse.Namespace) -> UpscaleOptions:
    """What the flags of `upscale` say. Raises UsageError."""
    from live_sr import backends
    from live_sr.assembly import EngineOptions
    from live_sr.upscale.options import Encoding, UpscaleOptions, Work, lines

    engine = EngineOptions(a.engine, a.precision, cache=backends.cache_folder())
    return UpscaleOptions(
        inputs=tuple(a.inputs),
        output=a.output,
        work=Work(a.model, a.scale, a.size, None if a.to is None else lines(a.to), engine, a.tile),
        encoding=Encoding(a.codec, a.quality, a.preset, a.allow_8bit, a.segment),
        preview=a.preview,
        resume=a.resume,
        discard=a.discard,
        overwrite=a.overwrite,
        ray=a.ray,
        workers=a.workers,
    )


def _factor(text: str) -> int:
    if text.lstrip("x") not in ("1", "2", "3", "4", "8"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a scale; one of 1, 2, 3, 4, 8')
    return int(text.lstrip("x"))
