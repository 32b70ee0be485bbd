"""Turns each captured frame into the picture to show: upscaled, as large as the room on the screen, in a view."""

from __future__ import annotations

from enum import Enum

from live_sr.engines.live.hot_swap import HotSwapEngine
from live_sr.pipeline.contracts import EngineInfo, Resize
from live_sr.pipeline.display_picture import DIVIDER_PX, ComparablePicture, DisplayPicture, HostPicture
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

DIVIDER_STEP = 0.05  # of the picture's width, for one press of a divider key


class View(Enum):
    UPSCALED = "upscaled"
    UNPROCESSED = "unprocessed"
    SPLIT = "split"  # unprocessed on the left of the divider, upscaled on the right


class Presenter:
    """Fulfils `contracts.Upscaler` for a display.

    A picture stays on the GPU if the display can show it from there and nothing has to be done to it: the display
    resizes it while it draws, and some displays draw the view as well. Every other picture comes to main memory, is
    fitted to the room and gets the view.
    The public attributes may be set from any thread and take effect with the next frame.
    """

    def __init__(self, engine: HotSwapEngine, fit: Resize, enlarge: Resize, *, aspect: float | None = None) -> None:
        """`fit` resizes upscaled pictures to the room, `enlarge` the unprocessed ones to the size of the upscaled.

        `aspect`: the ratio of width to height that pictures get; None: that of the frames.
        """
        self._engine = engine
        self._fit = fit
        self._enlarge = enlarge
        self._aspect = aspect
        self.keep_on_device = False
        """Whether the display can show pictures from the GPU's memory."""
        self.compare_on_device = False
        """Whether it can also draw the view of such a picture."""
        self.room: Size | None = None
        """Pixels there are for the picture, which fills them as far as its aspect allows. None: its size is kept."""
        self.view = View.UPSCALED
        self.divider = 0.5
        """Where the split view is divided, from 0 (left) to 1."""
        self.sizes: tuple[Size, Size] | None = None
        """Of the newest frame, before and after. Only read."""
        # the upscale thread's; in the steady state they go round, and nothing is allocated:
        self._spare: Pixels | None = None  # came back from the display
        self._unfitted: Pixels | None = None  # the engine draws here if the picture must be fitted
        self._unprocessed: Pixels | None = None  # for the split view

    @property
    def scale(self) -> int:
        return self._engine.scale

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def warm_up(self, size: Size) -> None:
        self._engine.warm_up(size)

    def move_divider(self, steps: int) -> None:
        self.divider = min(1.0, max(0.0, self.divider + steps * DIVIDER_STEP))

    def upscale(self, frame: Frame[Pixels], into: DisplayPicture | None = None) -> Frame[DisplayPicture] | None:
        returned = into.release() if into is not None else None
        if returned is not None:
            self._spare = returned
        size, room, view = get_size(frame.pixels), self.room, self.view
        target = size.with_aspect(self._aspect).fit_into(room) if room is not None else None
        fits = target is None or size.times(self._engine.scale) == target
        done = self._engine.upscale(
            frame,
            self._spare if fits else self._unfitted,
            on_device=self.keep_on_device and (view is View.UPSCALED or self.compare_on_device),
        )
        if done is None:
            return None
        if isinstance(done.pixels, ComparablePicture):
            done.pixels.compare({View.UPSCALED: 0.0, View.UNPROCESSED: 1.0, View.SPLIT: self.divider}[view])
        elif not done.pixels.on_device:
            drawn = done.pixels.to_host()
            pixels = self._apply(view, frame.pixels, self._fit_to(target, drawn, fits))
            if pixels is not drawn or view is not View.UPSCALED:
                done = done.with_pixels(HostPicture(pixels))
        self.sizes = (size, done.pixels.size)
        return done

    def _fit_to(self, target: Size | None, pixels: Pixels, expected: bool) -> Pixels:
        """The picture in its final size. `expected`: the engine was to draw it in that size, into the spare picture."""
        spare, self._spare = self._spare, None
        if not expected and target is not None:
            self._unfitted = pixels
            return self._fit(pixels, target, spare)  # a size in which the engine draws no picture
        if target not in (None, get_size(pixels)):
            return self._fit(pixels, target, None)  # an engine of another scale has just taken over
        return pixels

    def _apply(self, view: View, captured: Pixels, pixels: Pixels) -> Pixels:
        """The picture in that view, drawn over the upscaled one."""
        if view is not View.UPSCALED:
            self._engine.forget(pixels)
        size = get_size(pixels)
        if view is View.UNPROCESSED:
            return self._enlarge(captured, size, pixels)
        if view is View.SPLIT:
            self._unprocessed = self._enlarge(captured, size, self._unprocessed)
            at = round(self.divider * size.width)
            pixels[:, :at] = self._unprocessed[:, :at]
            if 0 < at < size.width:
                pixels[:, at - DIVIDER_PX // 2 : at + DIVIDER_PX // 2] = 255
        return pixels

    def close(self) -> None:
        self._engine.close()
