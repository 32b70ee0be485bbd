"""The hot-swap engine: works at once with a plain engine, and swaps in the selected one when it has been built."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from live_sr.engines.live.build_request import BuildPlanner, BuildRequest, Selection
from live_sr.errors import explain, reason
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine, EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.engine_contracts import BuildMonitor, DeviceEngine, KeepingEngine
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

log = logging.getLogger(__name__)

WAIT_S = 0.1


@dataclass(frozen=True)
class EngineSupply:
    """Makes the engines of a hot-swap engine, and hears what becomes of them (called on its threads)."""

    make_plain: Callable[[int], Engine]
    """A ready engine of that scale that needs no building."""
    make: Callable[[Model, int, BuildMonitor], Engine]
    """The engine for a model and scale, not yet warmed up."""
    make_quick: Callable[[Model, int], Engine] | None = None
    """If the engines of `make` take long to warm up: an engine for the same model that works in the meantime. It must
    also take frames smaller than what it was warmed up for."""
    is_built: Callable[[Model, int, Size], bool] = lambda model, scale, size: False
    """Whether the engine of `make` for frames of that size is ready almost at once, so that no quick one is needed."""
    make_spare: Callable[[Model, int], Engine] | None = None
    """An engine for the same model on other hardware, for when none of the others can be built."""
    builds_slowly: bool = False
    """Whether building takes so long that it should wait until the user has stopped dragging the window."""
    notify: Callable[[str], None] = lambda note: None
    report_progress: Callable[[str], None] = lambda progress: None
    """How far a long build is; empty when it is over."""
    on_change: Callable[[], None] = lambda: None
    """Another engine is at work or ready."""


class HotSwapEngine:
    """Upscales each frame with the best engine that is ready. One thread upscales; any thread may select.

    Every frame is upscaled: by the engine built for its size if there is one, else by the plain one. If a build fails,
    the present engine goes on. An engine that fails at work is replaced by the plain one, and built again after a
    while, since a lost GPU may come back. `EngineSupply.notify` is called with each failure.
    """

    def __init__(self, supply: EngineSupply, selection: Selection, *, aspect: float | None = None) -> None:
        """`aspect`: the ratio of width to height that the picture has on the screen; None: that of the frames."""
        self._supply = supply
        self._aspect = aspect
        self._changed = threading.Condition()
        # guarded by _changed:
        self._selection = selection
        self._room: Size | None = None
        self._request: BuildRequest | None = None  # the newest; the builder removes it when it is done with it
        self._built: tuple[BuildRequest, Engine | None] | None = None  # with None: it could not be built
        self._closed = False
        # the upscale thread's:
        self._planner = BuildPlanner(builds_slowly=supply.builds_slowly, aspect=aspect)
        self._last_request: BuildRequest | None = None
        self._current: tuple[BuildRequest, Engine] | None = None
        self._plain: Engine = supply.make_plain(selection.scale or 2)
        self._active: Engine = self._plain
        self._builder = threading.Thread(target=self._run_builder, name="live-sr builder", daemon=True)
        self._builder.start()

    @property
    def scale(self) -> int:
        return self._active.scale

    def choose_scale(self, selection: Selection) -> int | None:
        """The scale that a selection means for the newest frame; None before the first one if it says "fit"."""
        with self._changed:
            room, request = self._room, self._last_request
        if request is None:
            return selection.scale
        return selection.choose_scale(request.size, room, self._aspect)

    @property
    def info(self) -> EngineInfo:
        return self._active.info

    @property
    def is_building(self) -> bool:
        """Whether an engine is being made, tried or built, which takes time from the one that works meanwhile."""
        with self._changed:
            return self._request is not None

    def select(self, selection: Selection) -> None:
        with self._changed:
            self._selection = selection

    def set_room(self, room: Size | None) -> None:
        """How much room the picture has on the screen; decides the scale of a selection without one."""
        with self._changed:
            self._room = room

    def warm_up(self, size: Size) -> None:
        """Waits for the selected engine, for callers that need it from the first frame on."""
        self._request_build(size)
        with self._changed:
            while self._request is not None and not self._closed:
                self._changed.wait(WAIT_S)

    def upscale(
        self, frame: Frame[Pixels], into: Pixels | None = None, *, on_device: bool = False
    ) -> Frame[DisplayPicture] | None:
        """The frame upscaled by the active engine or, if that fails, by the plain one. None: it had to be dropped.

        on_device: leave the picture in the GPU's memory if the engine can. Every other picture is in main memory, drawn
        into `into` when that fits.
        """
        engine = self._activate_engine(get_size(frame.pixels))
        if engine is not self._plain:
            try:
                return _upscale(engine, frame, into, on_device)
            except Exception as error:
                self._abandon(engine, error)
        return _upscale(self._plain, frame, into, on_device)

    def forget(self, pixels: Pixels) -> None:
        """Somebody draws over this picture, which the active engine may rely on. Called by the upscale thread."""
        if isinstance(self._active, KeepingEngine):
            self._active.forget(pixels)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._builder.join()
        self._swap_in_built()
        self._close_current()
        self._plain.close()

    # Called on the upscale thread

    def _activate_engine(self, size: Size) -> Engine:
        """The engine for this frame."""
        request = self._request_build(size)
        self._swap_in_built()
        engine = self._choose_engine(size, request.scale)
        if engine is not self._active:
            self._active = engine
            self._supply.on_change()
        return engine

    def _request_build(self, size: Size) -> BuildRequest:
        """Requests what the selection means for this size, unless that was the last request."""
        with self._changed:
            selection, room = self._selection, self._room
        request = self._planner.plan(selection, size, room)
        if request != self._last_request:
            with self._changed:
                self._last_request = self._request = request
                self._changed.notify_all()
        return request

    def _swap_in_built(self) -> None:
        with self._changed:
            built, self._built = self._built, None
        if built is None:
            return
        request, engine = built
        if engine is not None:
            self._close_current()
            self._current = (request, engine)
        elif request.attempt:
            self._planner.record_failure()

    def _choose_engine(self, size: Size, scale: int) -> Engine:
        if self._current is not None and self._current[0].fits(size):
            return self._current[1]
        if self._current is not None:
            self._close_current()  # its shapes are static
        if self._plain.scale != scale:
            self._plain.close()
            self._plain = self._supply.make_plain(scale)
        return self._plain

    def _abandon(self, engine: Engine, error: Exception) -> None:
        """Go on with the plain engine, and plan to build the failed one again."""
        self._supply.notify(f"{engine.info} failed ({reason(error)}); {self._plain.info} goes on")
        self._close_current()
        self._planner.record_failure()

    def _close_current(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current[1].close()

    # Called on the builder thread

    def _run_builder(self) -> None:
        while (request := self._wait_for_request()) is not None:
            self._fulfil(request)
            with self._changed:
                if self._request == request:
                    self._request = None
                self._changed.notify_all()
            self._supply.report_progress("")
            self._supply.on_change()

    def _wait_for_request(self) -> BuildRequest | None:
        """None: the engine was closed."""
        with self._changed:
            while self._request is None and not self._closed:
                self._changed.wait()
            return None if self._closed else self._request

    def _fulfil(self, request: BuildRequest) -> None:
        """Builds one engine after the other; each replaces the one before. The spare one if no other can be built."""
        any_built = False
        for make in self._list_builds(request):
            any_built = self._build_and_offer(request, make) or any_built
            if self._is_outdated(request):
                return
        if not any_built and self._supply.make_spare is not None and not request.provisional:
            self._build_and_offer(request, partial(self._supply.make_spare, request.model, request.scale))

    def _list_builds(self, request: BuildRequest) -> list[Callable[[], Engine]]:
        supply = self._supply
        model, scale = request.model, request.scale
        quick = [partial(supply.make_quick, model, scale)] if supply.make_quick is not None else []
        if request.provisional:
            return list(quick)
        monitor = BuildMonitor(supply.report_progress, partial(self._is_outdated, request))
        full = partial(supply.make, model, scale, monitor)
        return [full] if self._is_kept(request) else [*quick, full]

    def _is_kept(self, request: BuildRequest) -> bool:
        try:
            return self._supply.is_built(request.model, request.scale, request.size)
        except Exception as error:  # which the build then reports
            log.debug("whether %s is built is not known: %s", request.model.name, reason(error))
            return False

    def _is_outdated(self, request: BuildRequest) -> bool:
        with self._changed:
            return self._request != request or self._closed

    def _build_and_offer(self, request: BuildRequest, make: Callable[[], Engine]) -> bool:
        """Leaves the engine for the upscale thread to swap in. Returns whether it could be built."""
        engine = self._build(request, make)
        with self._changed:
            outdated = self._request != request or self._closed
            unused = engine
            if not outdated and (engine is not None or self._built is None):
                unused = self._built[1] if self._built is not None else None
                self._built = (request, engine)
        if unused is not None:
            unused.close()
        if not outdated:
            self._supply.on_change()
        return engine is not None

    def _build(self, request: BuildRequest, make: Callable[[], Engine]) -> Engine | None:
        """The engine, warmed up; None: it could not be built."""
        started = perf_counter()
        try:
            engine = make()
            try:
                engine.warm_up(request.size)
            except Exception:
                engine.close()
                raise
        except Exception as error:
            if not self._is_outdated(request):
                self._supply.notify(f"{request.model.name} x{request.scale} cannot be used: {explain(error)}")
            return None
        log.debug("%s is ready for %s, after %.2f s", engine.info, request.size, perf_counter() - started)
        return engine


def _upscale(
    engine: Engine, frame: Frame[Pixels], into: Pixels | None, on_device: bool
) -> Frame[DisplayPicture] | None:
    if on_device and isinstance(engine, DeviceEngine):
        return engine.upscale_on_device(frame)
    done = engine.upscale(frame, into)
    return None if done is None else done.with_pixels(HostPicture(done.pixels), done.revision)
