"""The networks we ship: the exported file is the trained one, and the card tells the truth."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from live_sr import assembly
from live_sr.frame import Frame, Size, fresh, size_of
from live_sr.models import nets, zoo
from live_sr.models.card import ModelCard

sys.path.append(str(Path(__file__).parent.parent / "tools"))
from frames import Pair, psnr_y, read_pairs  # tools/ is no package

CARDS = zoo.cards()
TEST_SPLIT = Path(__file__).parent.parent.parent / "shared" / "data" / "pairs" / "test"  # the founders' frames


def test_there_is_a_network_for_both_scales() -> None:
    assert [(card.name, card.scale) for card in CARDS] == [("fast", 2), ("fast", 4)]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_exported_network_is_the_trained_one(card: ModelCard) -> None:
    net, steps = nets.load(card.onnx.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(card.onnx, providers=["CPUExecutionProvider"])
    for height, width in ((2, 2), (34, 50), (100, 180)):
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            trained = net(x).numpy()
        assert np.abs(session.run(None, {"rgb": x.numpy()})[0] - trained).max() < 1e-3
    assert (card.steps, card.scale) == (steps, net.scale)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_card_tells_a_decibel_more_than_lanczos(card: ModelCard) -> None:
    mean = card.psnr_y["mean"]
    assert mean.model >= mean.lanczos + 1.0
    games = [scores for game, scores in card.psnr_y.items() if game != "mean"]
    assert mean.model == pytest.approx(np.mean([scores.model for scores in games]), abs=0.011)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_engine_makes_pictures_as_good_as_the_card_says(card: ModelCard) -> None:
    """Over the whole test split where it lies beside the project, as it does where changes are tested."""
    engine = assembly.make_engine(card.name, card.scale, assembly.EngineOptions())

    def score(pair: Pair) -> float:
        frame = Frame(fresh(Size(pair.small.shape[1], pair.small.shape[0])))
        frame.pixels[..., :3] = pair.small[..., ::-1]
        engine.warm_up(size_of(frame.pixels))
        done = engine.upscale(frame)
        assert done is not None
        return psnr_y(np.ascontiguousarray(done.pixels[..., 2::-1]), pair.large)

    for folder in sorted(TEST_SPLIT.iterdir()) if TEST_SPLIT.is_dir() else []:
        scores = [score(pair) for pair in read_pairs(folder, card.scale)]
        assert np.mean(scores) == pytest.approx(card.psnr_y[folder.name].model, abs=0.15), folder.name
    engine.close()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_a_picture_keeps_its_brightness_up_to_its_edges(card: ModelCard) -> None:
    """Zero padding would darken them."""
    engine = assembly.make_engine(card.name, card.scale, assembly.EngineOptions())
    engine.warm_up(Size(64, 48))
    for level in (32, 128, 224):
        frame = Frame(fresh(Size(64, 48)))
        frame.pixels[..., :3] = level
        done = engine.upscale(frame)
        assert done is not None
        assert cv2.absdiff(done.pixels[..., :3], np.full_like(done.pixels[..., :3], level)).max() <= 8, level
    engine.close()
