"""--track and --track-to: what a training and an evaluation keep in MLflow, and that nothing is sent anywhere else."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import fake_mlflow
import numpy as np
import onnx
import pytest
import torch
from fake_mlflow import ENTITIES, SIGNATURES, FakeStore, parse_signature

from live_sr import cli
from live_sr.errors import LiveSRError
from live_sr.models.architectures import cellnet
from live_sr.system.tracking import TrackedRun, make_key

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A training sets how many threads the whole process uses."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    return fake_mlflow.install(monkeypatch)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs of noise; a tenth of their places is held out."""
    random = np.random.default_rng(1)
    for number in range(12):
        large = random.integers(0, 256, (128, 160, 3)).astype(np.uint8)
        for side, picture in (("lr", cv2.resize(large, (40, 32))), ("hr", large)):
            folder = tmp_path / "my pairs, 1" / side
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"map{number:02}_00035.png"), picture)
    return tmp_path / "my pairs, 1"


def train(pairs: Path, out: Path, *more: str) -> int:
    data = out.parent / "data.toml"
    data.write_text(f'[[source]]\nname = "my game: 1, #2"\npairs = [{json.dumps(str(pairs))}]\n')
    shape, pace = ("--features", "8", "--depth", "1"), ("--batch", "2", "--patch", "16", "--every", "2")
    return cli.main(["train", "--data", str(data), "--out", str(out), *shape, *pace, *more])


