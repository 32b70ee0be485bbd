"""Make pairs of frames to train on: small ones as a game draws them, and large ones of the same instants.

    python tools/make_pairs.py folder frames/mygame --out pairs/mygame          what `live-sr record` saved, shrunk
    python tools/make_pairs.py video play.mp4 --every 30 --out pairs/mygame     the same of a video
    python tools/make_pairs.py video play.mp4 --scenes --out pairs/mygame       one frame of each of its scenes
    python tools/make_pairs.py videos 480p.mp4 1080p.mp4 --out pairs/mygame     two versions of a video, found to fit
    python tools/make_pairs.py two small/ large/ --out pairs/mygame             drawn at two sizes already: checked
    python tools/make_pairs.py doom --maps e1m1 map05 --out pairs/doom          drawn by the game, twice
    python tools/make_pairs.py openarena match.dm_71 --out pairs/openarena

Writes OUT/lr, OUT/hr (lossless, the same file name for the same instant: PLACE_NUMBER) and OUT/manifest.csv. A pair
that is not aligned is left out and told. Split by place, never by frame, as frames of one map share their walls:
tools/train.py holds out one place in ten by itself, and --never names pairs to test with, whose places are not made.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from aligned import Origin, Pairs, named
from clips import Scenes, Sieve, place_at, video_frames
from degrade import FORMATS, KINDS, MIXTURE, cropped, degraded, pictures_in, read, seed_of
from record_clip import CannotRecord
from renders import Doom, Frames, OpenArena, screen_is_there
from together import both, matched

from live_sr.degradation import Picture
from live_sr.errors import LiveSRError

Take = Callable[[argparse.Namespace, Pairs, Origin], None]


def add_shrunk(pairs: Pairs, name: str, frame: Picture, source: str, origin: Origin, args: argparse.Namespace) -> None:
    """The frame and what is made of it by --kind; a mixture draws one kind for each frame."""
    seed = seed_of(name, args.seed)
    drawn = str(np.random.default_rng(seed).choice(list(MIXTURE), p=list(MIXTURE.values())))
    kind = drawn if args.kind == "mixture" else args.kind
    large = cropped(frame, args.scale)
    pairs.add(name, degraded(large, args.scale, kind, seed), large, kind, source, origin)


def folder(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    for path in pictures_in(args.frames):
        add_shrunk(pairs, named(path.stem), read(path), path.name, origin, args)


def two(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    small, large = (
        {path.stem: path for path in pictures_in(place)} for place in (args.small_frames, args.large_frames)
    )
    for stem in sorted(small.keys() ^ large.keys()):
        pairs.left_out.append(f"{stem}: only one of the folders has it")
    for stem in sorted(small.keys() & large.keys()):
        ours, theirs = read(small[stem]), read(large[stem])
        if not whole_multiple(ours, theirs):
            pairs.left_out.append(f"{stem}: {size_of(theirs)} is no whole multiple of {size_of(ours)}")
            continue
        pairs.add(named(stem), ours, theirs, "render", small[stem].name, origin)


def size_of(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def whole_multiple(small: Picture, large: Picture) -> bool:
    times = large.shape[0] // small.shape[0]
    return times > 0 and large.shape[:2] == (small.shape[0] * times, small.shape[1] * times)


# Videos


def wanted_by(args: argparse.Namespace) -> Callable[[int, Picture], bool]:
    """Which frames are to be kept if they teach something: to be asked of every frame in turn."""
    if args.scenes:
        scenes = Scenes()
        return lambda number, frame: scenes.wanted(frame)
    return lambda number, frame: number % args.every == 0


def video(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    sieve, wanted = Sieve(), wanted_by(args)
    for number, (seconds, frame) in enumerate(video_frames(args.file)):
        if sieve.passes(frame, wanted(number, frame)):
            name = f"{place_at(args.file, seconds)}_{number:06}"
            add_shrunk(pairs, name, frame, args.file.name, origin, args)


def videos(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    match = matched(args.small_video, args.large_video)
    print(f"{args.small_video.name} on {args.large_video.name}: {match}")
    sieve, wanted = Sieve(), wanted_by(args)
    alone = 0
    for one in both(match):
        if not sieve.passes(one.small, wanted(one.number, one.small)):
            continue
        if one.large is None:
            alone += 1
            continue
        name = f"{place_at(args.small_video, one.seconds)}_{one.number:06}"
        pairs.add(name, match.cut.small(one.small), match.cut.large(one.large), "video", args.small_video.name, origin)
    if alone:
        pairs.left_out.append(f"{alone} frames of which {args.large_video.name} has none of the same instant")


# Games


def add_rendered(
    pairs: Pairs, place: str, draw: Callable[[tuple[int, int]], Frames], args: argparse.Namespace, origin: Origin
) -> None:
    """Two runs of the game over the same input: the small frames are kept until the large ones come."""
    if not pairs.allowed(place):
        return
    small = dict(draw(args.small))
    for number, large in draw(args.large):
        if number in small:
            pairs.add(f"{place}_{number:05}", small[number], large, "render", place, origin)


def doom(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    screen_is_there()
    game = Doom(args.wads, args.first, args.every, args.frames, args.gamma)
    for demo in args.demos:
        add_rendered(pairs, demo.stem, partial(game.demo, demo, args.wad), args, origin)
    for level in args.maps:
        place = game.place(level)
        add_rendered(pairs, place, partial(game.walk, level, args.seed), args, origin)


def openarena(args: argparse.Namespace, pairs: Pairs, origin: Origin) -> None:
    screen_is_there()
    with OpenArena(args.first, args.every, args.frames) as game:
        demos = [*args.demos, *(game.match(level) for level in args.match if pairs.allowed(f"auto_{level}"))]
        for demo in demos:
            add_rendered(pairs, demo.stem, partial(game.demo, demo), args, origin)


# The command line


def size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    return int(found[1]), int(found[2])


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 on')
    return int(text)


def arguments() -> argparse.Namespace:
    shape = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=shape)
    commands = parser.add_subparsers(required=True, metavar="SOURCE")

    def source(take: Take, told: str, game: str = "") -> argparse.ArgumentParser:
        one = commands.add_parser(take.__name__, help=told, description=told, formatter_class=shape)
        one.set_defaults(take=take)
        one.add_argument("--out", type=Path, required=True, help="folder of the pairs")
        one.add_argument("--game", default=game, help="its name, for the manifest")
        one.add_argument("--licence", default="", help="of the pictures, for the manifest")
        one.add_argument("--format", choices=FORMATS, default="png", help="webp is smaller and slower to write")
        one.add_argument("--never", type=Path, nargs="+", default=[], metavar="PAIRS", help="not the places of these")
        one.add_argument("--seed", type=int, default=1, help="of everything random")
        return one

    def shrinking(one: argparse.ArgumentParser) -> None:
        one.add_argument("--kind", choices=(*KINDS, "mixture"), default="point", help="how a large frame gets small")
        one.add_argument("--scale", type=int, choices=(2, 3, 4), default=4, help="how many times smaller")

    def picking(one: argparse.ArgumentParser) -> None:
        choice = one.add_mutually_exclusive_group()
        choice.add_argument("--every", type=positive, default=30, help="frames from one to the next")
        choice.add_argument("--scenes", action="store_true", help="instead, one frame of each scene")

    def drawing(one: argparse.ArgumentParser, first: int, every: int, frames: int) -> None:
        one.add_argument("--small", type=size, default=(480, 270), metavar="WxH", help="what the game draws")
        one.add_argument("--large", type=size, default=(1920, 1080), metavar="WxH", help="a multiple of that")
        one.add_argument("--first", type=int, default=first, help="first frame to keep")
        one.add_argument("--every", type=positive, default=every, help="frames from one to the next")
        one.add_argument("--frames", type=positive, default=frames, help="most to keep of a demo")

    one = source(folder, "pictures of a folder, shrunk")
    one.add_argument("frames", type=Path, metavar="DIR", help="pictures, as large as they can be had")
    shrinking(one)
    one = source(video, "frames of a video, shrunk; without stills and fades")
    one.add_argument("file", type=Path, metavar="FILE", help="in the best quality there is")
    picking(one)
    shrinking(one)
    one = source(videos, "two versions of a video, aligned in time and place; without stills and fades")
    one.add_argument("small_video", type=Path, metavar="SMALL", help="as a player would see it")
    one.add_argument("large_video", type=Path, metavar="LARGE", help="at least twice as large")
    picking(one)
    one = source(two, "the same instants drawn at two sizes, under the same names")
    one.add_argument("small_frames", type=Path, metavar="DIR_LR")
    one.add_argument("large_frames", type=Path, metavar="DIR_HR")
    one = source(doom, "dsda-doom, playing demos or walking about (needs DISPLAY)", "Freedoom (dsda-doom, OpenGL)")
    one.add_argument("demos", type=Path, nargs="*", metavar="DEMO.lmp", help="recorded input of a player")
    one.add_argument("--maps", nargs="+", default=[], metavar="MAP", help="walk about in these: e1m1 ..., map01 ...")
    one.add_argument("--wads", type=Path, default=Path("/usr/share/games/doom"), help="folder of freedoom1.wad, 2")
    one.add_argument("--wad", default="freedoom1.wad", help="the levels that the demos are of")
    one.add_argument("--gamma", type=int, default=0, help="the game's own brightness, 0 to 4")
    drawing(one, first=35, every=35, frames=12)
    one = source(openarena, "OpenArena, playing demos or bot matches (needs DISPLAY)", "OpenArena")
    one.add_argument("demos", type=Path, nargs="*", metavar="DEMO.dm_71")
    one.add_argument("--match", nargs="+", default=[], metavar="MAP", help="let bots fight there, and record them")
    drawing(one, first=6, every=6, frames=8)
    return checked(parser, parser.parse_args())


def checked(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    if args.take in (doom, openarena):
        times = args.large[0] // args.small[0] if args.small[0] else 0
        if times < 2 or (args.small[0] * times, args.small[1] * times) != args.large:
            parser.error("--large must be --small times 2, 3, 4 ...")
        if not args.demos and not (args.maps if args.take is doom else args.match):
            parser.error("name demos, or " + ("--maps" if args.take is doom else "--match"))
    return args


def main() -> int:
    args = arguments()
    try:
        with Pairs(args.out, args.format, args.never) as pairs:
            args.take(args, pairs, Origin(args.game or args.out.name, args.licence))
    except LiveSRError as error:
        print(f"make_pairs: {error.message}; {error.remedy}", file=sys.stderr)
        return error.exit_code
    except CannotRecord as error:
        print(f"make_pairs: {error}", file=sys.stderr)
        return 1
    for note in pairs.left_out:
        print(f"left out: {note}")
    print(
        f"{args.out}: {pairs.written} pairs written, {len(pairs.left_out)} left out, {len(pairs.places)} places in all"
    )
    if len(pairs.places) < 10:
        print("fewer than ten places: tools/train.py holds out one in ten of them to measure itself with")
    return 0 if pairs.written else 1


if __name__ == "__main__":
    sys.exit(main())
