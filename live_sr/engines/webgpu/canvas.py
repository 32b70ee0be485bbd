"""A window that a graphics card draws into: the picture, the comparison with the one before, HUD and cursor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np
import wgpu

from live_sr.engines.webgpu import canvas_shaders
from live_sr.engines.webgpu.card_picture import (
    CardPicture,
    TexturePair,
    bind,
    create_texture,
    create_uniform,
    write_texture,
)
from live_sr.engines.webgpu.gpu import ERRORS, Gpu, describe_failure, open_gpu
from live_sr.errors import EngineError
from live_sr.pipeline.canvas import NativeWindow, Sprite
from live_sr.pipeline.display_picture import DIVIDER_PX, DisplayPicture
from live_sr.pipeline.frame import Rect, Size

log = logging.getLogger(__name__)

FORMATS = ("bgra8unorm", "rgba8unorm")  # of the window, best first; others would change the picture's levels
WITHOUT_WAITING, WITH_WAITING = ("immediate", "mailbox", "fifo"), ("mailbox", "fifo")
"""How pictures get to the screen, best first. Mailbox waits for the refresh of the screen and shows the newest picture
then; fifo shows all of them, one a refresh."""
MOST_GROUPS = 8  # more than the textures that go round; those of other sizes are forgotten
UPLOADED = wgpu.TextureUsage.COPY_DST | wgpu.TextureUsage.TEXTURE_BINDING
OVER = {"src_factor": "one", "dst_factor": "one-minus-src-alpha", "operation": "add"}
MISSED_S = 1.0  # how long no picture may reach the window: some are missed while it is resized
TRIANGLE, RECTANGLE = ("triangle-list", 3), ("triangle-strip", 4)


def open_canvas(window: NativeWindow, waits: bool, adapter: str, *, software: bool) -> GpuCanvas:
    """A canvas on the adapter of that name or "auto". Raises EngineError or MissingPart.

    waits: for the screen's refresh. software: also on an adapter that is no graphics card.
    """
    gpu = open_gpu(adapter)
    if gpu.adapter.is_software and not software:
        raise EngineError(
            f"{gpu.adapter.name} is no graphics card", '[overlay] present = "gpu" has it draw all the same'
        )
    try:
        return GpuCanvas(gpu, window, waits=waits)
    except ERRORS as error:
        raise EngineError(
            f"{gpu.adapter} cannot draw into windows ({describe_failure(error)})", "update its driver"
        ) from error


class GpuCanvas:
    """Fulfils `Canvas`. It ends in a render pass, since a computation cannot write the texture of a window.

    What is drawn on one queue of a card is drawn in order, so a picture is complete before it is shown, and no picture
    is written while it is.
    """

    def __init__(self, gpu: Gpu, window: NativeWindow, *, waits: bool) -> None:
        """waits: for the screen's refresh. Raises EngineError or one of `gpu.ERRORS`."""
        self._gpu = gpu
        where = {"method": "screen", "window": window.number, "vsync": waits}
        if window.connection:
            where |= {"platform": "xcb", "connection": window.connection}
        self._context: Any = wgpu.gpu.get_canvas_context(where)
        self._room: Size | None = None  # the window gets its surface with the first picture
        form = _configure(self._context, gpu, WITH_WAITING if waits else WITHOUT_WAITING)
        self._draw_picture = _make_pipeline(gpu, canvas_shaders.PICTURE, form, TRIANGLE[0])
        self._draw_sprite = _make_pipeline(gpu, canvas_shaders.SPRITE, form, RECTANGLE[0], blend=True)
        self._screen = create_uniform(gpu, np.zeros(16, np.int32))
        self._sprites: dict[int, DrawnSprite] = {}  # by their place in the sequence
        self._groups: dict[tuple[Any, Any], Any] = {}  # what pictures are drawn with, by their textures
        self._missed_since: float | None = None  # None: the last picture reached the window, or nobody can see it
        self._uploaded: tuple[DisplayPicture, Any, Size] | None = None  # from main memory, with its texture

    def draw(self, picture: DisplayPicture | None, place: Rect, room: Size, sprites: Sequence[Sprite]) -> None:
        try:
            if room != self._room:
                self._context.set_physical_size(*room)
                self._room = room
            work = self._prepare_picture(picture, place) if picture is not None else None
            over = [self._prepare_sprite(number, sprite, room) for number, sprite in enumerate(sprites)]
            self._present(work, over)
        except ERRORS as error:
            raise EngineError(f"{self._gpu.adapter} failed ({describe_failure(error)})", "update its driver") from error

    def close(self) -> None:
        self._uploaded = None
        self._groups.clear()
        self._sprites.clear()
        try:
            self._context.unconfigure()
            self._context._release()  # wgpu has no public way that does not wait for the garbage collector
        except ERRORS as error:
            log.debug("closing a window's surface: %s", describe_failure(error))

    def _prepare_picture(self, picture: DisplayPicture, place: Rect) -> Any:
        """What the picture is drawn with. A picture that was released leaves the place black."""
        divider = 0.0
        size = original = picture.size
        if isinstance(picture, CardPicture) and picture.gpu is self._gpu:
            pair, divider, original = picture.textures, picture.divider, picture.original_size
        else:
            texture = self._upload(picture)
            pair = TexturePair(texture, texture)
        if pair is None:
            return None
        at = round(divider * place.width)
        line = (at - DIVIDER_PX // 2, at + DIVIDER_PX // 2) if 0 < at < place.width else (0, 0)
        values = np.array([*place, *size, *original, at, *line, 0, 0, 0, 0, 0], np.int32)
        self._gpu.device.queue.write_buffer(self._screen, 0, values)
        textures = (pair.upscaled, pair.original)
        if textures not in self._groups:
            if len(self._groups) >= MOST_GROUPS:
                self._groups.clear()
            views = (texture.create_view() for texture in textures)
            self._groups[textures] = bind(self._gpu, self._draw_picture, ({"buffer": self._screen}, *views))
        return self._groups[textures]

    def _upload(self, picture: DisplayPicture) -> Any:
        """The texture of a picture from main memory."""
        known = self._uploaded
        if known is not None and known[0] is picture:
            return known[1]
        if known is not None and known[2] == picture.size:
            texture = known[1]
        else:
            texture = create_texture(self._gpu, picture.size, UPLOADED)
        write_texture(self._gpu, texture, picture.to_host())
        self._uploaded = (picture, texture, picture.size)
        return texture

    def _prepare_sprite(self, number: int, sprite: Sprite, room: Size) -> Any:
        if number not in self._sprites:
            self._sprites[number] = DrawnSprite(self._gpu, self._draw_sprite)
        return self._sprites[number].prepare(sprite, room)

    def _present(self, picture: Any, sprites: Sequence[Any]) -> None:
        """Draws all of it, and hands it to the compositor. Does nothing where the window cannot be seen."""
        try:
            texture = self._context.get_current_texture()
        except wgpu.classes.DrawCancelled as cancelled:
            self._record_miss(str(cancelled))
            return
        self._missed_since = None
        encoder = self._gpu.device.create_command_encoder()
        target = {"view": texture.create_view(), "load_op": "clear", "store_op": "store", "clear_value": (0, 0, 0, 1)}
        work = encoder.begin_render_pass(color_attachments=[target])
        if picture is not None:
            work.set_pipeline(self._draw_picture)
            work.set_bind_group(0, picture)
            work.draw(TRIANGLE[1])
        for sprite in sprites:
            work.set_pipeline(self._draw_sprite)
            work.set_bind_group(0, sprite)
            work.draw(RECTANGLE[1])
        work.end()
        self._gpu.device.queue.submit([encoder.finish()])
        self._context.present()

    def _record_miss(self, why: str) -> None:
        """Raises EngineError when that goes on for too long."""
        if "Occluded" in why:
            self._missed_since = None
            return
        now = monotonic()
        self._missed_since = now if self._missed_since is None else self._missed_since
        if now - self._missed_since > MISSED_S:
            what = f"{self._gpu.adapter} can no longer draw into the window ({why})"
            raise EngineError(what, "update its driver")


class DrawnSprite:
    """A sprite on the card. Its pixels are copied when they are others, or of another size."""

    def __init__(self, gpu: Gpu, pipeline: Any) -> None:
        self._gpu = gpu
        self._pipeline = pipeline
        self._place = create_uniform(gpu, np.zeros(6, np.float32))
        self._sprite: Sprite | None = None
        self._texture: Any = None
        self._group: Any = None

    def prepare(self, sprite: Sprite, room: Size) -> Any:
        """What it is drawn with, in a window of that size."""
        height, width = sprite.pixels.shape[:2]
        known = self._sprite.pixels if self._sprite is not None else None
        if known is None or known.shape != sprite.pixels.shape:
            self._texture = create_texture(self._gpu, Size(width, height), UPLOADED)
            resources = ({"buffer": self._place}, self._texture.create_view())
            self._group = bind(self._gpu, self._pipeline, resources)
        if known is not sprite.pixels:
            write_texture(self._gpu, self._texture, sprite.pixels)
        values = np.array([sprite.x, sprite.y, width, height, *room], np.float32)
        self._gpu.device.queue.write_buffer(self._place, 0, values)
        self._sprite = sprite
        return self._group


def _configure(context: Any, gpu: Gpu, wanted_modes: Sequence[str]) -> str:
    """Prepares a window's surface, and returns the format of its pixels. Raises EngineError."""
    offered = context._get_capabilities(gpu.device.adapter)
    form = next((one for one in FORMATS if one in offered["formats"]), None)
    if form is None:
        what = f"{gpu.adapter} draws windows in {', '.join(offered['formats'])} only"
        raise EngineError(what, 'use [overlay] present = "raster"')
    mode = next((one for one in wanted_modes if one in offered["present_modes"]), "fifo")
    offered["present_modes"] = [mode]  # wgpu keeps this, and would take fifo for every window that waits
    context.configure(device=gpu.device, format=form)
    log.debug("%s draws the window in %s, presented as %s", gpu.adapter, form, mode)
    return form


def _make_pipeline(gpu: Gpu, source: str, form: str, topology: str, *, blend: bool = False) -> Any:
    target: dict[str, Any] = {"format": form}
    if blend:
        target["blend"] = {"color": OVER, "alpha": OVER}

    def compile_it() -> Any:
        module = gpu.device.create_shader_module(code=source)
        return gpu.device.create_render_pipeline(
            layout="auto",
            vertex={"module": module, "entry_point": "vertex"},
            primitive={"topology": topology},
            fragment={"module": module, "entry_point": "fragment", "targets": [target]},
        )

    return gpu.get_shared((source, form), compile_it)
