"""Draws sequences of consecutive frames with the engines of `live-sr pairs engines`, small and twice as large.

    python -m tools.datasets.sequences panda3d pygame --scenes 12 --frames 10 --out SEQUENCES

Writes SEQUENCES/ENGINE/lr and hr, files named SCENE_NUMBER. The large picture is drawn at four times the small size and
area-averaged to twice, as in training. A frame number lasts as long as the engine's own clock says, 1/60 to 1/30 s.
Frames that equal the one before stay: that is what a game shows. A scene that is drawn already is not drawn again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from live_sr.errors import LiveSRError
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.terminal import print_result
from live_sr.training.pairs.degrade import write_picture
from live_sr.training.pairs.pair_folder import measure_alignment
from live_sr.training.pairs.renderers import find_engine
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

SIZE = Size(320, 180)
DRAWN, KEPT = 4, 2  # times as large as the small picture


def choose_scenes(scenes: Sequence[str], count: int) -> list[str]:
    """At most `count` of them, spread evenly over the list."""
    kept = min(count, len(scenes))
    return [scenes[number * len(scenes) // kept] for number in range(kept)]


def draw_scene(engine: GameEngine, scene: str, frames: int) -> Iterator[tuple[int, Picture, Picture]]:
    """Frame numbers and BGR pictures, small and KEPT times as large. Raises LiveSRError where they are no pairs."""
    size = SIZE if not engine.sizes or SIZE in engine.sizes else min(engine.sizes)
    drawn = Size(size.width * DRAWN, size.height * DRAWN)
    times = FrameTimes(engine.times.first, 1, frames)
    larges = dict(engine.draw(scene, drawn, times, DRAWN))
    for number, small in engine.draw(scene, size, times, 1):
        if number == times.first and (defect := measure_alignment(small, larges[number]).defect):
            raise LiveSRError(f"{engine.name} {scene}: {defect}", "leave it out")
        kept = (size.width * KEPT, size.height * KEPT)
        yield number, small, np.asarray(cv2.resize(larges[number], kept, interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("engines", nargs="+", metavar="ENGINE")
    parser.add_argument("--scenes", type=int, default=8, help="of each engine")
    parser.add_argument("--frames", type=int, default=10, help="of each scene")
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    for engine in map(find_engine, a.engines):
        for scene in choose_scenes(engine.list_scenes(), a.scenes):
            out = a.out / engine.name
            if len(list((out / "lr").glob(f"{scene}_*.png"))) == a.frames:
                continue
            try:
                for number, small, large in list(draw_scene(engine, scene, a.frames)):
                    write_picture(out / "hr" / f"{scene}_{number:05}.png", large)
                    write_picture(out / "lr" / f"{scene}_{number:05}.png", small)
                print_result(f"{engine.name} {scene}")
            except LiveSRError as error:
                print_result(f"left out: {error}")


if __name__ == "__main__":
    main()
