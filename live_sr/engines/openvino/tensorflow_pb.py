"""Runs published luma networks from frozen TensorFlow graphs (.pb: FSRCNN, ESPCN) on the CPU with OpenVINO.

OpenVINO 2026.4 reads these files. OpenCV 5's dnn reports each of them as not parseable before it falls back to its
older reader.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import openvino as ov

from live_sr.engines.openvino.engine import OpenVINOEngine, get_core, summarise_error
from live_sr.engines.openvino.luma import add_chroma_path
from live_sr.errors import ModelError
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Size

PROBE_SIZE = Size(16, 16)
REMEDY = "use a frozen graph that enlarges luma in 0..1, (1, H, W, 1)"


class TensorFlowGraphEngine(OpenVINOEngine):
    """A luma network, and bicubic interpolation for the colours, in one compiled graph.

    precision: auto means fp32, so that quality figures are those of the network as published. The luma is not rounded
    to levels before it enters the network, which gains 0.05 to 0.2 dB over an 8-bit luma.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        precision = "fp32" if precision == "auto" else precision
        super().__init__(card, precision=precision, threads=threads, cache=cache)

    @staticmethod
    def read(path: Path) -> ModelCard:
        """A model card with what the file says. Raises ModelError."""
        luma = _read_luma_network(path, PROBE_SIZE)
        shape = luma.output(0).get_shape()
        scale = round((prod(shape) / prod(PROBE_SIZE)) ** 0.5)
        if scale < 2 or sorted(shape) != sorted([1, 1, PROBE_SIZE.height * scale, PROBE_SIZE.width * scale]):
            raise ModelError(f"{path} turns 1x16x16x1 into {list(shape)}, which is no enlarged luma", REMEDY)
        nodes = luma.get_ops()
        constants = [n.output(0) for n in nodes if n.get_type_name() == "Constant"]
        convolutions = [n for n in nodes if n.get_type_name() == "Convolution"]
        macs = sum(prod(n.input(1).get_shape()) * prod(n.output(0).get_shape()[2:]) for n in convolutions)
        return ModelCard(
            path.stem,
            scale,
            path,
            architecture="frozen TensorFlow graph",
            parameters=sum(prod(c.get_shape()) for c in constants if c.get_element_type() == ov.Type.f32),
            macs_per_pixel=round(macs / prod(PROBE_SIZE)),
        )

    def _read_network(self, size: Size, peak: int) -> ov.Model:
        padded = size.round_up(self._card.multiple)
        return add_chroma_path(_read_luma_network(self._card.onnx, padded), padded, self._card.scale)


def _read_luma_network(path: Path, size: Size) -> ov.Model:
    """The network in the file, shaped for pictures of that size. Raises ModelError."""
    try:
        luma = get_core().read_model(path)
        if len(luma.inputs) != 1 or len(luma.outputs) != 1:
            what = f"it has {len(luma.inputs)} inputs and {len(luma.outputs)} outputs"
            raise ModelError(f"{path} cannot enlarge pictures: {what}", REMEDY)
        luma.reshape([1, size.height, size.width, 1])
    except (RuntimeError, UnicodeDecodeError) as error:  # OpenVINO's messages may contain raw bytes of the file
        raise ModelError(
            f"{path} is not a luma network that OpenVINO can read: {summarise_error(error)}", REMEDY
        ) from error
    if luma.output(0).get_partial_shape().is_dynamic:
        raise ModelError(f"{path} cannot enlarge pictures: the size of its output is not fixed", REMEDY)
    return luma
