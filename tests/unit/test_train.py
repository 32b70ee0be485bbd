"""Training: from pairs of pictures to a model that the program runs."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.errors import UsageError
from live_sr.models import zoo
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CellNet
from live_sr.pipeline.frame import Frame, Size, get_size, make_black
from live_sr.training.dataset import (
    Patches,
    TrainingPair,
    TrainingSource,
    compute_psnr_y,
    leave_out,
    read_pairs,
    read_sources,
    split_by_place,
)
from live_sr.training.losses import fft_loss, psnr_loss, relativistic_loss, ssim_loss
from live_sr.training.optimizer import MuonWithAdam

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


def tool(name: str, *arguments: object, launcher: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *launcher, "-m", "live_sr", name, *(str(a) for a in arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(name: str, *arguments: object, **environment: str) -> str:
    """What a command says when it refuses: a sentence and a remedy, and the exit code of an error that is named."""
    command = [sys.executable, "-m", "live_sr", name, *(str(a) for a in arguments)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
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
    cellnet.initialise_from(deep, shallow)
    with torch.no_grad():
        picture = torch.rand(1, 3, 32, 32)
        assert (shallow(picture) - deep(picture)).abs().max() < 0.01


def test_a_network_of_another_scale_begins_with_all_but_the_last_layer() -> None:
    two, four = CellNet(2), CellNet(4)
    cellnet.initialise_from(four, two)
    assert torch.equal(two.body[1].weight, four.body[1].weight)
    with torch.no_grad():
        picture = torch.rand(1, 3, 26, 34)
        assert four(picture).shape == (1, 3, 104, 136)


def test_a_network_cannot_begin_with_one_of_other_features() -> None:
    with pytest.raises(ValueError, match="cannot start"):
        cellnet.initialise_from(CellNet(2, 16), CellNet(2, 32))


def test_a_detour_of_training_is_folded_into_the_plain_layers() -> None:
    net = CellNet(2, 16, 2, wide=40)
    for layer in (net.head, *net.body):
        torch.nn.init.normal_(layer.get_parameter("squeeze"), std=0.05)
    plain = net.fold()
    assert not any("expand" in name for name in plain.state_dict())
    with torch.no_grad():
        picture = torch.rand(1, 3, 20, 24)
        assert (net(picture) - plain(picture)).abs().max() < 1e-4


def test_the_family_keeps_to_its_budgets() -> None:
    costs = {
        key: cellnet.compute_cost(CellNet(key[1], shape.features, shape.depth)) for key, shape in cellnet.FAMILY.items()
    }
    assert costs["turbo", 2][1] <= 6_000
    assert costs["fast", 2][1] <= 12_600
    assert 50_000 <= costs["balanced", 2][1] <= 100_000
    assert 50_000 <= costs["balanced", 4][1] <= 100_000
    assert all(parameters <= 1_200_000 for parameters, _ in costs.values())


def test_no_map_is_both_trained_on_and_validated_with() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    training, held = split_by_place([TrainingPair(f"map{n // 3:02}_{n:05}", blank, blank) for n in range(60)])
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
        scores.append(compute_psnr_y(*pictures))
    assert losses == sorted(losses, reverse=True)
    assert scores == sorted(scores)


def test_the_spectrum_loss_sees_missing_detail() -> None:
    target = torch.rand(1, 3, 32, 32)
    soft = torch.nn.functional.avg_pool2d(target, 3, 1, 1)
    assert fft_loss(target, target) == 0
    assert fft_loss(soft, target) > fft_loss(0.5 * (soft + target), target)


def test_the_ssim_loss_of_one_window_follows_the_definition() -> None:
    target = torch.rand(1, 3, 11, 11, generator=torch.Generator().manual_seed(1))
    guess = 0.6 * target + 0.1
    away = (np.indices((11, 11)) - 5) ** 2
    weights = np.exp(-away.sum(0) / (2 * 1.5**2))
    x, y = (np.tensordot((0.299, 0.587, 0.114), side[0].numpy(), 1) for side in (guess, target))
    mean_x, mean_y = (np.average(side, weights=weights) for side in (x, y))
    covariance = np.cov(x.ravel(), y.ravel(), aweights=weights.ravel(), ddof=0)
    upper = (2 * mean_x * mean_y + 0.0001) * (2 * covariance[0, 1] + 0.0009)
    ssim = upper / ((mean_x**2 + mean_y**2 + 0.0001) * (covariance[0, 0] + covariance[1, 1] + 0.0009))
    assert float(ssim_loss(guess, target)) == pytest.approx(1 - ssim, abs=1e-5)
    assert float(ssim_loss(target, target)) == pytest.approx(0, abs=1e-6)


def test_an_engine_is_left_out_by_its_name() -> None:
    blank = np.zeros((16, 16, 3), np.uint8)
    sources = [TrainingSource(name, [TrainingPair(f"{name}_0", blank, blank)]) for name in ("doom", "arena")]
    assert [source.name for source in leave_out(sources, ["doom"])] == ["arena"]
    assert leave_out(sources, []) == sources
    with pytest.raises(UsageError, match='no source is called "dom"'):
        leave_out(sources, ["dom"])
    with pytest.raises(UsageError, match="nothing to train on"):
        leave_out(sources, ["doom", "arena"])


def test_the_gan_pulls_both_sides_in_opposite_directions() -> None:
    real, made = torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 4, 4), -2.0)
    right = relativistic_loss(real, made, for_network=False)
    assert right < relativistic_loss(made, real, for_network=False)
    assert torch.isclose(
        relativistic_loss(real, made, for_network=True), relativistic_loss(made, real, for_network=False)
    )


def test_a_source_is_drawn_from_by_its_weight() -> None:
    grey = [np.full((64, 64, 3), level, np.uint8) for level in (50, 200)]
    sources = [
        TrainingSource("rare", [TrainingPair("a_1", grey[0], grey[0].repeat(2, 0).repeat(2, 1))], weight=1),
        TrainingSource(
            "often", [TrainingPair(f"b_{i}", grey[1], grey[1].repeat(2, 0).repeat(2, 1)) for i in range(3)], weight=9
        ),
    ]
    small, large = next(Patches(sources, 2, 32, seed=1, augment=0.0).iterate_batches(200))
    assert small.shape == (200, 3, 32, 32)
    assert large.shape == (200, 3, 64, 64)
    bright = float((small[:, 0, 0, 0] > 0.5).float().mean())
    assert 0.8 < bright < 0.98


def test_patches_are_drawn_where_interpolation_is_wrong() -> None:
    small = np.zeros((64, 128, 3), np.uint8)
    small[:, 64:] = np.indices((64, 64)).sum(0)[..., None] // 8 % 2 * 200  # of much contrast, but right as it is
    large = cv2.resize(small, (256, 128), interpolation=cv2.INTER_CUBIC)
    large[::2, 96:128] = 255  # details that the small picture has lost
    pair = TrainingPair("a_1", small, large)
    by_error, by_contrast = (pair.compute_block_probabilities(kind).reshape(4, 8) for kind in ("error", "contrast"))
    assert by_error.sum() == pytest.approx(1)
    assert by_error[:, 3].sum() > 0.8
    assert by_error.min() > 0
    assert by_contrast[:, 4:].sum() > 0.8


def test_frames_of_an_odd_size_lose_their_last_row_or_column(tmp_path: Path) -> None:
    for side, size in (("lr", (75, 63)), ("hr", (300, 252))):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a_1.png"), np.zeros((*size, 3), np.uint8))
    (pair,) = read_pairs(tmp_path, 2)
    assert (pair.small.shape, pair.large.shape) == ((74, 62, 3), (148, 124, 3))


def test_files_that_are_no_pictures_do_not_keep_pairs_from_being_read(pairs: Path, tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "map03_00035.part", "desktop.ini"):
        (pairs / "lr" / name).write_bytes(b"no picture")
    named = pairs.rename(tmp_path / "Übung 遊び")
    assert [pair.name for pair in read_pairs(named, 2)] == [f"map{number:02}_00035" for number in range(12)]


def test_a_small_picture_without_its_large_one_is_told(pairs: Path) -> None:
    (pairs / "hr" / "map03_00035.png").unlink()
    with pytest.raises(UsageError, match=r"map03_00035\.png has no partner"):
        read_pairs(pairs, 2)


def test_a_manifest_names_sources_and_their_weights(pairs: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "data.toml"
    manifest.write_text('[[source]]\nname = "noise"\npairs = ["pairs"]\nweight = 0.5\nvalidate = false\n')
    (source,) = read_sources([], manifest, 2)
    assert (source.name, source.weight, source.validate, len(source.pairs)) == ("noise", 0.5, False, 12)
    manifest.write_text("[[source]]\nname = 3\n")
    with pytest.raises(UsageError, match="is not a data manifest"):
        read_sources([], manifest, 2)


def test_a_stopped_training_goes_on_and_its_weights_become_a_model_that_runs(pairs: Path, tmp_path: Path) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    few = ("--pairs", pairs, "--scale", 2, "--features", 16, "--depth", 1, *SHORT)
    tool("train", *few, "--steps", 4, "--out", run)
    tool("train", *few, "--steps", 6, "--out", run, "--resume")
    weights = run / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        assert file.metadata()["step"] == "6"
    assert [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()] == ["2", "4", "6"]
    more = ("--from", weights, "--teacher", weights, "--wide", 24, "--psnr", "--sampling", "error")
    tool("train", *few, "--steps", 2, "--out", tmp_path / "more", *more)

    told = tool("export", weights, "--name", "mine", "--test", pairs, "--int8", pairs, "--out", models)
    assert "pairs = { model = " in told
    (card,) = zoo.list_cards(models)
    assert (card.name, card.scale, card.steps) == ("mine", 2, 6)
    ((least, most),) = card.int8_ranges
    assert least < 0 < most
    for precision in ("auto", "int8"):
        engine = OpenVINOEngine(card, precision=precision)
        engine.warm_up(Size(33, 21))
        done = engine.upscale(Frame(make_black(Size(33, 21))))
        assert done is not None
        assert get_size(done.pixels) == Size(66, 42)
        engine.close()


def make_network(depth: int, wide: int = 0) -> CellNet:
    torch.manual_seed(1)
    net = CellNet(2, 16, depth, wide)
    return net.to(memory_format=torch.channels_last)


def take_steps(optimizer: MuonWithAdam, net: CellNet, seeds: Sequence[int]) -> None:
    for seed in seeds:
        picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        torch.autograd.backward((net(picture) ** 2).mean())
        optimizer.step()


def test_muon_moves_a_hidden_kernel_in_all_directions_equally_and_the_rest_as_adam_does() -> None:
    net = make_network(2)
    before = copy.deepcopy(net)
    take_steps(MuonWithAdam(net, 1e-3), net, [1])
    moved = (net.body[0].get_parameter("weight") - before.body[0].get_parameter("weight")).flatten(1)
    spread = torch.linalg.svdvals(moved)
    assert spread[0] < 4 * spread[-1]  # of its gradient they differ by hundreds
    tail = (net.tail.weight - before.tail.weight).abs()
    assert torch.allclose(tail, torch.full_like(tail, 1e-3), rtol=0.1)  # Adam's first step is the rate itself


def test_muon_goes_on_from_its_state() -> None:
    whole = make_network(2, wide=24)
    first = MuonWithAdam(whole, 1e-3)
    take_steps(first, whole, [1, 2])
    resumed = copy.deepcopy(whole)
    second = MuonWithAdam(resumed, 1e-3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    take_steps(first, whole, [3])
    take_steps(second, resumed, [3])
    picture = torch.rand(1, 3, 16, 16)
    assert torch.equal(whole(picture), resumed(picture))


def test_a_training_with_muon_can_be_stopped_and_resumed(pairs: Path, tmp_path: Path) -> None:
    few = ("--pairs", pairs, "--from", "fast", "--optimizer", "muon", *SHORT, "--out", tmp_path / "run")
    tool("train", *few, "--steps", 2)
    tool("train", *few, "--steps", 4, "--resume")
    steps = cellnet.load(zoo.WEIGHTS / "fast-x2.safetensors")[1]
    assert cellnet.load(tmp_path / "run" / "weights.safetensors")[1] == steps + 4
    assert "of another network" in refused("train", *few, "--optimizer", "adam", "--steps", 6, "--resume")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiled_network_learns_the_same(pairs: Path, tmp_path: Path) -> None:
    flags = ("--pairs", pairs, "--features", 16, "--depth", 1, *SHORT, "--warm-up", 1, "--average", 0, "--steps", 6)
    for name, how in (("plain", ()), ("compiled", ("--compile",))):
        tool("train", *flags, "--out", tmp_path / name, *how)
    plain, compiled = (cellnet.load(tmp_path / name / "weights.safetensors")[0] for name in ("plain", "compiled"))
    picture = torch.rand(1, 3, 16, 16)
    assert torch.allclose(plain(picture), compiled(picture), atol=1e-3)


def test_without_a_compiler_compiling_is_told_in_a_sentence(pairs: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    places = {"PATH": str(nothing), "CXX": "g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    told = refused("train", "--pairs", pairs, "--compile", "--steps", 2, "--out", tmp_path / "run", **places)
    assert "leave it out, or see that a C++ compiler works here" in told


def test_a_shipped_network_goes_on_learning_against_a_discriminator(pairs: Path, tmp_path: Path) -> None:
    sharper = ("--fft", 0.05, "--gan", 0.005)
    tool("train", "--pairs", pairs, "--from", "fast", *SHORT, "--steps", 2, "--out", tmp_path / "run", *sharper)
    shipped, steps = cellnet.load(zoo.WEIGHTS / "fast-x2.safetensors")
    tuned, more = cellnet.load(tmp_path / "run" / "weights.safetensors")
    assert (tuned.shape, more) == (shipped.shape, steps + 2)


def test_two_processes_train_one_network(pairs: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    few = ("--pairs", pairs, "--features", 16, "--depth", 1, *SHORT, "--steps", 4, "--out", tmp_path / "run")
    tool("train", *few, launcher=launcher)
    assert cellnet.load(tmp_path / "run" / "weights.safetensors")[1] == 4
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2  # one process writes


def test_two_processes_end_after_the_same_step_when_the_time_is_over(pairs: Path, tmp_path: Path) -> None:
    """They would wait for each other forever otherwise."""
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    few = ("--pairs", pairs, "--features", 16, "--depth", 1, "--batch", 2, "--patch", 32, "--out", tmp_path / "run")
    tool("train", *few, "--minutes", 0.01, launcher=launcher)
    assert float((tmp_path / "run" / "log.csv").read_text().split(",")[1]) >= 0


def test_a_training_by_the_clock_ends_in_its_warm_up_too(pairs: Path, tmp_path: Path) -> None:
    few = ("--pairs", pairs, "--features", 16, "--depth", 1, "--batch", 2, "--patch", 32, "--out", tmp_path / "run")
    tool("train", *few, "--minutes", 0.005, "--warm-up", 1_000_000)
    assert cellnet.load(tmp_path / "run" / "weights.safetensors")[1] < 1_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pairs", "nowhere"), "the folder nowhere is not there"),
        (("--pairs", "."), "holds no pairs"),
        ((), "nothing to train on"),
        (("--data", "nowhere.toml"), "is not a data manifest"),
        (("--pairs", "PAIRS", "--from", "nothing"), 'no network called "nothing"'),
        (("--pairs", "PAIRS", "--from", "fats"), 'Did you mean "fast"?'),
        (("--pairs", "PAIRS", "--from", "fast", "--scale", "3"), "give a .safetensors file of any scale"),
        (("--pairs", "PAIRS", "--from", "nowhere.safetensors"), "there is no file nowhere.safetensors"),
        (("--pairs", "PAIRS", "--from", "BROKEN"), "holds no weights of ours"),
        (("--pairs", "PAIRS", "--from", "fast", "--features", "8"), "cannot start one of"),
        (("--pairs", "PAIRS", "--teacher", "BROKEN"), "holds no weights of ours"),
        (("--pairs", "PAIRS", "--model", "huge"), "choose balanced, fast, quality, turbo"),
        (("--pairs", "PAIRS", "--model", "fast", "--scale", "3"), "has no size for --scale 3"),
        (("--pairs", "PAIRS", "--resume"), "leave --resume out"),
        (("--pairs", "PAIRS", "--patch", "96"), "too few for a patch of 96"),
        (("--pairs", "PAIRS", "--patch", "31"), "give an even --patch"),
        (("--pairs", "PAIRS", "--device", "toaster"), "--device toaster cannot be used"),
        (("--pairs", "SMALL", "--scale", "4"), "is only 2 times as large as"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_sentence(
    arguments: tuple[str, ...], said: str, pairs: Path, tmp_path: Path
) -> None:
    broken, small = tmp_path / "broken.safetensors", tmp_path / "small"
    broken.write_text("no weights")
    for side, size in (("lr", (40, 40)), ("hr", (80, 80))):
        (small / side).mkdir(parents=True)
        cv2.imwrite(str(small / side / "a_1.png"), np.zeros((*size, 3), np.uint8))
    named = {"PAIRS": pairs, "BROKEN": broken, "SMALL": small}
    given = [named.get(a, a) for a in arguments]
    assert said in refused("train", *given, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.safetensors", "--name", "mine"), "there is no file nowhere.safetensors"),
        (("BROKEN", "--name", "mine"), "holds no weights of ours"),
        (("BROKEN", "--name", "../mine"), "cannot be the name of a model"),
        (("WEIGHTS", "--name", "mine", "--test", "nowhere"), "the folder nowhere is not there"),
        (("WEIGHTS", "--name", "mine", "--test", "EMPTY"), "holds no pairs"),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_sentence(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_text("no weights")
    (tmp_path / "empty" / "lr").mkdir(parents=True)
    named = {"BROKEN": broken, "EMPTY": tmp_path / "empty", "WEIGHTS": zoo.WEIGHTS / "turbo-x2.safetensors"}
    given = [named.get(a, a) for a in arguments]
    assert said in refused("export", *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_network_is_told_in_a_sentence(pairs: Path, tmp_path: Path) -> None:
    few = ("--pairs", pairs, "--depth", 1, *SHORT, "--out", tmp_path / "run")
    tool("train", *few, "--features", 16, "--steps", 1)
    assert "give the flags that it began with" in refused("train", *few, "--features", 8, "--steps", 2, "--resume")


@pytest.mark.parametrize(("command", "package"), [("train", "torch"), ("export", "onnxruntime"), ("learn", "torch")])
def test_without_a_package_of_training_the_remedy_installs_it(command: str, package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('not here')")  # shadows the installed one
    arguments = {"export": ("weights", "--name", "mine", "--out", "run"), "train": ("--out", "run")}.get(command, ())
    done = subprocess.run(
        [sys.executable, "-m", "live_sr", command, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    assert f"needs {package}" in done.stderr
    assert 'pip install "live-sr[train]"' in done.stderr
    assert "Traceback" not in done.stderr
