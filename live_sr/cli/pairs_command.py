"""The command that makes pairs of frames to train on: pairs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import HelpWithDefaults
from live_sr.errors import UsageError
from live_sr.pipeline.frame import Size
from live_sr.training.pairs import options
from live_sr.training.pairs.options import FORMATS, KINDS

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands

ENGINE_SIZES = "480x270,640x360,320x200,320x240,400x300"

DESCRIPTION = """\
Make pairs of frames to train on: small ones as a game draws them, and large ones of the same instants.

  live-sr pairs folder frames/mygame --out pairs/mygame          what `live-sr record` saved, shrunk
  live-sr pairs video play.mp4 --every 30 --out pairs/mygame     the same of a video
  live-sr pairs video play.mp4 --scenes --out pairs/mygame       one frame of each of its scenes
  live-sr pairs videos 480p.mp4 1080p.mp4 --out pairs/mygame     two versions of a video, aligned
  live-sr pairs two small/ large/ --out pairs/mygame             drawn at two sizes already; checked
  live-sr pairs paused --window "My Game" --out pairs/mygame     a paused game, captured in two sizes of its window
  live-sr pairs doom --maps e1m1 map05 --out pairs/doom          drawn by the game, twice
  live-sr pairs openarena match.dm_71 --out pairs/openarena
  live-sr pairs engine three --out pairs/three                   scenes of a game engine, drawn twice
  live-sr pairs engines                                          which engines there are
  live-sr pairs engines --out pairs                              drawn by all that are installed
  live-sr pairs degrade shot.png --kind stream --out small       only the small pictures

Writes OUT/lr, OUT/hr (lossless, the same file name for the same instant: PLACE_NUMBER) and OUT/manifest.csv. Pairs that
are not aligned are left out, and the reason is printed."""


ENGINES = """\
Print the game engines, or the scenes of those that are named. With --out, draw with them instead.

  live-sr pairs engines                        the engines, with the licences of what they draw
  live-sr pairs engines three                  its scenes
  live-sr pairs engines --out pairs            all scenes of all engines that are installed
  live-sr train --data pairs/train.toml ...    trains on them

