"""The ways in which the shaders can store and compute values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arithmetic:
    """precision: how values are stored between layers, as the user reads it. half_sums: also computed in
    fp16, except in the last layer, whose picture would be up to three levels off."""

    precision: str
    half_sums: bool = False

    @property
    def stores_half(self) -> bool:
        return self.precision == "fp16"

    def __str__(self) -> str:
        if not self.stores_half:
            return "fp32"
        return "fp16" if self.half_sums else "fp16 with sums in fp32"


FP32 = Arithmetic("fp32")
FP16_STORED = Arithmetic("fp16")  # needs nothing of the adapter: two values are packed into 32 bits
FP16 = Arithmetic("fp16", half_sums=True)  # needs the feature shader-f16

SHADER_F16 = "shader-f16"


def list_candidates(precision: str, features: frozenset[str]) -> list[Arithmetic]:
    """What can be tried for a precision of the settings on an adapter with these features. Empty: nothing is known."""
    halves = [FP16_STORED, *([FP16] if SHADER_F16 in features else [])]
    return {"auto": [FP32, *halves], "fp32": [FP32], "fp16": halves}.get(precision, [])