def test_a_training_keeps_parameters_figures_pictures_and_the_model(
    store: FakeStore, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "game-x2"
    assert train(pairs, out, "--steps", "4", "--track-to", str(tmp_path / "kept here")) == 0
    run = store.run
    assert (run.name, run.status) == ("game-x2", "FINISHED")
    assert run.params["steps"] == "4" and run.params["features"] == "8" and int(run.params["parameters"]) > 100
    assert set(run.metrics) == {"loss", "learning_rate", "seconds", "psnr_y/my game_ 1_ _2", "psnr_y/mean"}
    assert {tuple(steps) for steps in run.metrics.values()} == {(2, 4)}
    assert run.metrics["psnr_y/mean"] == run.metrics["psnr_y/my game_ 1_ _2"]
    (shown, same) = run.pictures.values()
    assert shown.shape == (64, 3 * 80, 3) and not np.array_equal(shown, same)  # it has learned something meanwhile
    assert np.array_equal(shown[::2, :80:2], shown[1::2, 1:80:2])  # the small picture, with large pixels
    assert run.files["model/weights.safetensors"] == (out / "weights.safetensors").read_bytes()
    (tmp_path / "again.onnx").write_bytes(run.files["model/game-x2-x2.onnx"])
    onnx.checker.check_model(onnx.load(tmp_path / "again.onnx"))
    assert store.address == f"sqlite:///{tmp_path / 'kept here' / 'mlflow.db'}"
    assert store.artifacts == (tmp_path / "kept here" / "files").as_uri()
    assert f"mlflow ui --backend-store-uri '{store.address}'\n" in capsys.readouterr().out


def test_without_the_flag_nothing_is_kept(store: FakeStore, pairs: Path, tmp_path: Path) -> None:
    assert train(pairs, tmp_path / "out", "--steps", "2") == 0
    assert store.calls == []


def test_a_resumed_training_goes_on_in_its_run(store: FakeStore, pairs: Path, tmp_path: Path) -> None:
    assert train(pairs, tmp_path / "out", "--steps", "2", "--track-to", "http://127.0.0.1:9") == 0
    assert train(pairs, tmp_path / "out", "--steps", "4", "--resume", "--track-to", "http://127.0.0.1:9") == 0
    assert sorted(store.run.metrics["loss"]) == [2, 4]
    assert store.run.status == "FINISHED"
    store.broken.add("update_run")  # as on another server, which does not know that run
    assert train(pairs, tmp_path / "out", "--steps", "6", "--resume", "--track-to", "http://127.0.0.1:9") == 0
    assert len(store.runs) == 2


@pytest.mark.parametrize("broken", ["get_experiment_by_name", "create_run"])
def test_what_cannot_be_tracked_is_told_before_the_training(
    store: FakeStore, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    store.broken.add(broken)
    assert train(pairs, tmp_path / "out", "--steps", "2", "--track-to", "http://127.0.0.1:9") == 1
    said = capsys.readouterr().err
    assert f"nothing can be tracked at http://127.0.0.1:9: {broken} reached nobody\n" in said
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


@pytest.mark.parametrize("name", ["really?", "100%25"])
def test_a_folder_whose_address_would_be_another_one_is_refused(store: FakeStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(LiveSRError, match="cannot keep its database in"):
        TrackedRun.begin(str(tmp_path / name), "a run", {})
    assert not list(tmp_path.iterdir())
    assert store.calls == []


def test_a_server_that_goes_away_ends_no_training(
    store: FakeStore, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.broken.add("log_image")
    assert train(pairs, tmp_path / "out", "--steps", "4", "--track-to", "http://127.0.0.1:9") == 0
    assert cellnet.load(tmp_path / "out" / "weights.safetensors")[1] == 4
    assert capsys.readouterr().err.count("nothing more is tracked at http://127.0.0.1:9") == 1
    assert store.calls.count("log_image") == 1


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (LiveSRError("a full disk"), "FAILED"), (None, "FINISHED")]
)
def test_the_run_says_how_it_ended(
    store: FakeStore, tmp_path: Path, error: type[BaseException] | BaseException | None, status: str
) -> None:
    try:
        with TrackedRun.begin(str(tmp_path), "a run", {}):
            if error is not None:
                raise error
    except (KeyboardInterrupt, LiveSRError):
        pass
    assert store.run.status == status


def test_mlflow_is_kept_from_reporting_whatever_the_environment_says(store: FakeStore, tmp_path: Path) -> None:
    with TrackedRun.begin(str(tmp_path), "a run", {}):
        pass
    assert store.environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert store.environment["DO_NOT_TRACK"] == "true"


def test_without_mlflow_the_package_is_named(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert train(pairs, tmp_path / "out", "--steps", "2", "--track") == 8
    assert 'pip install "live-sr[track]"' in capsys.readouterr().err


def evaluate(pairs: Path, *more: str) -> int:
    return cli.main(["evaluate", str(pairs), "--models", "bicubic,nearest", "--metrics", "psnr_y", *more])


def test_an_evaluation_keeps_its_table_figures_and_files(store: FakeStore, pairs: Path, tmp_path: Path) -> None:
    files = ("--sheet", str(tmp_path / "sheet.png"), "--json", str(tmp_path / "rows.json"))
    assert evaluate(pairs, *files, "--track-to", str(tmp_path / "kept")) == 0
    run = store.run
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert run.status == "FINISHED"
    assert run.params["models"] == "bicubic, nearest"
    assert run.tables["evaluation.json"]["name"] == ["bicubic", "nearest"]
    assert run.tables["evaluation.json"]["psnr_y"] == [row["psnr_y"] for row in rows]
    assert run.metrics["psnr_y/nearest x2/my pairs_ 1"] == {0: rows[1]["psnr_y"]}
    assert run.metrics["ms/bicubic x2/my pairs_ 1"] == {0: rows[0]["ms"]}
    assert run.files["sheet.png"] == (tmp_path / "sheet.png").read_bytes()
    assert "rows.json" in run.files


def test_the_set_after_track_is_evaluated_and_no_place_to_keep_it(
    store: FakeStore, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "--models", "bicubic", "--metrics", "psnr_y", "--track", str(pairs)]) == 0
    assert store.address == f"sqlite:///{tmp_path / 'tracked' / 'mlflow.db'}"
    assert "psnr_y/bicubic x2/my pairs_ 1" in store.run.metrics


def test_an_evaluation_that_measures_nothing_has_failed(store: FakeStore, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    assert cli.main(["evaluate", str(pairs), "--models", str(tmp_path / "bad.onnx"), "--track-to", str(tmp_path)]) != 0
    assert [run.status for run in store.runs.values()] == ["FAILED"]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("a", "b c"), "a/b c"),
        (("a/../b", ""), "a_.._b/_"),
        (("grün", "x:y"), "gr_n/x_y"),
        (("..", " ."), "_/_"),
        (("a" * 900 + "b",), "a" * 79 + "b"),
    ],
)
def test_the_name_of_a_metric_has_only_what_mlflow_allows(words: tuple[str, ...], key: str) -> None:
    assert make_key(*words) == key


