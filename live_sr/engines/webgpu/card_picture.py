"""Pictures that stay on the graphics card, as textures that a window is drawn with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import wgpu

from live_sr.engines.webgpu.gpu import ERRORS, Gpu, describe_failure
from live_sr.errors import EngineError
from live_sr.pipeline.display_picture import DIVIDER_PX
from live_sr.pipeline.frame import Pixels, Size, get_size

FORMAT = "rgba8unorm"  # it holds B G R A in this order: bgra8unorm cannot be written by every card's shaders
GROUP = 8  # threads of a workgroup, in each direction

UNPACK = f"""
@group(0) @binding(0) var<uniform> size: vec2<u32>;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var target_: texture_storage_2d<{FORMAT}, write>;
@compute @workgroup_size({GROUP}, {GROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
  if (id.x < size.x && id.y < size.y) {{
    textureStore(target_, id.xy, unpack4x8unorm(pixels[id.y * size.x + id.x]));
  }}
}}
"""


class TexturePair(NamedTuple):
    """An upscaled picture and the one it was made from. groups: what fills them."""

    upscaled: Any
    original: Any
    groups: tuple[Any, ...] = ()


class CardPicture:
    """Fulfils `DisplayPicture` and `ComparablePicture`. It may outlive the engine that drew it."""

    on_device = True

    def __init__(self, gpu: Gpu, pair: TexturePair, owner: PictureTextures) -> None:
        self.gpu = gpu
        self.divider = 0.0
        """As `compare` was called last."""
        self._pair: TexturePair | None = pair
        self._owner = owner
        self.size = owner.size
        self.original_size = owner.original_size

    @property
    def textures(self) -> TexturePair | None:
        """None: the picture was released."""
        return self._pair

    def compare(self, divider: float) -> None:
        self.divider = divider

    def to_host(self) -> Pixels:
        if self._pair is None:
            raise EngineError("the picture is empty", "wait for the next one")
        upscaled = read_texture(self.gpu, self._pair.upscaled, self.size)
        at = round(self.divider * self.size.width)
        if at > 0:
            original = read_texture(self.gpu, self._pair.original, self.original_size)
            columns = np.arange(at) * self.original_size.width // self.size.width
            rows = np.arange(self.size.height) * self.original_size.height // self.size.height
            upscaled[:, :at] = original[rows[:, None], columns]
        if 0 < at < self.size.width:
            upscaled[:, at - DIVIDER_PX // 2 : at + DIVIDER_PX // 2] = 255
        return upscaled

    def copy(self) -> Pixels:
        return self.to_host()

    def release(self) -> Pixels | None:
        pair, self._pair = self._pair, None
        if pair is not None:
            self._owner.give_back(pair)
        return None


class PictureTextures:
    """The textures for pictures of one size. They go round: a released picture's are drawn into again.

    `encode` and `give_back` are called by the thread that upscales. Raises one of `gpu.ERRORS`.
    """

    def __init__(self, gpu: Gpu, original: tuple[Size, Any], upscaled: tuple[Size, Any]) -> None:
        """original, upscaled: sizes and buffers of both pictures."""
        self.size, self.original_size = upscaled[0], original[0]
        self._gpu = gpu
        self._unpack = gpu.get_pipeline(UNPACK)
        self._sources = [
            ({"buffer": create_uniform(gpu, np.array(size, np.uint32))}, {"buffer": buffer}, size)
            for size, buffer in (upscaled, original)
        ]
        self._free: list[TexturePair] = []
        self._closed = False

    def encode(self, encoder: Any) -> CardPicture:
        """Adds the copies from the buffers into textures to what the encoder does."""
        pair = self._free.pop() if self._free else self._create_pair()
        work = encoder.begin_compute_pass()
        work.set_pipeline(self._unpack)
        for group, size in zip(pair.groups, (self.size, self.original_size), strict=True):
            work.set_bind_group(0, group)
            work.dispatch_workgroups(-(-size.width // GROUP), -(-size.height // GROUP))
        work.end()
        return CardPicture(self._gpu, pair, self)

    def give_back(self, pair: TexturePair) -> None:
        if not self._closed:
            self._free.append(pair)

    def close(self) -> None:
        """What is on the screen stays until it is released."""
        self._closed = True
        self._free.clear()

    def _create_pair(self) -> TexturePair:
        use = wgpu.TextureUsage.STORAGE_BINDING | wgpu.TextureUsage.TEXTURE_BINDING | wgpu.TextureUsage.COPY_SRC
        textures = [create_texture(self._gpu, size, use) for _, _, size in self._sources]
        groups = [
            bind(self._gpu, self._unpack, (dims, buffer, texture.create_view()))
            for (dims, buffer, _), texture in zip(self._sources, textures, strict=True)
        ]
        return TexturePair(textures[0], textures[1], tuple(groups))


def create_texture(gpu: Gpu, size: Size, use: int) -> Any:
    """Raises EngineError where there is not enough memory, or one of `gpu.ERRORS`."""
    try:
        return gpu.device.create_texture(size=(*size, 1), format=FORMAT, usage=use)
    except wgpu.GPUOutOfMemoryError:
        what = f"{gpu.adapter.name} has not enough free memory for a picture of {size}"
        raise EngineError(what, "close other programs") from None


def write_texture(gpu: Gpu, texture: Any, pixels: Pixels) -> None:
    """Copies BGRA pixels of the texture's size into it."""
    width, height = get_size(pixels)
    layout = {"bytes_per_row": width * 4, "rows_per_image": height}
    gpu.device.queue.write_texture({"texture": texture}, np.ascontiguousarray(pixels), layout, (width, height, 1))


def read_texture(gpu: Gpu, texture: Any, size: Size) -> Pixels:
    """A copy of what is in a texture of that size. Raises EngineError."""
    layout = {"bytes_per_row": size.width * 4, "rows_per_image": size.height}
    try:
        read = gpu.device.queue.read_texture({"texture": texture}, layout, (*size, 1))
    except ERRORS as error:
        raise EngineError(
            f"the picture is lost with its graphics card ({describe_failure(error)})", "see above"
        ) from error
    return np.frombuffer(read, np.uint8).reshape(size.height, size.width, 4).copy()


def create_uniform(gpu: Gpu, values: Any) -> Any:
    """A uniform buffer with these values."""
    return gpu.device.create_buffer_with_data(
        data=values.tobytes(), usage=wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST
    )


def bind(gpu: Gpu, pipeline: Any, resources: Any) -> Any:
    """A bind group of these resources, for the bindings 0, 1, ... of a pipeline."""
    entries = [{"binding": number, "resource": resource} for number, resource in enumerate(resources)]
    return gpu.device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
