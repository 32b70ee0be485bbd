"""The networks we ship: the exported file is the trained one, and the card tells the truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.models import zoo
from live_sr.models.architectures import cellnet
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Model
from live_sr.pipeline.frame import Frame, Size, get_size, make_black
from live_sr.training.dataset import TrainingPair, compute_psnr_y, read_pairs  # tools/ is no package

pytestmark = pytest.mark.torch

CARDS = zoo.list_cards()
TEST_SPLIT = Path(__file__).parents[3] / "shared" / "data" / "pairs" / "test"  # the founders' frames


def test_every_network_of_the_family_is_there_in_both_scales() -> None:
    names = ("balanced", "fast", "fast-pixel", "fast-restore", "quality", "turbo")
    assert [(card.name, card.scale) for card in CARDS] == [(name, scale) for name in names for scale in (2, 4)]


def test_all_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in zoo.WEIGHTS.iterdir()) < 12e6


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_exported_network_is_the_trained_one(card: ModelCard) -> None:
    net, steps = cellnet.load(card.onnx.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(card.onnx, providers=["CPUExecutionProvider"])
    for height, width in ((2, 2), (34, 50), (100, 180)):
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            trained = net(x).numpy()
        assert np.abs(session.run(None, {"rgb": x.numpy()})[0] - trained).max() < 1e-3
    assert (card.steps, card.scale) == (steps, net.scale)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_mean_of_a_card_is_that_of_its_games(card: ModelCard) -> None:
    games = [scores for game, scores in card.psnr_y.items() if game != "mean"]
    assert card.psnr_y["mean"].model == pytest.approx(np.mean([scores.model for scores in games]), abs=0.011)


@pytest.mark.parametrize(
    "name, scale, below",
    [
        ("fast", 2, 0.05),  # on Doom, for more on games that nobody trained on (docs/training.md)
        ("balanced", 2, 0),
        ("quality", 2, 0),
        ("quality", 4, 0),
    ],
)
def test_no_filter_is_better_on_any_game(name: str, scale: int, below: float) -> None:
    """Or at most by `below` dB."""
    for game, scores in zoo.find(name, scale).psnr_y.items():
        assert scores.bilinear is not None
        assert scores.model > max(scores.bilinear, scores.bicubic, scores.lanczos) - below, game


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_the_engine_makes_pictures_as_good_as_the_card_says(card: ModelCard) -> None:
    """Over the whole test split where it lies beside the project, as it does where changes are tested."""
    engine = factory.make_engine(Model.from_card(card), card.scale, EngineOptions())

    def score(pair: TrainingPair) -> float:
        frame = Frame(make_black(Size(pair.small.shape[1], pair.small.shape[0])))
        frame.pixels[..., :3] = pair.small[..., ::-1]
        engine.warm_up(get_size(frame.pixels))
        done = engine.upscale(frame)
        assert done is not None
        return compute_psnr_y(np.ascontiguousarray(done.pixels[..., 2::-1]), pair.large)

    for folder in sorted(TEST_SPLIT.iterdir()) if TEST_SPLIT.is_dir() else []:
        scores = [score(pair) for pair in read_pairs(folder, card.scale)]
        assert np.mean(scores) == pytest.approx(card.psnr_y[folder.name].model, abs=0.15), folder.name
    engine.close()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_a_picture_keeps_its_brightness_up_to_its_edges(card: ModelCard) -> None:
    """Zero padding would darken them."""
    engine = factory.make_engine(Model.from_card(card), card.scale, EngineOptions())
    engine.warm_up(Size(64, 48))
    for level in (32, 128, 224):
        frame = Frame(make_black(Size(64, 48)))
        frame.pixels[..., :3] = level
        done = engine.upscale(frame)
        assert done is not None
        assert cv2.absdiff(done.pixels[..., :3], np.full_like(done.pixels[..., :3], level)).max() <= 8, level
    engine.close()
