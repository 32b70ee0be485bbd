"""Draws only what has changed on a graphics card whose pictures stay there."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np

from live_sr.engines.regions.engine import LEARNT_FROM, LEAST_MS, ChangedRegionsEngine
from live_sr.engines.regions.trial import ReadClock, measure_ms
from live_sr.engines.regions.windows import ALL, Shapes, WindowDrawer
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.engine_contracts import (
    BuildMonitor,
    DeviceEngine,
    DeviceRegionEngine,
    DeviceWindowEngine,
    WindowEngine,
)
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Tile, get_size

log = logging.getLogger(__name__)

DEVICE_WINDOW_TILES: Shapes = ((2, 2), (4, 4), (8, 8), (ALL, 4))
"""As WINDOW_TILES. Fewer: each takes memory that the game could use, and a card needs hardly less time for less."""
LEAST_SHARE = 0.1  # of what a call with one tile takes: the least that is taken for the tile


class ChangedRegionsOnDevice(ChangedRegionsEngine, ABC):
    """Fulfils `DeviceEngine`, too.

    Nothing is copied here from picture to picture: the engine keeps its newest picture, and draws parts of it anew, in
    one way or the other.
    """

    def __init__(
        self,
        engine: Engine,
        requirements: TileRequirements,
        *,
        windows: DeviceWindowEngine | None = None,
        read_ns: ReadClock,
        watch: BuildMonitor | None = None,
        least_ms: float = LEAST_MS,
    ) -> None:
        super().__init__(engine, windows, requirements, watch=watch, read_ns=read_ns, least_ms=least_ms)
        assert isinstance(engine, DeviceEngine)
        self._whole: DeviceEngine = engine
        self._is_kept = False  # whether the frame before was upscaled on the device

    @abstractmethod
    def _draw_on_device(self, frame: Frame[Pixels], regions: Sequence[Rect]) -> Frame[DisplayPicture] | None:
        """The kept picture with these regions drawn anew. None: the frame had to be dropped."""

    def warm_up(self, size: Size) -> None:
        self._is_kept = False
        super().warm_up(size)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self._is_kept = False
        return super().upscale(frame, into)

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        if get_size(frame.pixels) != self._size:
            self.warm_up(get_size(frame.pixels))
        if self._finder is None:
            return self._whole.upscale_on_device(frame)
        changed = self._finder.compare(frame.pixels)
        self._newest = None  # in main memory is what an older frame became
        regions, expected_ms = self._plan(changed, []) if self._is_kept else (None, self._whole_ms)
        self._is_kept = False  # until the picture is complete
        begun = self._read_ns()
        done = self._draw(frame, regions)
        spent_ms = (self._read_ns() - begun) / 1e6
        if regions is None:
            self._whole_ratio.learn(spent_ms, self._whole_ms)
            self._regions_ratio.relax()
        elif expected_ms > LEARNT_FROM * self._whole_ms:
            self._regions_ratio.learn(spent_ms, expected_ms)
        self._is_kept = done is not None
        return done

    def _draw(self, frame: Frame[Pixels], regions: list[Rect] | None) -> Frame[DisplayPicture] | None:
        """None: the whole picture."""
        if regions is None:
            return self._whole.upscale_on_device(frame)
        size = get_size(frame.pixels)
        frame.stamps.drawn = min(1.0, sum(r.width * r.height for r in regions) / (size.width * size.height))
        return self._draw_on_device(frame, regions)


class DeviceRegionsEngine(ChangedRegionsOnDevice):
    """With an engine that draws any rectangles. device: the same object as `engine`."""

    def __init__(
        self,
        engine: Engine,
        device: DeviceRegionEngine,
        requirements: TileRequirements,
        *,
        read_ns: ReadClock,
        watch: BuildMonitor | None = None,
        least_ms: float = LEAST_MS,
    ) -> None:
        super().__init__(engine, requirements, read_ns=read_ns, watch=watch, least_ms=least_ms)
        self._device = device

    def _draw_on_device(self, frame: Frame[Pixels], regions: Sequence[Rect]) -> Frame[DisplayPicture] | None:
        return self._device.upscale_regions_on_device(frame, regions)


class DeviceWindowsEngine(ChangedRegionsOnDevice):
    """With an engine that has windows. device: the same object as `engine`.

    Costs are those of pictures that stay on the device. In main memory the whole picture costs even more.
    """

    def __init__(
        self,
        engine: Engine,
        device: DeviceWindowEngine,
        requirements: TileRequirements,
        *,
        read_ns: ReadClock,
        watch: BuildMonitor | None = None,
        least_ms: float = LEAST_MS,
    ) -> None:
        super().__init__(engine, requirements, windows=device, read_ns=read_ns, watch=watch, least_ms=least_ms)
        self._device = device

    def _draw_whole(self, picture: Pixels, into: Pixels) -> None:
        _release(self._whole.upscale_on_device(Frame(picture)))

    def _make_window_drawer(self, windows: WindowEngine, size: Size) -> WindowDrawer:
        return DeviceWindowDrawer(self._device, self._requirements, self._tile, size, self._read_ns)

    def _draw_on_device(self, frame: Frame[Pixels], regions: Sequence[Rect]) -> Frame[DisplayPicture] | None:
        assert isinstance(self._drawer, WindowDrawer)
        return self._device.upscale_tiles_on_device(frame, self._drawer.list_tiles(regions))


class DeviceWindowDrawer(WindowDrawer):
    """Fulfils `RegionDrawer` with the windows of an engine on a graphics card, all in one call.

    The newest picture on the card must be the test picture when `build` is called.
    """

    def __init__(
        self,
        device: DeviceWindowEngine,
        requirements: TileRequirements,
        tile: int,
        size: Size,
        read_ns: ReadClock,
    ) -> None:
        super().__init__(device, requirements, tile, size, read_ns, DEVICE_WINDOW_TILES)
        self._device = device
        self._call_ms = 0.0

    @property
    def call_ms(self) -> float:
        return self._call_ms

    def build(self, picture: Pixels, expected: Pixels, cancelled: Callable[[], bool]) -> None:
        super().build(picture, expected, cancelled)
        if self._windows and not self._is_pasted_right(picture, expected):
            log.warning("parts of a picture do not get to their places on this graphics card: whole ones are drawn")
            super().close()

    def _is_pasted_right(self, picture: Pixels, expected: Pixels) -> bool:
        """Whether the picture that stays on the card is the one in main memory after the same tiles were drawn."""
        reference, black = expected.copy(), np.zeros_like(picture)
        for content, window in product((black, picture), self._windows):  # each in another of the pictures in turn
            self._device.upscale_tiles(content, [window.trial], reference)
            done = self._device.upscale_tiles_on_device(Frame(content), [window.trial])
            if done is None or not np.array_equal(done.pixels.to_host(), reference):
                return False
            done.pixels.release()
        return True

    def _measure(self, picture: Pixels, expected: Pixels) -> Mapping[Size, float]:
        """From calls with one tile and with two, for pictures that stay on the device."""
        calls = [[window.trial] * count for window in self._windows for count in (1, 2)]
        spent = measure_ms(*(partial(self._draw_tiles, picture, tiles) for tiles in calls), read_ns=self._read_ns)
        ones, pairs = spent[::2], spent[1::2]
        tiles_ms = [max(pair - one, LEAST_SHARE * one) for one, pair in zip(ones, pairs, strict=True)]
        self._call_ms = max(0.0, min((one - ms for one, ms in zip(ones, tiles_ms, strict=True)), default=0.0))
        return dict(zip((window.size for window in self._windows), tiles_ms, strict=True))

    def _draw_tiles(self, picture: Pixels, tiles: Sequence[Tile]) -> None:
        _release(self._device.upscale_tiles_on_device(Frame(picture), tiles))

    def close(self) -> None:
        """The engine ends its windows itself, when the graphics card has finished with them."""
        self._windows.clear()
        self._choices.clear()


def _release(frame: Frame[DisplayPicture] | None) -> None:
    if frame is not None:
        frame.pixels.release()
