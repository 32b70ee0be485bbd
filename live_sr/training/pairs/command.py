"""`live-sr pairs`: pairs of frames to train on, small ones as a game draws them and large ones of the same instants.

Writes OUT/lr and OUT/hr (lossless, the same file name for the same instant: PLACE_NUMBER) and OUT/manifest.csv. A pair
that is not aligned is left out, and the reason printed. Frames of one map share their walls, so pairs are split by
place and never by frame: `live-sr train` holds out one place in ten, and --never names pairs to test with, whose places
are not made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from live_sr.errors import LiveSRError, MissingPart, UsageError, did_you_mean
from live_sr.imaging.degradation import Picture
from live_sr.imaging.picture_file import read_picture
from live_sr.pipeline.frame import Size
from live_sr.system.platform import get_platform
from live_sr.system.termination import end_as_with_ctrl_c
from live_sr.terminal import print_result
from live_sr.training.pairs.degrade import crop_to_multiple, degrade, derive_seed, list_pictures
from live_sr.training.pairs.game_renders import DoomRenderer, OpenArenaRenderer, check_display
from live_sr.training.pairs.options import (
    ENGINE_SCALE,
    MIXTURE,
    DoomInput,
    EngineInput,
    FolderInput,
    FolderPairInput,
    FrameChoice,
    OpenArenaInput,
    PairInput,
    PairsOptions,
    Rendering,
    Shrinking,
    VideoInput,
    VideoPairInput,
)
from live_sr.training.pairs.pair_folder import PairFolder, PairOrigin, make_pair_name
from live_sr.training.pairs.renderers import find_engine
from live_sr.training.pairs.renderers.game_engine import NumberedFrames
from live_sr.training.pairs.video_frames import NoveltyFilter, SceneDetector, name_place, read_video_frames
from live_sr.training.pairs.video_pair import iterate_frame_pairs, match_videos


def run(source: PairInput, options: PairsOptions) -> int:
    """Make the pairs and print how many there are. The exit code: 1 if there are none. Raises LiveSRError."""
    with end_as_with_ctrl_c(), PairFolder(options.out, options.format, list(options.never)) as pairs:
        PairMaker(pairs, PairOrigin(options.game or options.out.name, options.licence), options.seed).make(source)
    for note in pairs.left_out:
        print_result(f"left out: {note}")
    left_out, places = len(pairs.left_out), len(pairs.places)
    print_result(f"{options.out}: {pairs.written} pairs written, {left_out} left out, {places} places in all")
    if places < 10:
        print_result("fewer than ten places: `live-sr train` holds out one in ten of them to measure itself with")
    return 0 if pairs.written else 1


class PairMaker:
    """Fills a folder of pairs from any source. One seed for everything random."""

    def __init__(self, pairs: PairFolder, origin: PairOrigin, seed: int) -> None:
        self._pairs = pairs
        self._origin = origin
        self._seed = seed

    def make(self, source: PairInput) -> None:
        match source:
            case FolderInput():
                self._add_folder(source)
            case FolderPairInput():
                self._add_folder_pair(source)
            case VideoInput():
                self._add_video(source)
            case VideoPairInput():
                self._add_video_pair(source)
            case DoomInput():
                self._add_doom(source)
            case OpenArenaInput():
                self._add_openarena(source)
            case EngineInput():
                self._add_engine(source)

    def _add_folder(self, source: FolderInput) -> None:
        for path in list_pictures(source.frames):
            self._add_shrunk(make_pair_name(path.stem), read_picture(path), path.name, source.shrinking)

    def _add_folder_pair(self, source: FolderPairInput) -> None:
        small, large = ({path.stem: path for path in list_pictures(side)} for side in (source.small, source.large))
        for stem in sorted(small.keys() ^ large.keys()):
            self._pairs.left_out.append(f"{stem}: only one of the folders has it")
        for stem in sorted(small.keys() & large.keys()):
            ours, theirs = read_picture(small[stem]), read_picture(large[stem])
            if not _is_whole_multiple(ours, theirs):
                what = f"{_format_size(theirs)} is no whole multiple of {_format_size(ours)}"
                self._pairs.left_out.append(f"{stem}: {what}")
                continue
            self._pairs.add(make_pair_name(stem), ours, theirs, "render", small[stem].name, self._origin)

    def _add_video(self, source: VideoInput) -> None:
        sieve, is_due = NoveltyFilter(), _make_frame_selector(source.choice)
        for number, (seconds, frame) in enumerate(read_video_frames(source.file)):
            if sieve.passes(frame, is_due(number, frame)):
                name = f"{name_place(source.file, seconds)}_{number:06}"
                self._add_shrunk(name, frame, source.file.name, source.shrinking)

    def _add_video_pair(self, source: VideoPairInput) -> None:
        found = match_videos(source.small, source.large)
        print_result(f"{source.small.name} on {source.large.name}: {found}")
        sieve, is_due = NoveltyFilter(), _make_frame_selector(source.choice)
        alone = 0
        for one in iterate_frame_pairs(found):
            if not sieve.passes(one.small, is_due(one.number, one.small)):
                continue
            if one.large is None:
                alone += 1
                continue
            name = f"{name_place(source.small, one.seconds)}_{one.number:06}"
            small, large = found.common_area.crop_small(one.small), found.common_area.crop_large(one.large)
            self._pairs.add(name, small, large, "video", source.small.name, self._origin)
        if alone:
            self._pairs.left_out.append(f"{alone} frames of which {source.large.name} has none of the same instant")

    def _add_doom(self, source: DoomInput) -> None:
        check_display()
        rendering = source.rendering
        game = DoomRenderer(source.wads, rendering.first, rendering.every, rendering.most, source.gamma)
        for demo in source.demos:
            self._add_rendered(demo.stem, partial(game.demo, demo, source.wad), rendering)
        for level in source.maps:
            self._add_rendered(game.place(level), partial(game.walk, level, self._seed), rendering)

    def _add_openarena(self, source: OpenArenaInput) -> None:
        check_display()
        rendering = source.rendering
        with OpenArenaRenderer(rendering.first, rendering.every, rendering.most) as game:
            maps = [level for level in source.maps if self._pairs.allowed(f"auto_{level}")]
            for demo in [*source.demos, *(game.match(level) for level in maps)]:
                self._add_rendered(demo.stem, partial(game.demo, demo), rendering)

    def _add_engine(self, source: EngineInput) -> None:
        engine = find_engine(source.engine)
        check_platform()
        scenes = engine.list_scenes()
        if unknown := sorted({*source.scenes} - {*scenes}):
            what = f'{engine.name} has no scene "{unknown[0]}".{did_you_mean(unknown[0], scenes)}'
            raise UsageError(what, f"`live-sr pairs engines {engine.name}` prints its scenes")
        frames = replace(engine.times, most=source.most or engine.times.most)
        sizes = [size for size in source.sizes if not engine.sizes or size in engine.sizes] or engine.sizes
        there = self._pairs.places if source.missing_only else set()
        for scene in source.scenes or [scene for scene in scenes if scene not in there]:
            small = sizes[derive_seed(scene, self._seed) % len(sizes)]
            rendering = Rendering(small, small.times(ENGINE_SCALE), frames.first, frames.every, frames.most)

            def draw(size: tuple[int, int], scene: str = scene, small: Size = small) -> NumberedFrames:
                return engine.draw(scene, Size(*size), frames, size[0] // small.width)

            try:
                self._add_rendered(scene, draw, rendering)
            except MissingPart:
                raise
            except LiveSRError as error:
                self._pairs.left_out.append(f"{scene}: {error.message}")

    def _add_rendered(
        self, place: str, draw: Callable[[tuple[int, int]], NumberedFrames], rendering: Rendering
    ) -> None:
        """Runs the game twice over the same input. The small frames are kept until the large ones come."""
        if not self._pairs.allowed(place):
            return
        small: dict[int, Picture] = {}
        for number, picture in draw(rendering.small):
            if any(np.array_equal(picture, other) for other in small.values()):
                self._pairs.left_out.append(f"{place}_{number:05}: it shows the same as a frame before it")
            else:
                small[number] = picture
        for number, large in draw(rendering.large):
            if number in small:
                self._pairs.add(f"{place}_{number:05}", small[number], large, "render", place, self._origin)

    def _add_shrunk(self, name: str, frame: Picture, source: str, shrinking: Shrinking) -> None:
        """The frame and its small version; a mixture draws one kind for each frame."""
        seed = derive_seed(name, self._seed)
        drawn = str(np.random.default_rng(seed).choice(list(MIXTURE), p=list(MIXTURE.values())))
        kind = drawn if shrinking.kind == "mixture" else shrinking.kind
        large = crop_to_multiple(frame, shrinking.scale)
        self._pairs.add(name, degrade(large, shrinking.scale, kind, seed), large, kind, source, self._origin)


def check_platform() -> None:
    """Raises UsageError where game engines cannot draw pairs."""
    if get_platform() != "linux":
        raise UsageError("game engines draw pairs on Linux only", "use WSL, or `live-sr pairs folder` with recordings")


def _format_size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _is_whole_multiple(small: Picture, large: Picture) -> bool:
    times = large.shape[0] // small.shape[0]
    return times > 0 and large.shape[:2] == (small.shape[0] * times, small.shape[1] * times)


def _make_frame_selector(choice: FrameChoice) -> Callable[[int, Picture], bool]:
    """A function that says whether a frame is due. It has to be called with every frame in turn."""
    if choice.scenes:
        scenes = SceneDetector()
        return lambda number, frame: scenes.wanted(frame)
    return lambda number, frame: number % choice.every == 0
