"""Makes the segments of a video on a Ray cluster. They equal those that a single process makes.

Ray is either started here for one command, or an existing cluster is used by its address. Usage reporting is off in a
cluster started here; in an existing one, its owner decides. All machines must have the same software. A machine reads
the video from the same path if it can; to the others the video is sent. If a worker is lost, its segment is made again.
The workers return the bytes of segment files, which contain a digest, and only this process writes them to disk.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from live_sr.engines import engine_choice
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError, reason
from live_sr.terminal import set_up_streams
from live_sr.upscale.video import ray_worker, segment_file
from live_sr.upscale.video.encode import SegmentSettings
from live_sr.upscale.video.ray_worker import MachineInfo
from live_sr.upscale.video.segment_file import FrameCounts, make_write_error
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.source_info import VideoInfo

log = logging.getLogger(__name__)

WAIT_S = 0.1
QUERY_TIMEOUT_S = 120.0  # for a machine to describe itself: its first process must start and import
BLOCK_BYTES = 16 << 20  # of the video in one Ray object
CORES_PER_WORKER = 4  # an engine uses so many well; with more cores, several workers are faster
MAX_TRIES = 4  # of a segment whose workers are lost
CONNECT_TIMEOUT_S = 5.0
ADDRESS_REMEDY = (
    "write it as HOST:6379, as `ray start --head` prints it, and copy that machine's ~/.ray/auth_token to this one"
)
INSTALL_REMEDY = 'pip install "live-sr[ray]"'

OnSegment = Callable[[Segment, FrameCounts], None]
Notify = Callable[[str], None]


@dataclass(frozen=True)
class WorkerShare:
    """The resources of a worker. scratch: the folder for its temporary files, None for the system's."""

    cpus: float
    gpus: float
    scratch: str | None


