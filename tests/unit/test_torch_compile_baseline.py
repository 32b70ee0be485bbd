"""torch.compile as a peer: its picture, and what it says without a C++ compiler."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from live_sr.bench.baselines.onnxruntime import OnnxRuntimeEngine
from live_sr.bench.baselines.torch_compile import TorchCompileEngine
from live_sr.capture.pattern import PatternSource
from live_sr.errors import EngineError
from live_sr.models import zoo
from live_sr.pipeline.frame import Size

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


def test_without_a_compiler_it_is_a_sentence_with_a_remedy(tmp_path: Path) -> None:
    flags = ["--model", "turbo", "--size", "16x16", "--seconds", "0.1", "--engine", "compile", "--free"]
    done = subprocess.run(
        [sys.executable, "-m", "live_sr", "bench", *flags],
        env={
            **os.environ,
            "CXX": "no-such-compiler",
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": str(ROOT),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == EngineError.exit_code
    assert "torch.compile failed on turbo x2" in done.stderr
    assert "install g++" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_refuses_a_precision_that_it_does_not_have() -> None:
    with pytest.raises(EngineError, match="not compute in int8"):
        TorchCompileEngine(zoo.find("turbo", 2), precision="int8")


def test_it_makes_the_same_picture_as_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    card = zoo.find("turbo", 2)
    frame = PatternSource(Size(37, 23), fps=None).next_frame(0)
    assert frame is not None
    compiled, plain = TorchCompileEngine(card, threads=1), OnnxRuntimeEngine(card, threads=1)
    try:
        compiled.warm_up(Size(37, 23))
    except EngineError as error:  # a machine without a compiler: then this is what there is to see
        assert "compiler" in error.message.lower() + error.remedy
        return
    made, beside = compiled.upscale(frame), plain.upscale(frame)
    assert made is not None
    assert beside is not None
    assert np.abs(made.pixels.astype(int) - beside.pixels).max() <= 1
    compiled.close()
