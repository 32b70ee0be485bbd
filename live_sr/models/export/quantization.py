"""How the middle layers of our networks are computed in int8 or fp8: which ranges their inputs have.

The ranges were measured once on training frames and are in `activation_ranges.json`, by the SHA-256 of the network's
file: `python -m tools.gpu.quantization calibrate`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

RANGES = Path(__file__).with_name("activation_ranges.json")

KINDS = {"int8": (TensorProto.INT8, 127), "fp8": (TensorProto.FLOAT8E4M3FN, 448)}  # type, largest number

HEADROOM = {"int8": 1, "fp8": 4}
"""How many times the range a value may be before it is cut off. In fp8, a floating-point type, room costs no
precision. In int8 it does: for `quality` x2, 1 was better than 1.3 on training frames."""


@dataclass(frozen=True)
class Quantization:
    """kind: of the stored values in ONNX. largest: the largest stored value. ranges: the largest absolute value of each
    quantized layer's input, but for one in ten thousand. headroom: how many times larger values are not cut off.
    """

    kind: int
    largest: float
    ranges: tuple[float, ...]
    headroom: float

    def get_step(self, layer: int) -> float:
        """What a stored 1 means in the input of that layer."""
        return self.ranges[layer] * self.headroom / self.largest

    def store(self, name: str, multiples: npt.NDArray[np.float32]) -> TensorProto:
        """A tensor of multiples of a step, rounded and cut off."""
        cut = np.clip(multiples, -self.largest, self.largest)
        if self.kind == TensorProto.INT8:
            return numpy_helper.from_array(np.round(cut).astype(np.int8), name)
        return helper.make_tensor(name, self.kind, cut.shape, encode_fp8(cut).tobytes(), raw=True)

    def make_zero(self, name: str) -> TensorProto:
        """The zero point, which also says the type. TensorRT takes no other than zero."""
        return helper.make_tensor(name, self.kind, [], bytes(1), raw=True)


def encode_fp8(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The nearest numbers in E4M3FN: sign, 4 bits of exponent and 3 of mantissa. values: from -448 to 448."""
    codes = np.arange(0x7F)  # the next one is not a number
    exponents, mantissas = codes >> 3, codes & 7
    numbers = np.where(exponents > 0, (8 + mantissas) * 2.0 ** (exponents - 10), mantissas * 2.0**-9)
    nearest = np.searchsorted((numbers[1:] + numbers[:-1]) / 2, np.abs(values))
    return (nearest | np.where(values < 0, 0x80, 0)).astype(np.uint8)


def find_quantization(network: Path, precision: str) -> Quantization | None:
    """For the network in that file and int8 or fp8; None if its ranges were not measured. Raises OSError."""
    known = json.loads(RANGES.read_text(encoding="utf-8"))
    found = known.get(hashlib.sha256(network.read_bytes()).hexdigest())
    if found is None:
        return None
    kind, largest = KINDS[precision]
    return Quantization(kind, largest, tuple(map(float, found["ranges"])), HEADROOM[precision])
