"""A network on a graphics card: its links, and its buffers for pictures of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import wgpu

from live_sr.engines.webgpu import areas, wgsl
from live_sr.engines.webgpu.areas import Table
from live_sr.engines.webgpu.arithmetic import Arithmetic
from live_sr.engines.webgpu.card_picture import UNPACK, PictureTextures
from live_sr.engines.webgpu.cellnet import CellNetLink
from live_sr.engines.webgpu.gpu import Gpu
from live_sr.engines.webgpu.links import Dispatch, Link, Part, grow_size
from live_sr.engines.webgpu.resampling import ResampleLink, make_resize
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.frame import Pixels, Rect, Size, make_black

USAGE = wgpu.BufferUsage
TABLE_BYTES = 4 * len(wgsl.AREA) * wgsl.AREAS  # a multiple of 256, where a binding can begin


class NetworkOnGpu:
    """Fulfils `Link` with one network, or with the parts of a chain, one after the other.

    Pictures between two parts stay on the card, with values of 0..1 that are not rounded. multiple: pictures are
    extended to sides that are multiples of it, by repeating their edges. Raises as `CellNetLink`.
    """

    def __init__(self, gpu: Gpu, parts: Sequence[Part], arithmetic: Arithmetic, multiple: int = 1) -> None:
        self.gpu = gpu
        self.arithmetic = arithmetic
        self.factor = math.prod((_get_factor(part) for part in parts), start=Fraction(1))
        self._multiple = multiple
        self._links: list[Link] = []
        for number, part in enumerate(parts):
            ends = {"reads_bytes": not number, "writes_bytes": number == len(parts) - 1}
            if isinstance(part, Fraction):
                self._links.append(ResampleLink(gpu, make_resize(part), arithmetic, **ends))
            else:
                self._links.append(CellNetLink(gpu, part, arithmetic, **ends))

    @property
    def scale(self) -> int:
        return int(self.factor)

    def list_dispatches(self, size: Size, held: Size, picture: Any, result: Any) -> tuple[list[Dispatch], list[Any]]:
        size = size.round_up(self._multiple)
        bytes_a_pixel = 8 if self.arithmetic.stores_half else 16
        dispatches: list[Dispatch] = []
        buffers: list[Any] = []
        for link in self._links:
            made = grow_size(size, link.factor)
            target = result
            if link is not self._links[-1]:
                target = self.gpu.create_buffer(made.width * made.height * bytes_a_pixel, USAGE.STORAGE)
                buffers.append(target)
            more, needed = link.list_dispatches(size, held, picture, target)
            dispatches += more
            buffers += needed
            size, held, picture = made, made, target
        return dispatches, buffers

    def close(self) -> None:
        for link in self._links:
            link.close()


class SizedNetwork:
    """A network or a filter with its buffers for pictures of one size. One thread uses it.

    Raises EngineError where there is not enough memory, or one of `gpu.ERRORS`.
    """

    def __init__(self, network: Link, size: Size) -> None:
        self.size = size
        self._gpu = network.gpu
        self._scale = int(network.factor)
        result_bytes = 4 * size.width * size.height * self._scale**2
        create = network.gpu.create_buffer
        self._picture = create(4 * size.width * size.height, USAGE.STORAGE | USAGE.COPY_DST)
        self._result = create(result_bytes, USAGE.STORAGE | USAGE.COPY_SRC)
        self._readback = create(result_bytes, USAGE.MAP_READ | USAGE.COPY_DST)
        network.gpu.get_pipeline(UNPACK)  # now, and not with the first picture that a window shows
        self._dispatches, self._buffers = network.list_dispatches(size, size, self._picture, self._result)
        self._areas = create(TABLE_BYTES * len(self._dispatches), USAGE.UNIFORM | USAGE.COPY_DST)
        self._groups = [self._bind(number, dispatch) for number, dispatch in enumerate(self._dispatches)]
        self._planned: tuple[bool, list[Rect]] = (False, [])  # what the tables are written for: in place, and where
        self._is_complete = False  # whether the buffers hold the last picture that was left on the card, and its result
        self._grids: list[tuple[int, int, int]] = []  # workgroups of each dispatch
        self._rows: list[tuple[int, int]] = []  # of the picture, which are read
        self._textures: PictureTextures | None = None  # if a window shows pictures from the card

    def draw(self, pixels: Pixels, into: Pixels) -> None:
        """Enlarges a picture of `size` into one of the network's scale. Other threads run meanwhile."""
        self.draw_regions(pixels, [Rect(0, 0, *self.size)], into)

    def draw_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
        """Enlarges only these parts of the picture, which are not empty and lie inside it. The same bits as `draw`."""
        for batch in areas.split_into_batches(regions, self.size):
            self._is_complete = False
            encoder = self.encode(pixels, batch)
            encoder.copy_buffer_to_buffer(self._result, 0, self._readback, 0, self._count_bytes())
            self._gpu.device.queue.submit([encoder.finish()])
            self._read_back(into)

    def draw_on_card(self, pixels: Pixels, regions: Sequence[Rect] | None = None) -> DisplayPicture:
        """Enlarges a picture of `size`, and leaves it on the card, beside the picture it was made from.

        regions: what to draw of it, inside the picture; the rest is as in the last one that was left on the card.
        None: all of it.
        Returns when both are complete. A picture that is larger than a texture can be comes to main memory.
        """
        size = self.size.times(self._scale)
        if max(size) > self._gpu.device.limits["max-texture-dimension-2d"]:
            into = make_black(size)
            self.draw(pixels, into)
            return HostPicture(into)
        if self._textures is None:
            before, after = (self.size, self._picture), (size, self._result)
            self._textures = PictureTextures(self._gpu, before, after)
        whole = [Rect(0, 0, *self.size)]
        drawn = whole if regions is None or not self._is_complete else list(regions)
        if len(drawn) > wgsl.AREAS:
            drawn = whole
        self._is_complete = False  # until it is
        encoder = self.encode(pixels, drawn, in_place=True)
        picture = self._textures.encode(encoder)
        # wgpu 0.32 cannot wait for submitted work (findings/wgpu-cannot-wait-for-submitted-work.sh), but for some bytes
        encoder.copy_buffer_to_buffer(self._result, 0, self._readback, 0, 4)
        self._gpu.device.queue.submit([encoder.finish()])
        self._readback.map_sync(wgpu.MapMode.READ, 0, 4)
        self._readback.unmap()
        self._is_complete = True
        return picture

    def encode(self, pixels: Pixels, regions: list[Rect], *, in_place: bool = False) -> Any:
        """A command encoder that draws the regions into the buffer of results, one after the other.

        in_place: each at its own place in the whole picture instead. The rows of the picture that it reads are given to
        the card at once.
        """
        device = self._gpu.device
        if not regions:
            return device.create_command_encoder()
        pixels = np.ascontiguousarray(pixels)
        self._plan(regions, in_place=in_place)
        for first, end in self._rows:
            device.queue.write_buffer(self._picture, 4 * self.size.width * first, pixels[first:end])
        encoder = device.create_command_encoder()
        work = encoder.begin_compute_pass()
        for dispatch, group, grid in zip(self._dispatches, self._groups, self._grids, strict=True):
            work.set_pipeline(dispatch.pipeline)
            work.set_bind_group(0, group)
            work.dispatch_workgroups(*grid)
        work.end()
        return encoder

    def close(self) -> None:
        if self._textures is not None:
            self._textures.close()
        for buffer in (self._picture, self._result, self._readback, self._areas, *self._buffers):
            buffer.destroy()

    def _plan(self, regions: list[Rect], *, in_place: bool) -> None:
        """Writes the tables of what each dispatch computes, from the last one back to the first."""
        if (in_place, regions) == self._planned:
            return
        self._planned = (False, [])  # until all is written
        wanted = areas.list_boxes([region.times(self._scale) for region in regions])
        tables: list[Table] = []
        grids = []
        for dispatch in reversed(self._dispatches):
            written = wanted
            computed, wanted = dispatch.trace(written)
            row = dispatch.row if tables else self.size.width * self._scale if in_place else 0
            places = areas.place_in_rows(written, row) if row or tables else areas.place_side_by_side(written)
            table, groups = areas.write_table(computed, dispatch.positions, written, places)
            tables.append(table)
            grids.append((min(groups, wgsl.WORKGROUPS), -(-groups // wgsl.WORKGROUPS), dispatch.slices))
        self._gpu.device.queue.write_buffer(self._areas, 0, np.stack(tables[::-1]))
        self._grids = grids[::-1]
        self._rows = areas.list_row_spans(wanted)
        self._planned = (in_place, list(regions))

    def _read_back(self, into: Pixels) -> None:
        """Waits for the regions, which lie one after the other, and copies them to their places."""
        size = self._count_bytes()
        self._readback.map_sync(wgpu.MapMode.READ, 0, size)
        try:
            drawn = np.frombuffer(self._readback.read_mapped(0, size, copy=False), np.uint8)
            begin = 0
            for region in self._planned[1]:
                part = region.times(self._scale)
                end = begin + 4 * part.width * part.height
                part.cut_from(into)[...] = drawn[begin:end].reshape(part.height, part.width, 4)
                begin = end
            del drawn
        finally:
            self._readback.unmap()

    def _count_bytes(self) -> int:
        """Of the planned regions' results."""
        return 4 * self._scale**2 * sum(region.width * region.height for region in self._planned[1])

    def _bind(self, number: int, dispatch: Dispatch) -> Any:
        """The buffers of a dispatch, with its own part of the tables."""
        parts = [(dispatch.dims, 0, dispatch.dims.size), (self._areas, TABLE_BYTES * number, TABLE_BYTES)]
        entries = [
            {"binding": binding, "resource": {"buffer": buffer, "offset": offset, "size": size}}
            for binding, (buffer, offset, size) in enumerate(
                [*parts, *((one, 0, one.size) for one in dispatch.buffers)]
            )
        ]
        return self._gpu.device.create_bind_group(layout=dispatch.pipeline.get_bind_group_layout(0), entries=entries)


def _get_factor(part: Part) -> Fraction:
    return part if isinstance(part, Fraction) else Fraction(part.scale)
