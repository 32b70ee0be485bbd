"""Enlarges only what has changed since the frame before, and keeps the rest of the picture."""

from __future__ import annotations

import logging
import weakref

import numpy as np

from live_sr.engines.regions.compare import ChangeFinder, TileMap, choose_tile_side
from live_sr.engines.regions.plan import RejectedPlans, TileBox, plan_boxes
from live_sr.engines.regions.rectangles import RectangleDrawer, RegionDrawer
from live_sr.engines.regions.trial import CostRatio, ReadClock, make_test_picture, measure_ms, read_thread_ns
from live_sr.engines.regions.windows import WindowDrawer
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.errors import LiveSRError, reason
from live_sr.pipeline.contracts import Engine, EngineInfo
from live_sr.pipeline.engine_contracts import BuildMonitor, RegionEngine, WindowEngine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Revision, Size, get_size, reuse_or_allocate

log = logging.getLogger(__name__)

LEAST_MS = 1.0  # an engine that draws the whole picture in this time is left alone: comparing costs 0.2 ms
ADVANTAGE = 0.9  # of the cost of the whole picture: what regions may cost at most
LEARNT_FROM = 0.1  # of that cost: in cheaper frames, calling anything at all counts for too much
PICTURES = 8  # whose content is remembered: more than go round between the engine and the screen


