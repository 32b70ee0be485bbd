"""Random changes of a game's picture, and a check that an engine draws each exactly as another one does."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import KeepingEngine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

BUFFERS = 3  # pictures that go round between an engine and the screen


def make_scene(random: np.random.Generator, size: Size) -> Pixels:
    """Noise, areas of one colour, and stripes."""
    picture = make_black(size)
    picture[..., :3] = random.integers(0, 256, (size.height, size.width, 3))
    for _ in range(6):
        _paint(random, picture, 2)
    picture[:, :: int(random.integers(3, 9)), :3] //= 2
    return picture


def blur(pixels: Pixels) -> Pixels:
    """Each pixel as the mean of it and its neighbours: what a network of radius 1 may draw."""
    around = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.uint16)
    height, width = pixels.shape[:2]
    total = sum(around[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return (total // 9).astype(np.uint8)


def change(random: np.random.Generator, picture: Pixels) -> None:
    """Changes it as games do: hardly at all, in places, by scrolling, in all places, or not."""
    height, width = picture.shape[:2]
    kind = random.integers(0, 12)
    if kind < 5:
        for _ in range(int(random.integers(1, 4))):
            _paint(random, picture, int(random.integers(3, 12)))
    elif kind == 5:
        picture[random.integers(0, height), random.integers(0, width), random.integers(0, 3)] ^= 1
    elif kind == 6:  # a part scrolls
        top, bottom = sorted(random.integers(0, height + 1, 2))
        picture[top:bottom] = np.roll(picture[top:bottom], int(random.integers(-9, 10)), axis=1)
    elif kind == 7:
        picture[...] = np.roll(picture, int(random.integers(-9, 10)), axis=0)
    elif kind == 8:  # flicker
        ys, xs = random.integers(0, height, 5), random.integers(0, width, 5)
        picture[ys, xs, :3] = ~picture[ys, xs, :3]
    elif kind == 9:
        side = int(random.integers(0, 4))  # what enters at an edge
        edge = (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:])[side]
        edge[..., :3] = random.integers(0, 256, 3)
    elif kind == 10:
        picture[..., :3] = random.integers(0, 256, picture[..., :3].shape)


def _paint(random: np.random.Generator, picture: Pixels, divisor: int) -> None:
    """A rectangle of one colour or of noise."""
    height, width = picture.shape[:2]
    h, w = (int(random.integers(1, max(2, side // divisor))) for side in (height, width))
    y, x = int(random.integers(0, height - h + 1)), int(random.integers(0, width - w + 1))
    part = picture[y : y + h, x : x + w, :3]
    part[...] = random.integers(0, 256, part.shape if random.random() < 0.5 else 3)


@dataclass
class Comparison:
    """What came of `compare_engines`. drawn: the share of each picture that was drawn. differing: their numbers."""

    drawn: list[float] = field(default_factory=list)
    differing: list[int] = field(default_factory=list)

    @property
    def partly_drawn(self) -> float:
        """The share of the pictures of which only a part was drawn."""
        return sum(share < 1 for share in self.drawn) / len(self.drawn)


def compare_engines(engine: Engine, reference: Engine, size: Size, count: int, seed: int) -> Comparison:
    """Gives both engines the same `count` pictures, and compares what they draw.

    The first engine draws into pictures that go round, as they do on the way to the screen. Some changes are dropped
    before they get to an engine, some frames come twice, and now and then somebody draws over a picture.
    """
    random = np.random.default_rng(seed)
    picture = make_scene(random, size)
    captured = [make_black(size), make_black(size)]
    shown: list[Pixels] = []
    result = Comparison()
    engine.warm_up(size)
    reference.warm_up(size)
    for number in range(count):
        for _ in range(int(random.choice([0, 1, 2], p=[0.05, 0.85, 0.1]))):
            change(random, picture)
        if shown and random.random() < 0.05:
            _draw_over(shown[int(random.integers(len(shown)))], engine)
        into = shown.pop(0) if len(shown) == BUFFERS and random.random() < 0.97 else None
        frame = Frame(captured[number % 2])
        frame.pixels[...] = picture
        done = engine.upscale(frame, into)
        expected = reference.upscale(Frame(picture))
        assert done is not None and expected is not None
        assert into is None or done.pixels is into, "a picture that fits is drawn into"
        if not np.array_equal(done.pixels, expected.pixels):
            result.differing.append(number)
        result.drawn.append(frame.stamps.drawn)
        shown = [*shown, done.pixels][-BUFFERS:]
    return result


def _draw_over(picture: Pixels, engine: Engine) -> None:
    """What the split view does."""
    picture[:, : picture.shape[1] // 2] = 99
    if isinstance(engine, KeepingEngine):
        engine.forget(picture)
