"""Training: from pairs of pictures to a model that the program runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from live_sr.engine.openvino import OpenVINOEngine
from live_sr.frame import Frame, Size, fresh, size_of
from live_sr.models import zoo
from live_sr.models.nets import CellNet

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))
from train import Pair, deepened, psnr_loss, psnr_y, split  # noqa: E402


def tool(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "tools" / name), *(str(a) for a in arguments)]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A dozen small pairs of noise: what matters is the way, not what is learned."""
    folder = tmp_path / "pairs"
    random = np.random.default_rng(1)
    for number in range(12):
        large = random.integers(0, 256, (256, 320, 3)).astype(np.uint8)
        for side, picture in (("lr", cv2.resize(large, (80, 64))), ("hr", large)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / side / f"map{number:02}_00035.png"), picture)
    return folder


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_new_network_begins_as_bicubic_interpolation(scale: int) -> None:
    net = CellNet(scale)
    with torch.no_grad():
        net.tail.weight[:, : net.head.out_channels] = 0
        picture = torch.rand(1, 3, 26, 34)
        ours = net(picture)[0].permute(1, 2, 0).numpy()
    theirs = cv2.resize(picture[0].permute(1, 2, 0).numpy(), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_deepened_network_begins_as_the_shallow_one() -> None:
    shallow, deep = CellNet(2, depth=3).eval(), CellNet(2, depth=8).eval()
    deep.load_state_dict(deepened(shallow.state_dict(), 8))
    with torch.no_grad():
        picture = torch.rand(1, 3, 32, 32)
        assert (shallow(picture) - deep(picture)).abs().max() < 0.01


def test_no_map_is_both_trained_on_and_validated_with() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    training, held = split([Pair(f"map{n // 3:02}_{n:05}", blank, blank) for n in range(60)])
    assert {p.place for p in training}.isdisjoint({p.place for p in held})
    assert len(training) + len(held) == 60
    assert len(held) == 6


def test_the_psnr_loss_ranks_pictures_as_psnr_does() -> None:
    target = torch.rand(1, 3, 32, 32)
    losses, scores = [], []
    for noise in (0.3, 0.1, 0.03):
        guess = (target + noise * torch.randn(1, 3, 32, 32)).clamp(0, 1)
        losses.append(float(psnr_loss(guess, target)))
        pictures = [(side[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8) for side in (guess, target)]
        scores.append(psnr_y(*pictures))
    assert losses == sorted(losses, reverse=True)
    assert scores == sorted(scores)


def test_a_stopped_training_goes_on_and_its_weights_become_a_model_that_runs(pairs: Path, tmp_path: Path) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    few = ("--pairs", pairs, "--scale", 2, "--features", 16, "--depth", 1, "--batch", 2, "--patch", 32, "--every", 2)
    tool("train.py", *few, "--steps", 4, "--out", run)
    tool("train.py", *few, "--steps", 6, "--out", run, "--resume")
    weights = run / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        assert file.metadata()["step"] == "6"
    assert [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()] == ["2", "4", "6"]
    tool("train.py", *few, "--steps", 2, "--out", tmp_path / "more", "--from", weights, "--psnr")

    told = tool("export.py", weights, "--name", "mine", "--test", pairs, "--out", models)
    assert "pairs = { model = " in told
    (card,) = zoo.cards(models)
    assert (card.name, card.scale, card.steps) == ("mine", 2, 6)
    engine = OpenVINOEngine(card)
    engine.warm_up(Size(33, 21))
    done = engine.upscale(Frame(fresh(Size(33, 21))))
    assert done is not None
    assert size_of(done.pixels) == Size(66, 42)
    engine.close()