class ChangedRegionsEngine:
    """Fulfils `Engine` and `KeepingEngine` with another engine, and returns the same pictures to the bit.

    Each frame is compared with the one before. The changed tiles, and all that the network sees them from, are covered
    by rectangles; these are drawn, and the rest of the picture is copied from the newest picture as far as the one to
    draw into does not have it already. The whole picture is drawn where that costs less, after a change of the size,
    and after `forget`.

    Regions are tried against the whole picture in `warm_up`: what differs by a single level is not used. An engine that
    draws any rectangle (`RegionEngine`) draws them itself; for others, `windows` draws them, in windows of fixed sizes.
    requirements: of the network; they must be exact. watch: once it is cancelled, `warm_up` ends with what it has.
    least_ms: an engine that is as fast as this is used as it is. read_ns: the clock that costs are measured with; the
    processor's time says nothing of an engine on a graphics card.
    """

    def __init__(
        self,
        engine: Engine,
        windows: WindowEngine | None,
        requirements: TileRequirements,
        *,
        watch: BuildMonitor | None = None,
        least_ms: float = LEAST_MS,
        read_ns: ReadClock = read_thread_ns,
    ) -> None:
        self._engine = engine
        self._windows = windows
        self._requirements = requirements
        self._watch = watch or BuildMonitor()
        self._least_ms = least_ms
        self._read_ns = read_ns
        self._tile = choose_tile_side(requirements.step)
        self._size: Size | None = None
        self._finder: ChangeFinder | None = None
        self._drawer: RegionDrawer | None = None  # None: the whole picture is drawn always
        self._whole_ms = self._copy_ms = 0.0  # what it costs to draw and to copy the whole picture
        self._whole_ratio, self._regions_ratio = CostRatio(), CostRatio()  # of the frames so far
        self._rejected = RejectedPlans()
        self._newest: Pixels | None = None  # None: the next picture is drawn whole
        self._revision = Revision(object(), 0)  # of the newest picture
        self._drawn: list[tuple[weakref.ref[Pixels], Revision]] = []  # oldest first

    @property
    def scale(self) -> int:
        return self._engine.scale

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def draws_regions(self) -> bool:
        """Whether it can draw less than the whole picture, at the size that it is warmed up for."""
        return self._drawer is not None

    def warm_up(self, size: Size) -> None:
        """Builds the engine for the whole picture, then those for windows; compares and measures them."""
        self._close_regions()
        self._engine.warm_up(size)
        self._size = size
        picture = make_test_picture(size)
        done = self._engine.upscale(Frame(picture))
        if done is None:
            return
        expected = done.pixels
        copy = np.empty_like(expected)
        self._whole_ms, self._copy_ms = measure_ms(
            lambda: self._draw_whole(picture, expected), lambda: np.copyto(copy, expected), read_ns=self._read_ns
        )
        if self._whole_ms < self._least_ms:
            return
        self._drawer = self._make_drawer(size, picture, expected)
        if self._drawer is not None:
            self._finder = ChangeFinder(size, self._tile)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        if get_size(frame.pixels) != self._size:
            self.warm_up(get_size(frame.pixels))
        if self._finder is None:
            return self._engine.upscale(frame, into)
        changed = self._finder.compare(frame.pixels)
        newest, self._newest = self._newest, None  # until the picture is complete
        if newest is not None:
            done = reuse_or_allocate(into, get_size(frame.pixels).times(self.scale))
            stale = self._list_stale(done, newest)
            regions, expected_ms = self._plan(changed, stale)
            if regions is not None:
                begun = self._read_ns()
                drawn = self._draw_regions(frame, done, regions, newest, stale)
                if expected_ms > LEARNT_FROM * self._whole_ms:
                    self._regions_ratio.learn((self._read_ns() - begun) / 1e6, expected_ms)
                return drawn
        begun = self._read_ns()
        whole = self._engine.upscale(frame, into)
        self._whole_ratio.learn((self._read_ns() - begun) / 1e6, self._whole_ms)
        self._regions_ratio.relax()
        return None if whole is None else self._remember(frame, whole.pixels, None)

    def forget(self, pixels: Pixels) -> None:
        self._drawn = [(known, revision) for known, revision in self._drawn if known() is not pixels]
        if self._newest is pixels:
            self._newest = None

    def close(self) -> None:
        self._close_regions()
        self._engine.close()

    def _close_regions(self) -> None:
        if self._drawer is not None:
            self._drawer.close()
        self._drawer = self._finder = self._newest = self._size = None
        self._drawn.clear()
        self._revision = Revision(object(), 0)

    # In `warm_up`

    def _draw_whole(self, picture: Pixels, into: Pixels) -> None:
        """What is measured as the cost of the whole picture."""
        self._engine.upscale(Frame(picture), into)

    def _make_drawer(self, size: Size, picture: Pixels, expected: Pixels) -> RegionDrawer | None:
        """None: no part of the picture can be drawn alone exactly as in the whole."""
        if isinstance(self._engine, RegionEngine):
            direct = RectangleDrawer(self._engine, self._requirements, self._tile, size, self._read_ns)
            return direct if direct.measure(picture, expected, self.scale) else None
        if self._windows is None:
            return None
        windows = self._make_window_drawer(self._windows, size)
        try:
            windows.build(picture, expected, self._watch.cancelled)
        except (LiveSRError, MemoryError, RuntimeError) as error:  # the engine for the whole picture works
            log.debug("%s draws whole pictures: %s", self.info, reason(error))
            windows.close()
            return None
        log.debug("%s draws windows of %s", self.info, ", ".join(map(str, windows.sizes)) or "no size")
        return windows if windows.sizes else None

    def _make_window_drawer(self, windows: WindowEngine, size: Size) -> WindowDrawer:
        return WindowDrawer(windows, self._requirements, self._tile, size, self._read_ns)

    # In `upscale`

    def _list_stale(self, done: Pixels, newest: Pixels) -> list[Rect] | None:
        """Where the content of `done` differs from the newest picture. None: everywhere."""
        if done is newest:
            return []
        known = next((revision for picture, revision in self._drawn if picture() is done), None)
        return self._revision.list_changes_since(known)

    def _plan(self, changed: TileMap, stale: list[Rect] | None) -> tuple[list[Rect] | None, float]:
        """The rectangles to draw, in pixels of the frame, and their cost. None: the whole picture costs less."""
        assert self._drawer is not None and self._size is not None
        stale_area = sum(rect.width * rect.height for rect in stale) if stale is not None else np.inf
        whole_area = self._size.width * self._size.height * self.scale**2
        count = int(np.count_nonzero(changed))
        fixed_ms = self._copy_ms * min(1.0, stale_area / whole_area) + (self._drawer.call_ms if count else 0.0)
        room = ADVANTAGE * self._whole_ms * self._whole_ratio.value / self._regions_ratio.value - fixed_ms
        if count * self._drawer.tile_ms >= room or self._rejected.skips_plan(count):
            return None, self._whole_ms
        drawer = self._drawer
        margin = 4 * self._requirements.border / self._tile
        boxes, cost = plan_boxes(changed, lambda box: drawer.estimate(self._find_affected(box)), margin)
        self._rejected.record(count, rejected=cost >= room)
        return [self._find_affected(box) for box in boxes] if cost < room else None, cost + fixed_ms

    def _find_affected(self, box: TileBox) -> Rect:
        """All pixels that depend on the tiles of a box."""
        assert self._size is not None
        tile, border = self._tile, self._requirements.border
        left, top = max(0, box.left * tile - border), max(0, box.top * tile - border)
        right = min(self._size.width, box.right * tile + border)
        bottom = min(self._size.height, box.bottom * tile + border)
        return Rect(left, top, right - left, bottom - top)

    def _draw_regions(
        self, frame: Frame[Pixels], done: Pixels, regions: list[Rect], newest: Pixels, stale: list[Rect] | None
    ) -> Frame[Pixels]:
        assert self._drawer is not None and self._size is not None
        if stale is None:
            np.copyto(done, newest)
        else:
            for rect in stale:
                np.copyto(rect.cut_from(done), rect.cut_from(newest))
        if regions:
            self._drawer.draw(frame.pixels, regions, done)
        area = sum(rect.width * rect.height for rect in regions)
        frame.stamps.drawn = min(1.0, area / (self._size.width * self._size.height))
        return self._remember(frame, done, tuple(rect.times(self.scale) for rect in regions))

    def _remember(self, frame: Frame[Pixels], done: Pixels, changes: tuple[Rect, ...] | None) -> Frame[Pixels]:
        """The finished frame. `changes`: where it differs from the one before; None: anywhere."""
        self._revision = self._revision.make_next(changes)
        kept = [(known, revision) for known, revision in self._drawn if known() is not None and known() is not done]
        self._drawn = [*kept[1 - PICTURES :], (weakref.ref(done), self._revision)]
        self._newest = done
        return frame.with_pixels(done, self._revision)