Pairs go to DIR/train/ENGINE, those of engines that are only tested on to DIR/test/ENGINE. DIR/train.toml lists every
folder of DIR/train, with a weight that you may change. An engine that is not installed is named and passed over; scenes
that are drawn already are not drawn again."""


def add_commands(commands: Commands) -> None:
    parser = commands.add_parser(
        "pairs",
        help="make pairs of small and large frames to train on",
        description=DESCRIPTION,
        formatter_class=HelpWithDefaults,
    )
    sources = parser.add_subparsers(required=True, metavar="SOURCE")
    _folder_flags(_add_source(sources, "folder", "pictures of a folder, shrunk"))
    _video_flags(_add_source(sources, "video", "frames of a video, shrunk; without stills and fades"))
    _videos_flags(
        _add_source(sources, "videos", "two versions of a video, aligned in time and place; without stills and fades")
    )
    _two_flags(_add_source(sources, "two", "the same instants drawn at two sizes, under the same names"))
    _paused_flags(sources)
    _doom_flags(
        _add_source(
            sources, "doom", "dsda-doom, playing demos or walking about (needs DISPLAY)", "Freedoom (dsda-doom, OpenGL)"
        )
    )
    _openarena_flags(
        _add_source(sources, "openarena", "OpenArena, playing demos or bot matches (needs DISPLAY)", "OpenArena")
    )
    _engine_flags(sources)
    _degrade_flags(sources)


def _add_source(sources: Commands, name: str, help_text: str, game: str = "") -> argparse.ArgumentParser:
    parser = sources.add_parser(name, help=help_text, description=help_text, formatter_class=HelpWithDefaults)
    defaults = options.PairsOptions
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder of the pairs")
    flag("--game", default=game, help="its name, for the manifest")
    flag("--licence", default=defaults.licence, help="of the pictures, for the manifest")
    flag("--format", choices=FORMATS, default=defaults.format, help="webp is smaller and slower to write")
    flag(
        "--never", type=Path, nargs="+", default=[], metavar="PAIRS", help="folders of pairs whose places to leave out"
    )
    flag("--seed", type=int, default=defaults.seed, help="of everything random")
    return parser


def _shrinking_flags(parser: argparse.ArgumentParser) -> None:
    defaults = options.Shrinking
    parser.add_argument(
        "--kind", choices=(*KINDS, "mixture"), default=defaults.kind, help="how a large frame is made small"
    )
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=defaults.scale, help="how many times smaller")


def _choice_flags(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--every",
        type=argument_types.parse_positive_integer,
        default=options.FrameChoice.every,
        help="frames from one to the next",
    )
    choice.add_argument("--scenes", action="store_true", help="instead, one frame of each scene")


def _rendering_flags(parser: argparse.ArgumentParser, first: int, every: int, frames: int) -> None:
    flag = parser.add_argument
    flag("--small", type=argument_types.parse_size, default=Size(480, 270), metavar="WxH", help="what the game draws")
    flag("--large", type=argument_types.parse_size, default=Size(1920, 1080), metavar="WxH", help="a multiple of that")
    flag("--first", type=argument_types.parse_integer, default=first, help="first frame to keep")
    flag("--every", type=argument_types.parse_positive_integer, default=every, help="frames from one to the next")
    flag("--frames", type=argument_types.parse_positive_integer, default=frames, help="most to keep of a demo")


def _folder_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("frames", type=Path, metavar="DIR", help="pictures, as large as you can get them")
    _shrinking_flags(parser)
    parser.set_defaults(command=lambda a: _make(a, options.FolderInput(a.frames, _read_shrinking(a))))


def _video_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="in the best quality there is")
    _choice_flags(parser)
    _shrinking_flags(parser)
    parser.set_defaults(command=lambda a: _make(a, options.VideoInput(a.file, _read_choice(a), _read_shrinking(a))))


def _videos_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("small_video", type=Path, metavar="SMALL", help="as a player would see it")
    parser.add_argument("large_video", type=Path, metavar="LARGE", help="at least twice as large")
    _choice_flags(parser)
    parser.set_defaults(
        command=lambda a: _make(a, options.VideoPairInput(a.small_video, a.large_video, _read_choice(a)))
    )


def _two_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("small_frames", type=Path, metavar="DIR_LR")
    parser.add_argument("large_frames", type=Path, metavar="DIR_HR")
    parser.set_defaults(command=lambda a: _make(a, options.FolderPairInput(a.small_frames, a.large_frames)))


def _paused_flags(sources: Commands) -> None:
    what = "a game that stands still, captured small, and large in a larger window; press Enter for each pair"
    parser = _add_source(sources, "paused", what)
    window = parser.add_mutually_exclusive_group()
    window.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    window.add_argument("--pid", type=int, help="the window of this process")
    times = options.PausedInput.scale
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=times, help="how many times larger it becomes")
    parser.set_defaults(command=_paused)


def _doom_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("demos", type=Path, nargs="*", metavar="DEMO.lmp", help="recorded input of a player")
    flag("--maps", nargs="+", default=[], metavar="MAP", help="walk about in these: e1m1 ..., map01 ...")
    flag("--wads", type=Path, default=Path("/usr/share/games/doom"), help="folder of freedoom1.wad and freedoom2.wad")
    flag("--wad", default="freedoom1.wad", help="the levels that the demos were recorded in")
    flag("--gamma", type=int, choices=range(5), default=0, help="the game's own brightness")
    _rendering_flags(parser, first=35, every=35, frames=12)
    parser.set_defaults(command=_doom)


def _openarena_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("demos", type=Path, nargs="*", metavar="DEMO.dm_71")
    flag("--match", nargs="+", default=[], metavar="MAP", help="let bots fight there, and record them")
    _rendering_flags(parser, first=4, every=3, frames=6)
    parser.set_defaults(command=_openarena)


def _engine_flags(sources: Commands) -> None:
    what = "scenes of a game engine, drawn at two sizes without a screen"
    parser = _add_source(sources, "engine", what)
    flag = parser.add_argument
    flag("engine", metavar="ENGINE", help="see `live-sr pairs engines`")
    flag("scenes", nargs="*", metavar="SCENE", help="some of its scenes (default: all)")
    _scene_flags(parser)
    parser.set_defaults(command=_engine)
    what = "print the game engines or the scenes of some; with --out, draw with them, and list what to train on"
    parser = sources.add_parser("engines", help=what, description=ENGINES, formatter_class=HelpWithDefaults)
    flag = parser.add_argument
    flag("engines", nargs="*", metavar="ENGINE", help="some of them (default: all)")
    flag("--out", type=Path, metavar="DIR", help="draw what is missing in DIR/train and DIR/test")
    flag("--format", choices=FORMATS, default=options.MixtureOptions.format, help="webp is smaller and slower to write")
    flag("--seed", type=int, default=options.MixtureOptions.seed, help="of everything random")
    _scene_flags(parser)
    parser.set_defaults(command=_engines)


def _scene_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag(
        "--sizes", type=argument_types.parse_sizes, default=ENGINE_SIZES, metavar="WxH,...", help="each scene takes one"
    )
    flag("--frames", type=argument_types.parse_positive_integer, help="most to keep of a scene")


def _degrade_flags(sources: Commands) -> None:
    what = "only make pictures small, as a video or a stream would"
    parser = sources.add_parser("degrade", help=what, description=what, formatter_class=HelpWithDefaults)
    defaults = options.DegradeOptions
    flag = parser.add_argument
    flag("frames", type=Path, metavar="FRAMES", help="a picture or a folder of pictures")
    flag("--out", type=Path, required=True, help="folder for the results")
    flag("--kind", choices=KINDS, default=defaults.kind, help="what happens to them")
    flag("--scale", type=int, choices=(1, 2, 3, 4), default=defaults.scale, help="how many times smaller they become")
    flag("--seed", type=int, default=defaults.seed, help="another seed, another result of the random kinds")
    flag("--format", choices=FORMATS, default=defaults.format, help="webp is smaller and slower to write")
    parser.set_defaults(command=_degrade)


def _doom(a: argparse.Namespace) -> int:
    if not a.demos and not a.maps:
        raise UsageError("there is nothing to draw", "name demos, or --maps")
    source = options.DoomInput(tuple(a.demos), tuple(a.maps), a.wads, a.wad, a.gamma, _read_rendering(a))
    return _make(a, source)


def _openarena(a: argparse.Namespace) -> int:
    if not a.demos and not a.match:
        raise UsageError("there is nothing to draw", "name demos, or --match")
    return _make(a, options.OpenArenaInput(tuple(a.demos), tuple(a.match), _read_rendering(a)))


def _paused(a: argparse.Namespace) -> int:
    from live_sr.training.pairs import paused_session

    return paused_session.run(options.PausedInput(a.window, a.pid, a.scale), _read_target(a))


def _engine(a: argparse.Namespace) -> int:
    from live_sr.training.pairs.renderers import find_engine

    a.game, a.licence = a.game or a.engine, a.licence or find_engine(a.engine).licence
    return _make(a, options.EngineInput(a.engine, tuple(a.scenes), a.sizes, a.frames))


def _engines(a: argparse.Namespace) -> int:
    from live_sr.training.pairs import mixture, renderers

    if a.out is not None:
        return mixture.run(options.MixtureOptions(a.out, tuple(a.engines), a.sizes, a.frames, a.format, a.seed))
    return renderers.print_scenes(a.engines) if a.engines else renderers.print_engines()


def _degrade(a: argparse.Namespace) -> int:
    from live_sr.training.pairs import degrade

    return degrade.run(options.DegradeOptions(a.frames, a.out, a.kind, a.scale, a.seed, a.format))


def _make(a: argparse.Namespace, source: options.PairInput) -> int:
    from live_sr.training.pairs import command

    return command.run(source, _read_target(a))


def _read_target(a: argparse.Namespace) -> options.PairsOptions:
    return options.PairsOptions(a.out, a.game, a.licence, a.format, tuple(a.never), a.seed)


def _read_shrinking(a: argparse.Namespace) -> options.Shrinking:
    return options.Shrinking(a.kind, a.scale)


def _read_choice(a: argparse.Namespace) -> options.FrameChoice:
    return options.FrameChoice(a.every, a.scenes)


def _read_rendering(a: argparse.Namespace) -> options.Rendering:
    """Raises UsageError where the large size is no multiple of the small one."""
    times = a.large.width // a.small.width
    if times < 2 or (a.small.width * times, a.small.height * times) != a.large:
        raise UsageError(f"{a.large} is no multiple of {a.small}", "--large must be --small times 2, 3, 4 ...")
    return options.Rendering(a.small, a.large, a.first, a.every, a.frames)
