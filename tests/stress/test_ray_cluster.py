"""A video is made by several processes of a real Ray as it is made by one, also when one of them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, ModelError, UsageError
from live_sr.models.resolve import resolve
from live_sr.upscale.options import ScalingOptions
from live_sr.upscale.video import ray_cluster as clusters
from live_sr.upscale.video import ray_worker
from live_sr.upscale.video.job import TranscodeJob
from live_sr.upscale.video.ray_cluster import RayCluster, open_cluster
from tools.stress.ray_worker_loss import ClipJob, WorkerKiller, make_clip

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster

SECONDS = 5


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> ClipJob:
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", SECONDS)
    return ClipJob(clip, ScalingOptions(resolve("fast"), scale=2, engine=EngineOptions(backend="openvino")))


@pytest.fixture(scope="module")
def alone(job: ClipJob, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what one process makes."""
    return job.alone(tmp_path_factory.mktemp("one") / "alone.mkv")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def ours(job: ClipJob, told: list[str]) -> Iterator[RayCluster]:
    with open_cluster("", job.scaling.engine, workers=2, notify=told.append) as ours:
        yield ours


def run(ours: RayCluster, job: TranscodeJob, folder: Path) -> None:
    """Only the segments, each in a file of its own."""
    ours.run(
        job.info, job.settings, job.plan.segments, lambda segment: folder / f"{segment.number}.segment", lambda *_: None
    )


def test_a_worker_is_killed_and_the_video_is_the_same(
    ours: RayCluster, job: ClipJob, alone: str, told: list[str], tmp_path: Path
) -> None:
    told.clear()
    done: list[int] = []
    killer = WorkerKiller(1)
    killer.start()
    there = job.there(tmp_path / "there.mkv", ours, done)
    killer.stop.set()
    killer.join()
    assert len(killer.killed) == 1
    assert any("a worker was lost" in note and "is made again" in note for note in told)
    assert sorted(done) == list(range(SECONDS))
    assert there == alone
    assert [path.name for path in tmp_path.iterdir()] == ["there.mkv"]


def test_a_video_that_machines_do_not_see_is_sent_to_them(
    ours: RayCluster, job: ClipJob, alone: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.clear()
    monkeypatch.setattr(clusters, "BLOCK_BYTES", 10_000)  # several
    monkeypatch.setattr(ray_worker, "compute_fingerprint", lambda path: "elsewhere")  # not in Ray's processes
    assert job.there(tmp_path / "there.mkv", ours, []) == alone
    assert any("is sent to the cluster" in note for note in told)


def test_nothing_is_reported_by_ray(ours: RayCluster) -> None:
    from ray._common.usage import usage_lib

    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not usage_lib.usage_stats_enabled()


@pytest.mark.parametrize(
    ("software", "words"),
    [
        ({"av": "1.2.3"}, "av {there}, not 1.2.3"),
        ({"live-sr": "0.0 (12345678)"}, "live-sr {there}, not 0.0 (12345678)"),
        ({"model": "0123"}, "model {there}, not 0123"),
        ({"tensorrt": "11.0"}, "tensorrt missing, not 11.0"),
    ],
)
def test_a_machine_with_other_software_is_refused(
    ours: RayCluster,
    job: ClipJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    software: dict[str, str],
    words: str,
) -> None:
    prepared = job.prepared()
    true = ray_worker.describe_machine(prepared.info, prepared.settings, "")
    mine = replace(true, software=tuple(sorted({**dict(true.software), **software}.items())))
    monkeypatch.setattr(ray_worker, "describe_machine", lambda *_: mine)
    with pytest.raises(UsageError) as caught:
        run(ours, prepared, tmp_path)
    (name,) = software
    assert words.format(there=dict(true.software).get(name)) in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ScalingOptions(resolve("fast"), scale=2, engine=EngineOptions(backend="filters")), "fast is a network"),
        (ScalingOptions(resolve("fast"), scale=3, engine=EngineOptions(backend="openvino")), "there is no x3 of fast"),
    ],
)
def test_what_fails_on_a_worker_is_told_as_it_is_here(
    ours: RayCluster, job: ClipJob, tmp_path: Path, change: ScalingOptions, words: str
) -> None:
    prepared = job.prepared()
    with pytest.raises(LiveSRError) as caught:
        run(ours, replace(prepared, settings=replace(prepared.settings, scaling=change)), tmp_path)
    assert isinstance(caught.value, UsageError | ModelError)
    assert words in caught.value.message


def test_a_segment_that_is_lost_again_and_again_is_given_up(
    ours: RayCluster, job: ClipJob, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> bytes:
        os.kill(os.getpid(), 9)
        return b""

    told.clear()
    monkeypatch.setattr(clusters, "MAX_TRIES", 2)
    monkeypatch.setattr(clusters, "run_task", lost)
    with pytest.raises(EngineError, match="was lost 2 times with its worker"):
        run(ours, job.prepared(), tmp_path)
    assert any("is made again" in note for note in told)


def test_a_command_leaves_neither_processes_nor_files(tmp_path: Path) -> None:
    """Run last, as a process of its own, ended by Ctrl-C in the middle of its work."""
    script = f"""
import os, psutil, signal, threading, time
from pathlib import Path
from tools.stress.ray_worker_loss import ClipJob, make_clip
from live_sr.models.resolve import resolve
from live_sr.engines.options import EngineOptions
from live_sr.upscale.video.ray_cluster import open_cluster
from live_sr.upscale.options import ScalingOptions
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    engine = EngineOptions(backend="openvino")
    job = ClipJob(make_clip(folder / "clip.mkv", 20), ScalingOptions(resolve("fast"), scale=2, engine=engine))
    class Done(list):
        def append(self, number):
            signal.raise_signal(signal.SIGINT)
    (folder / "made").mkdir()
    try:
        with open_cluster("", engine, 2) as ours:
            job.there(folder / "made" / "there.mkv", ours, Done())
    except KeyboardInterrupt:
        while psutil.Process().children(recursive=True):
            time.sleep(0.1)
        print("left", sorted(path.name for path in Path(os.environ["TMPDIR"]).iterdir()))
"""
    (tmp_path / "script.py").write_text(script)
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as short:  # for Ray's sockets
        words = [sys.executable, tmp_path / "script.py"]
        env = {**os.environ, "TMPDIR": short, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["left []"], done.stdout + done.stderr
    assert list((tmp_path / "made").rglob("*.part")) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "there is no usable Ray cluster at 127.0.0.1:1: "),
        ("ray://127.0.0.1:1", "there is no usable Ray cluster at ray://127.0.0.1:1: "),
        ("127.0.0.1:99999", "there is no usable Ray cluster at 127.0.0.1:99999: "),
        ("nonsense", '"nonsense" is not the address of a Ray cluster'),
    ],
)
def test_a_cluster_that_is_not_there_is_told(address: str, words: str) -> None:
    with pytest.raises(UsageError) as caught, open_cluster(address, EngineOptions(backend="openvino")):
        pass
    assert caught.value.message.startswith(words)
    assert "HOST:6379" in caught.value.remedy
