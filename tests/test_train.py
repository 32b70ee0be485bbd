"""Training: from pairs of pictures to a model that the program runs."""

from __future__ import annotations

import os
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
from live_sr.models import nets, zoo
from live_sr.models.nets import CellNet

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))
from frames import Pair, Patches, Source, psnr_y, read_pairs, read_sources, split  # noqa: E402
from losses import fft_loss, psnr_loss, relativistic  # noqa: E402


def tool(name: str, *arguments: object, launcher: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *launcher, str(ROOT / "tools" / name), *(str(a) for a in arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(name: str, *arguments: object) -> str:
    """What a tool says when it does not do what was asked."""
    command = [sys.executable, str(ROOT / "tools" / name), *(str(a) for a in arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


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


SHORT = ("--batch", 2, "--patch", 32, "--every", 2)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_new_network_begins_as_bicubic_interpolation(scale: int) -> None:
    net = CellNet(scale)
    with torch.no_grad():
        net.tail.weight[:, : net.head.out_channels] = 0
        picture = torch.rand(1, 3, 26, 34)
        ours = net(picture)[0].permute(1, 2, 0).numpy()
    theirs = cv2.resize(picture[0].permute(1, 2, 0).numpy(), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize(("depth", "wide"), [(3, 0), (8, 0), (8, 64)])
def test_a_network_begins_with_what_a_shallower_one_has_learned(depth: int, wide: int) -> None:
    shallow, deep = CellNet(2, depth=3).eval(), CellNet(2, depth=depth, wide=wide).eval()
    nets.begin_with(deep, shallow)
    with torch.no_grad():
        picture = torch.rand(1, 3, 32, 32)
        assert (shallow(picture) - deep(picture)).abs().max() < 0.01


def test_a_network_of_another_scale_begins_with_all_but_the_last_layer() -> None:
    two, four = CellNet(2), CellNet(4)
    nets.begin_with(four, two)
    assert torch.equal(two.body[1].weight, four.body[1].weight)
    with torch.no_grad():
        picture = torch.rand(1, 3, 26, 34)
        assert four(picture).shape == (1, 3, 104, 136)


def test_a_network_cannot_begin_with_one_of_other_features() -> None:
    with pytest.raises(ValueError, match="cannot start"):
        nets.begin_with(CellNet(2, 16), CellNet(2, 32))


def test_a_detour_of_training_is_folded_into_the_plain_layers() -> None:
    net = CellNet(2, 16, 2, wide=40)
    for layer in (net.head, *net.body):
        torch.nn.init.normal_(layer.get_parameter("squeeze"), std=0.05)
    plain = net.folded()
    assert not any("expand" in name for name in plain.state_dict())
    with torch.no_grad():
        picture = torch.rand(1, 3, 20, 24)
        assert (net(picture) - plain(picture)).abs().max() < 1e-4


def test_the_family_keeps_to_its_budgets() -> None:
    costs = {key: nets.cost(CellNet(key[1], shape.features, shape.depth)) for key, shape in nets.FAMILY.items()}
    assert costs["turbo", 2][1] <= 6_000
    assert costs["fast", 2][1] <= 12_600
    assert 50_000 <= costs["balanced", 2][1] <= 100_000
    assert 50_000 <= costs["balanced", 4][1] <= 100_000
    assert all(parameters <= 1_200_000 for parameters, _ in costs.values())


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


def test_the_spectrum_loss_sees_missing_detail() -> None:
    target = torch.rand(1, 3, 32, 32)
    soft = torch.nn.functional.avg_pool2d(target, 3, 1, 1)
    assert fft_loss(target, target) == 0
    assert fft_loss(soft, target) > fft_loss(0.5 * (soft + target), target)


def test_the_gan_pulls_both_sides_in_opposite_directions() -> None:
    real, made = torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 4, 4), -2.0)
    right = relativistic(real, made, for_network=False)
    assert right < relativistic(made, real, for_network=False)
    assert torch.isclose(relativistic(real, made, for_network=True), relativistic(made, real, for_network=False))


def test_a_source_is_drawn_from_by_its_weight() -> None:
    grey = [np.full((64, 64, 3), level, np.uint8) for level in (50, 200)]
    sources = [
        Source("rare", [Pair("a_1", grey[0], grey[0].repeat(2, 0).repeat(2, 1))], weight=1),
        Source("often", [Pair(f"b_{i}", grey[1], grey[1].repeat(2, 0).repeat(2, 1)) for i in range(3)], weight=9),
    ]
    small, large = next(Patches(sources, 2, 32, seed=1, augment=0.0).batches(200))
    assert small.shape == (200, 3, 32, 32)
    assert large.shape == (200, 3, 64, 64)
    bright = float((small[:, 0, 0, 0] > 0.5).float().mean())
    assert 0.8 < bright < 0.98


def test_frames_of_an_odd_size_lose_their_last_row_or_column(tmp_path: Path) -> None:
    for side, size in (("lr", (75, 63)), ("hr", (300, 252))):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a_1.png"), np.zeros((*size, 3), np.uint8))
    (pair,) = read_pairs(tmp_path, 2)
    assert (pair.small.shape, pair.large.shape) == ((74, 62, 3), (148, 124, 3))


def test_a_manifest_names_sources_and_their_weights(pairs: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "data.toml"
    manifest.write_text('[[source]]\nname = "noise"\npairs = ["pairs"]\nweight = 0.5\nvalidate = false\n')
    (source,) = read_sources([], manifest, 2)
    assert (source.name, source.weight, source.validate, len(source.pairs)) == ("noise", 0.5, False, 12)
    manifest.write_text("[[source]]\nname = 3\n")
    with pytest.raises(SystemExit, match="is not a data manifest"):
        read_sources([], manifest, 2)


def test_a_stopped_training_goes_on_and_its_weights_become_a_model_that_runs(pairs: Path, tmp_path: Path) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    few = ("--pairs", pairs, "--scale", 2, "--features", 16, "--depth", 1, *SHORT)
    tool("train.py", *few, "--steps", 4, "--out", run)
    tool("train.py", *few, "--steps", 6, "--out", run, "--resume")
    weights = run / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        assert file.metadata()["step"] == "6"
    assert [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()] == ["2", "4", "6"]
    more = ("--from", weights, "--teacher", weights, "--wide", 24, "--psnr")
    tool("train.py", *few, "--steps", 2, "--out", tmp_path / "more", *more)

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


def test_a_shipped_network_goes_on_learning_against_a_discriminator(pairs: Path, tmp_path: Path) -> None:
    sharper = ("--fft", 0.05, "--gan", 0.005)
    tool("train.py", "--pairs", pairs, "--from", "fast", *SHORT, "--steps", 2, "--out", tmp_path / "run", *sharper)
    shipped, steps = nets.load(zoo.WEIGHTS / "fast-x2.safetensors")
    tuned, more = nets.load(tmp_path / "run" / "weights.safetensors")
    assert (tuned.shape, more) == (shipped.shape, steps + 2)


def test_two_processes_train_one_network(pairs: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(29500 + os.getpid() % 500))
    few = ("--pairs", pairs, "--features", 16, "--depth", 1, *SHORT, "--steps", 4, "--out", tmp_path / "run")
    tool("train.py", *few, launcher=launcher)
    assert nets.load(tmp_path / "run" / "weights.safetensors")[1] == 4
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2  # one process writes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pairs", "nowhere"), "holds no lr/"),
        ((), "nothing to train on"),
        (("--pairs", "PAIRS", "--from", "nothing"), "holds no weights of ours"),
        (("--pairs", "PAIRS", "--model", "huge"), "one of ['balanced', 'fast', 'quality', 'turbo']"),
        (("--pairs", "PAIRS", "--resume"), "leave --resume out"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_sentence(
    arguments: tuple[str, ...], said: str, pairs: Path, tmp_path: Path
) -> None:
    given = [str(pairs) if a == "PAIRS" else a for a in arguments]
    assert said in refused("train.py", *given, "--out", tmp_path / "run")