@contextmanager
def open_cluster(
    address: str, engine: EngineOptions, workers: int = 0, notify: Notify = log.info
) -> Iterator[RayCluster]:
    """Connects to the cluster at `address`; if that is empty, starts one here and shuts it down afterwards.

    workers: of a cluster started here; 0 chooses the number by the cores. Raises MissingPart without Ray, UsageError
    where the address does not answer, EngineError where no cluster can be started.
    """
    if address:
        _check_reachable(address)
        if (Path.home() / ".ray" / "auth_token").is_file():  # Ray 2.60 sends its token only in this mode
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    ray = _import_ray()
    on_gpu = engine_choice.choose_engine(engine)[0].on_gpu
    cores = os.cpu_count() or 1
    count = workers or max(1, cores // CORES_PER_WORKER)
    folder = tempfile.mkdtemp(prefix="live-sr-ray-", dir=_choose_short_folder())
    local = {"address": "local", "num_cpus": max(cores, count), "include_dashboard": False, "_temp_dir": folder}
    try:
        ray.init(**({"address": address} if address else local), log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if address:
            raise UsageError(f"there is no usable Ray cluster at {address}: {why}", ADDRESS_REMEDY) from None
        raise EngineError(f"Ray cannot start here: {why}", "upscale without --ray") from None
    try:
        machines = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        least = min((node["Resources"]["CPU"] for node in machines), default=1.0)
        cpus = 1.0 if on_gpu else least if address else max(cores, count) // count
        share = WorkerShare(cpus, float(on_gpu), None if address else folder)
        yield RayCluster(ray, [node["NodeID"] for node in machines], share, notify)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


class RayCluster:
    """A cluster from `open_cluster`. `run` may be called for one video after another."""

    def __init__(self, ray: ModuleType, machines: Sequence[str], share: WorkerShare, notify: Notify) -> None:
        self._ray = ray
        self._machines = machines
        self._share = share
        self._notify = notify

    def run(
        self,
        info: VideoInfo,
        settings: SegmentSettings,
        segments: Sequence[Segment],
        get_path: Callable[[Segment], Path],
        on_segment: OnSegment,
    ) -> None:
        """Makes all segments, in any order, and calls `on_segment` after each. Raises what failed."""
        blocks = self._send_video(info) if self._check_machines(info, settings) else None
        task = self._ray.remote(run_task).options(
            num_cpus=self._share.cpus, num_gpus=self._share.gpus, max_retries=0, name="live-sr segment"
        )
        limit = 2 * max(
            1, int(self._ray.cluster_resources().get("CPU", 1) / self._share.cpus)
        )  # so that no worker waits
        pending, tries = list(segments), dict.fromkeys(segments, 0)
        running: dict[Any, Segment] = {}
        try:
            while pending or running:
                while pending and len(running) < limit:
                    segment = pending.pop(0)
                    tries[segment] += 1
                    running[task.remote(info, settings, segment, blocks, self._share.scratch)] = segment
                done, _ = self._ray.wait(list(running), timeout=WAIT_S)
                for ref in done:
                    segment = running.pop(ref)
                    data = self._fetch_result(ref, segment, tries[segment])
                    if data is None:
                        pending.insert(0, segment)
                    else:
                        on_segment(segment, write_segment(data, get_path(segment)))
        finally:
            for ref in running:
                self._ray.cancel(ref, force=True)

    def _fetch_result(self, ref: Any, segment: Segment, tried: int) -> bytes | None:
        """The segment's file, or None if the worker or its result was lost. Raises what failed on the worker."""
        errors = self._ray.exceptions
        try:
            return bytes(self._ray.get(ref))
        except errors.RayTaskError as error:
            raise _to_live_sr_error(error, f"segment {segment.number + 1}") from None
        except (errors.RayActorError, errors.WorkerCrashedError, errors.ObjectLostError, errors.NodeDiedError) as error:
            why = type(error).__name__
        except errors.OutOfMemoryError:
            why = "out of memory"
        if tried >= MAX_TRIES:
            what = f"segment {segment.number + 1} was lost {tried} times with its worker ({why})"
            raise EngineError(what, "check that the machines stay up and have enough memory, and use --resume")
        self._notify(f"a worker was lost ({why}): segment {segment.number + 1} is made again")
        return None

    def _check_machines(self, info: VideoInfo, settings: SegmentSettings) -> bool:
        """Whether some machine must be sent the video. Raises UsageError for machines that differ from this one."""
        source = ray_worker.compute_fingerprint(info.path)
        ours = ray_worker.describe_machine(info, settings, source)
        theirs = self._query_machines(info, settings, source)
        for one in theirs:
            if one.problem:
                raise UsageError(
                    f"{one.host} of the cluster cannot do this: {one.problem}", "solve the problem on that machine"
                )
            different = _describe_differences(ours, one)
            if different:
                raise UsageError(
                    f"{one.host} of the cluster differs from {ours.host}, and so might its segments: {different}",
                    "install the same versions and models on all machines",
                )
        others = sorted({one.processor for one in theirs} - {ours.processor})
        if others:
            processors = "; ".join([ours.processor, *others])
            self._notify(f"the machines have different processors ({processors}): rounding may differ in the last bit")
        return not all(one.has_source for one in theirs)

    def _query_machines(self, info: VideoInfo, settings: SegmentSettings, source: str) -> list[MachineInfo]:
        strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        query = self._ray.remote(_describe_machine)
        refs = [
            query.options(num_cpus=0, scheduling_strategy=strategy(node, soft=False)).remote(info, settings, source)
            for node in self._machines
        ]
        try:
            return list(self._ray.get(refs, timeout=QUERY_TIMEOUT_S))
        except self._ray.exceptions.RayTaskError as error:
            raise _to_live_sr_error(error, "a machine of the cluster") from None
        except self._ray.exceptions.RayError as error:
            what = f"a machine of the cluster does not answer: {type(error).__name__}"
            raise EngineError(what, "check that live-sr is installed there and that it runs") from None

    def _send_video(self, info: VideoInfo) -> list[Any]:
        """Stores the video in Ray objects. Ray keeps them on disk when they are too large for memory."""
        self._notify(f"{info.path.name} is sent to the cluster, because not all machines can read it")
        with info.path.open("rb") as file:
            return [self._ray.put(block) for block in iter(lambda: file.read(BLOCK_BYTES), b"")]


# On the workers


def run_task(
    info: VideoInfo, settings: SegmentSettings, segment: Segment, blocks: list[Any] | None, scratch: str | None
) -> bytes:
    set_up_streams()
    if scratch is not None:
        tempfile.tempdir = scratch  # it is deleted with the cluster, even if this process is killed
    if blocks is not None:
        ray = _import_ray()
        info = ray_worker.fetch_source(info, lambda: (ray.get(block) for block in blocks))
    return ray_worker.make_segment(info, settings, segment)


def _describe_machine(info: VideoInfo, settings: SegmentSettings, source: str) -> MachineInfo:
    set_up_streams()
    return ray_worker.describe_machine(info, settings, source)


# On this machine


def write_segment(data: bytes, path: Path) -> FrameCounts:
    """Writes a segment's file and verifies it. Raises LiveSRError for a full disk, EngineError for damaged data."""
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise make_write_error(path, error) from None
    segment = segment_file.read_segment(path)
    if segment is None:
        path.unlink()
        raise EngineError(f"{path.name} came back damaged from the cluster", "use --resume to make it again")
    return segment.counts


def _to_live_sr_error(error: Any, where: str) -> LiveSRError:
    """The error that a task raised. A LiveSRError is returned unchanged."""
    cause = error.cause
    if isinstance(cause, LiveSRError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return MissingPart(f"{where}: {cause}", "install the same live-sr on all machines of the cluster")
    return EngineError(
        f"{where} failed in the cluster: {reason(cause)}", "try without --ray to see whether it fails there too"
    )


def _describe_differences(ours: MachineInfo, theirs: MachineInfo) -> str:
    local, remote = dict(ours.software), dict(theirs.software)
    words = [
        f"{name} {remote.get(name, 'missing')}, not {local.get(name, 'missing')}"
        for name in sorted(local.keys() | remote.keys())
        if local.get(name) != remote.get(name)
    ]
    return "; ".join(words)


def _check_reachable(address: str) -> None:
    """Raises UsageError where nothing answers, because Ray itself would try for minutes."""
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?([^:/]+):(\d{1,5})", address)
    if found is None:
        raise UsageError(f'"{address}" is not the address of a Ray cluster', ADDRESS_REMEDY)
    try:
        socket.create_connection((found[1], int(found[2])), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"there is no usable Ray cluster at {address}: {error}", ADDRESS_REMEDY) from None


def _choose_short_folder() -> str | None:
    """The folder for Ray's files, None for the system's. A socket's path may have 107 bytes, of which Ray needs 70."""
    return "/tmp" if len(tempfile.gettempdir()) > 20 and Path("/tmp").is_dir() else None


def _import_ray() -> ModuleType:
    """Imports Ray with usage reporting off. Raises MissingPart."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported: docs/decisions/008
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingPart(f"--ray needs Ray, which cannot be imported: {error}", INSTALL_REMEDY) from None
