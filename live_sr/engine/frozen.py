"""Published networks for luma, as frozen TensorFlow graphs (.pb: FSRCNN, ESPCN), on the CPU through OpenVINO.

OpenVINO 2026.4 reads them at once; OpenCV 5's dnn reports each as not parseable before it falls back to its older
reader.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from live_sr.engine.openvino import OpenVINOEngine, core, padded
from live_sr.errors import ModelError
from live_sr.frame import Size
from live_sr.models.card import ModelCard

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""BT.601 in full range, as in JPEG: what such networks are trained and used with (OpenCV's dnn_superres)."""

PROBE = Size(16, 16)
REMEDY = "use a frozen graph from luma in 0..1, (1, H, W, 1), to the same enlarged"


class FrozenEngine(OpenVINOEngine):
    """A luma network and bicubic interpolation for the colours, in one compiled graph.

    precision: auto is fp32, so that figures are those of the network as published. Between the colours and the network
    nothing is rounded to levels, which is worth 0.05 to 0.2 dB against feeding it an 8-bit luma.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        precision = "fp32" if precision == "auto" else precision
        super().__init__(card, precision=precision, threads=threads, cache=cache)

    @staticmethod
    def read(path: Path) -> ModelCard:
        """What the file tells. Raises ModelError."""
        luma = _luma(path, PROBE)
        made = luma.output(0).get_shape()
        scale = round((prod(made) / prod(PROBE)) ** 0.5)
        if scale < 2 or sorted(made) != sorted([1, 1, PROBE.height * scale, PROBE.width * scale]):
            raise ModelError(f"{path} makes {list(made)} of 1x16x16x1, which is no enlarged luma", REMEDY)
        nodes = luma.get_ops()
        learned = [n.output(0) for n in nodes if n.get_type_name() == "Constant"]
        convolutions = [n for n in nodes if n.get_type_name() == "Convolution"]
        macs = sum(prod(n.input(1).get_shape()) * prod(n.output(0).get_shape()[2:]) for n in convolutions)
        return ModelCard(
            path.stem,
            scale,
            path,
            architecture="frozen TensorFlow graph",
            parameters=sum(prod(c.get_shape()) for c in learned if c.get_element_type() == ov.Type.f32),
            macs_per_pixel=round(macs / prod(PROBE)),
        )

    def _network(self, size: Size) -> ov.Model:
        room = padded(size, self._card.multiple)
        return coloured(_luma(self._card.onnx, room), room, self._card.scale)


def coloured(luma: ov.Model, size: Size, scale: int) -> ov.Model:
    """RGB (1, 3, H, W) in and the same `scale` times larger out, by a network of (1, H, W, 1) for the luma.

    Red, green and blue less the luma are linear in Cb and Cr, so interpolating those differences interpolates the
    chroma, and adding the new luma to them is the way back. The interpolation is a convolution and a shuffle,
    since OpenVINO's own cubic interpolation took longer than a network.
    """
    large = size.times(scale)
    rgb = ops.parameter([1, 3, size.height, size.width], np.float32)
    y = ops.convolution(rgb, ops.constant(LUMA.reshape(1, 3, 1, 1)), [1, 1], [0, 0], [0, 0], [1, 1])
    flat = ops.reshape(y, ops.constant(np.array([1, size.height, size.width, 1])), special_zero=False)
    for reader in luma.input(0).get_node().output(0).get_target_inputs():
        reader.replace_source_output(flat.output(0))
    result = luma.output(0).get_node().input_value(0)
    new_y = ops.reshape(result, ops.constant(np.array([1, 1, large.height, large.width])), special_zero=False)
    bordered = ops.pad(rgb, [0, 0, REACH, REACH], [0, 0, REACH, REACH], "edge")
    weights = np.einsum("ci,pyx->cpiyx", np.eye(3, dtype=np.float32) - LUMA, bicubic(scale))
    kernels = ops.constant(weights.reshape(3 * scale**2, 3, TAPS, TAPS))
    cells = ops.convolution(bordered, kernels, [1, 1], [0, 0], [0, 0], [1, 1])
    colours = ops.depth_to_space(cells, "depth_first", scale)
    return ov.Model([ops.add(colours, new_y)], [rgb], "coloured")


REACH = 2  # pixels to each side from which bicubic interpolation takes
TAPS = 2 * REACH + 1


def bicubic(scale: int) -> npt.NDArray[np.float32]:
    """(scale², 5, 5): the weights of the pixels around one for each of the pixels that it becomes, row by row.

    Cubic convolution as in Keys (1981), with the a = -0.75 that OpenCV uses.
    """
    a = -0.75
    centres = (np.arange(scale) + 0.5) / scale - 0.5
    d = np.abs(np.arange(-REACH, REACH + 1) - centres[:, np.newaxis])
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    taps = np.where(d < 1, near, np.where(d < 2, far, 0))
    plane: npt.NDArray[np.float32] = np.einsum("yi,xj->yxij", taps, taps).astype(np.float32)
    return plane.reshape(scale**2, TAPS, TAPS)


def _luma(path: Path, size: Size) -> ov.Model:
    """The network in the file, shaped for pictures of that size. Raises ModelError."""
    try:
        luma = core().read_model(path)
        if len(luma.inputs) != 1 or len(luma.outputs) != 1:
            what = f"it has {len(luma.inputs)} inputs and {len(luma.outputs)} outputs"
            raise ModelError(f"{path} cannot enlarge pictures: {what}", REMEDY)
        luma.reshape([1, size.height, size.width, 1])
    except (RuntimeError, UnicodeDecodeError) as error:  # its messages may hold pieces of the file
        raise ModelError(f"{path} is not a luma network that OpenVINO can read: {_told(error)}", REMEDY) from error
    if luma.output(0).get_partial_shape().is_dynamic:
        raise ModelError(f"{path} cannot enlarge pictures: the size of what it makes is not fixed", REMEDY)
    return luma


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
