"""OpenVINO's folded graph draws what the plain one draws, at any size."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from live_sr.engines.openvino.engine import OpenVINOEngine, get_core
from live_sr.engines.trial_picture import make_trial_picture
from live_sr.errors import ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

HAS_BF16 = "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
NETWORKS = [("fast", 2), ("fast", 4), ("turbo", 2), ("turbo", 4), ("balanced", 4)]


def draw(card: ModelCard, pixels: Pixels, *, folded: bool, precision: str = "fp32") -> Pixels:
    engine = OpenVINOEngine(card, precision=precision, threads=1, folded=folded)
    done = engine.upscale(Frame(pixels))
    engine.close()
    assert done is not None
    return done.pixels


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (37, 23), (96, 64)])
def test_it_draws_what_the_plain_graph_draws(name: str, scale: int, size: tuple[int, int]) -> None:
    card = zoo.find(name, scale)
    pixels = make_trial_picture(Size(*size))
    pixels[..., 3] = 17  # whatever a game leaves there
    done, expected = (draw(card, pixels, folded=folded) for folded in (True, False))
    assert get_size(done) == Size(*size).times(scale)
    assert (done[..., 3] == 255).all()
    difference = np.abs(done.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01, "sums of fp32 differ in the last bits"


@pytest.mark.skipif(not HAS_BF16, reason="this processor does not compute in bf16")
@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_in_bf16_it_is_no_further_from_fp32_than_the_plain_graph(name: str, scale: int) -> None:
    card = zoo.find(name, scale)
    pixels = make_trial_picture(Size(160, 96))
    exact = draw(card, pixels, folded=False).astype(int)
    plain, folded = (np.abs(draw(card, pixels, folded=one, precision="bf16") - exact) for one in (False, True))
    assert folded.max() <= max(1, plain.max())
    assert folded.mean() <= plain.mean()


def test_another_network_is_refused_in_a_sentence(tmp_path: Path) -> None:
    card = zoo.find("turbo", 2)
    onnx = tmp_path / "mine-x2.onnx"
    shutil.copy(card.onnx, onnx)
    mine = ModelCard("mine", 2, onnx, multiple=2)
    with pytest.raises(ModelError, match="cannot be read"):
        draw(mine, make_trial_picture(Size(16, 16)), folded=True)
    onnx.with_suffix(".safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError, match="no network of live-sr's own"):
        draw(mine, make_trial_picture(Size(16, 16)), folded=True)