# With the real MLflow

WATCH = """
import socket, sys
seen = []
def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        seen.append(f"{event} {arguments[0]}")
    elif event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
        seen.append(f"{event} {arguments[1]}")
sys.addaudithook(watch)
from live_sr import cli
code = cli.main(sys.argv[1:])
from mlflow.telemetry import get_telemetry_client
print("REPORTS:", get_telemetry_client())
print("SEEN:", *seen)
sys.exit(code)
"""
# In these, MLflow reports nothing by itself
QUIET = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", "IS_IN_CI_ENV_OVERRIDE")


def run_watched(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that prints what it connects to, or looks up."""
    environment = {name: value for name, value in os.environ.items() if name not in QUIET}
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    environment |= {"PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "false", "DO_NOT_TRACK": "false"}
    command = [sys.executable, "-c", WATCH, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.needs("mlflow")
def test_mlflow_has_the_signatures_of_the_stand_in() -> None:
    from mlflow import MlflowClient, entities

    owners = [(MlflowClient, SIGNATURES), (entities, ENTITIES)]
    for owner, signatures in owners:
        for name, text in signatures.items():
            real, ours = inspect.signature(getattr(owner, name)).parameters, parse_signature(text).parameters
            assert list(ours)[owner is entities :] == list(real)[: len(ours) - (owner is entities)], name


@pytest.mark.needs("mlflow")
def test_a_folder_holds_what_was_tracked_and_nothing_is_sent(pairs: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    kept = tmp_path / "kept, here"
    done = run_watched(
        "evaluate", str(pairs), "--models", "bicubic", "--metrics", "psnr_y", "--sheet", str(tmp_path / "sheet.png"),
        "--track-to", str(kept),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "REPORTS: None" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "SEEN:"
    client = MlflowClient(tracking_uri=f"sqlite:///{kept / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'live-sr'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert 5 < run.data.metrics["psnr_y/bicubic x2/my pairs_ 1"] < 60
    assert run.data.params["models"] == "bicubic"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"evaluation.json", "sheet.png"}


@pytest.mark.needs("mlflow")
def test_a_training_is_kept_in_a_folder(pairs: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    assert train(pairs, tmp_path / "game", "--steps", "2", "--track-to", str(tmp_path / "kept")) == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'kept' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'live-sr'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "game"
    assert [one.step for one in client.get_metric_history(run.info.run_id, "psnr_y/mean")] == [2]
    assert {file.path for file in client.list_artifacts(run.info.run_id, "model")} == {
        "model/weights.safetensors",
        "model/game-x2.onnx",
    }
    assert client.list_artifacts(run.info.run_id, "images")


@pytest.mark.needs("mlflow")
def test_the_watch_sees_a_connection(pairs: Path) -> None:
    """To a port where nobody listens: it is refused, told, and seen."""
    done = run_watched("evaluate", str(pairs), "--models", "bicubic", "--track-to", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "nothing can be tracked at http://127.0.0.1:9" in done.stderr
    assert "SEEN: " in done.stdout and "127.0.0.1" in done.stdout.splitlines()[-1]
