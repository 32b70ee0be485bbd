"""Enlarges the frames of a video in PyTorch with networks that need several of them at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from live_sr.errors import EngineError
from live_sr.models.architectures.frame_sequence import LevelSequence
from live_sr.pipeline.engine_contracts import Cost
from live_sr.pipeline.frame import Pixels, Size, make_black


class TorchSequence:
    """A FrameSequence of BGRA frames, around one of RGB levels. label: the model, for error messages."""

    def __init__(self, levels: LevelSequence, label: str) -> None:
        self._levels = levels
        self._label = label

    def feed(self, pixels: Pixels) -> Iterator[Pixels]:
        with self._explain():
            for done in self._levels.feed(torch.from_numpy(np.ascontiguousarray(pixels[..., 2::-1])).permute(2, 0, 1)):
                yield _to_pixels(done)

    def finish(self) -> Iterator[Pixels]:
        with self._explain():
            for done in self._levels.finish():
                yield _to_pixels(done)

    def save_state(self) -> bytes:
        file = io.BytesIO()
        arrays = {name: _to_array(value) for name, value in self._levels.get_state().items()}
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def restore_state(self, state: bytes) -> None:
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as saved:
                found = {name: torch.from_numpy(saved[name]) for name in saved.files}
            if found:
                self._levels.set_state(found)
        except (KeyError, OSError, ValueError) as error:
            raise EngineError(f"the kept state of {self._label} cannot be used: {error}", "use --discard") from error

    def measure_cost(self, size: Size) -> Cost:
        with self._explain():
            return self._levels.measure_cost(size.height, size.width)

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Raises EngineError for what PyTorch raises."""
        try:
            yield
        except FloatingPointError as error:
            what = f"{self._label} cannot be used for this video: {error}"
            raise EngineError(what, 'use another model, or precision = "fp32" under [engine]') from error
        except RuntimeError as error:  # no memory, frames too small for the network
            what = f"PyTorch failed on {self._label}: {str(error).splitlines()[0]}"
            raise EngineError(what, "use smaller tiles with --tile, or another model") from error


def _to_pixels(levels: Tensor) -> Pixels:
    done = make_black(Size(levels.shape[2], levels.shape[1]))
    torch.from_numpy(done)[..., :3].copy_(levels.flip(0).permute(1, 2, 0))
    return done


def _to_array(value: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """As NumPy has no bf16, such numbers are kept as fp32, which holds them exactly."""
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return array
