"""In int8 the inner layers of a network are stored in eight bits, and the picture hardly changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from live_sr.engines.openvino.engine import OpenVINOEngine, get_core
from live_sr.engines.openvino.int8_graph import build_int8_network
from live_sr.engines.trial_picture import make_trial_picture
from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.cellnet_weights import read_weights
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

NETWORKS = [("fast", 2), ("fast", 4), ("turbo", 2), ("turbo", 4)]


def draw(card: ModelCard, pixels: Pixels, precision: str) -> Pixels:
    engine = OpenVINOEngine(card, precision=precision, threads=1)
    assert engine.info.precision == precision
    done = engine.upscale(Frame(pixels))
    engine.close()
    assert done is not None
    return done.pixels


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_the_picture_is_nearly_that_of_fp32(name: str, scale: int) -> None:
    card = zoo.find(name, scale)
    pixels = make_trial_picture(Size(121, 75))
    done, expected = (draw(card, pixels, precision) for precision in ("int8", "fp32"))
    assert get_size(done) == Size(121, 75).times(scale)
    difference = np.abs(done.astype(int) - expected)
    assert difference.max() <= 12
    assert 0 < difference.mean() < 0.3


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_all_layers_but_the_first_and_the_last_compute_in_eight_bits(name: str, scale: int) -> None:
    card = zoo.find(name, scale)
    weights = read_weights(card.onnx.with_suffix(".safetensors"))
    network = build_int8_network(weights, card.int8_ranges, Size(64, 48))
    compiled = get_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = [str(node["runtimePrecision"].value) for node in nodes if node["layerType"].value == "Convolution"]
    assert len(kinds) == len(weights.layers) + 1
    assert all("8" in kind for kind in kinds[1:-1])
    assert all("8" not in kind for kind in (kinds[0], kinds[-1]))


def test_without_ranges_int8_is_refused_with_a_remedy() -> None:
    card = replace(zoo.find("fast", 2), int8_ranges=())
    with pytest.raises(EngineError, match="the card of fast x2 has no ranges for int8") as caught:
        OpenVINOEngine(card, precision="int8")
    assert "--int8" in caught.value.remedy


def test_ranges_of_another_network_are_refused() -> None:
    card = replace(zoo.find("fast", 2), int8_ranges=((-1.0, 1.0),))
    with pytest.raises(ModelError, match="1 int8_ranges for 3 layers"):
        OpenVINOEngine(card, precision="int8").warm_up(Size(16, 16))
