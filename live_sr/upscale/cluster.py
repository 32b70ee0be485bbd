"""Segments of a video, made by the machines of a Ray cluster, each of them the same as a single process would make it.

Ray is started here for one command, or is running already and found by its address. It is asked to report nothing; what
an existing cluster reports, its owner has decided. Every machine of it must have the same software; the video is read
from the same path where a machine sees it there, and is sent to the others. A segment whose worker was lost is made
again. What comes back are the bytes of segments' files, each with its digest, and nobody but this process writes them.
"""

from __future__ import annotations

import importlib
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

from live_sr import assembly
from live_sr.assembly import EngineOptions
from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError, reason
from live_sr.upscale import remote, segmentfile
from live_sr.upscale.encode import Recipe
from live_sr.upscale.footage import Footage
from live_sr.upscale.remote import Likeness
from live_sr.upscale.segmentfile import Tally, unwritable
from live_sr.upscale.segments import Segment

WAIT_S = 0.1
ASK_S = 120.0  # for a machine to tell what it has: its first process must start and import
BLOCK = 16 << 20  # bytes of the video in one object of Ray's
CORES = 4  # that an engine uses well; on more of them several workers make more than one
TRIES = 4  # of a segment whose workers get lost
ANSWER_S = 5.0
ADDRESS = "write it as HOST:6379, as `ray start --head` tells it there, whose ~/.ray/auth_token must be here too"
REMEDY = 'pip install "live-sr[ray]"'

Finished = Callable[[Segment, Tally], None]
Notes = Callable[[str], None]


@dataclass(frozen=True)
class Share:
    """What one segment's worker takes of a machine. `scratch`: a folder there for its files, None for the usual."""

    cpus: float
    gpus: float
    scratch: str | None


@contextmanager
def cluster(address: str, engine: EngineOptions, workers: int = 0, notes: Notes = print) -> Iterator[Cluster]:
    """A cluster to work on; one that is started here (no address) has `workers` (0: as is good here) and ends with it.

    Raises MissingPart without Ray, UsageError where none is at the address, EngineError where none can be started.
    """
    if address:
        _knock(address)
        if (Path.home() / ".ray" / "auth_token").is_file():  # Ray 2.60 has tokens for all and sends them if it is told
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    ray = _ray()
    on_card = assembly.engine_choice(engine)[0].name in assembly.ON_CARDS
    cores = os.cpu_count() or 1
    count = workers or max(1, cores // CORES)
    folder = tempfile.mkdtemp(prefix="live-sr-ray-", dir=_short_folder())
    here = {"address": "local", "num_cpus": max(cores, count), "include_dashboard": False, "_temp_dir": folder}
    try:
        ray.init(**({"address": address} if address else here), log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if address:
            raise UsageError(f"there is no Ray cluster to work on at {address}: {what}", ADDRESS) from None
        raise EngineError(f"Ray does not start here: {what}", "upscale without --ray") from None
    try:
        machines = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        least = min((node["Resources"]["CPU"] for node in machines), default=1.0)
        cpus = 1.0 if on_card else least if address else max(cores, count) // count
        share = Share(cpus, float(on_card), None if address else folder)
        yield Cluster(ray, [node["NodeID"] for node in machines], share, notes)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """Made by `cluster`. `run` may be called for one video after another."""

    def __init__(self, ray: ModuleType, machines: Sequence[str], share: Share, notes: Notes) -> None:
        self._ray = ray
        self._machines = machines
        self._share = share
        self._notes = notes

    def run(
        self,
        footage: Footage,
        made: Recipe,
        segments: Sequence[Segment],
        place: Callable[[Segment], Path],
        finished: Finished,
    ) -> None:
        """As `Belt.run`: every segment in its place, in any order, told when it is there. Raises what failed."""
        blocks = self._sent(footage) if self._checked(footage, made) else None
        task = self._ray.remote(_task).options(
            num_cpus=self._share.cpus, num_gpus=self._share.gpus, max_retries=0, name="live-sr segment"
        )
        room = 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1) / self._share.cpus))  # none waits for work
        ahead, tries = list(segments), dict.fromkeys(segments, 0)
        running: dict[Any, Segment] = {}
        try:
            while ahead or running:
                while ahead and len(running) < room:
                    segment = ahead.pop(0)
                    tries[segment] += 1
                    running[task.remote(footage, made, segment, blocks, self._share.scratch)] = segment
                done, _ = self._ray.wait(list(running), timeout=WAIT_S)
                for ref in done:
                    segment = running.pop(ref)
                    data = self._fetched(ref, segment, tries[segment])
                    if data is None:
                        ahead.insert(0, segment)
                    else:
                        finished(segment, _kept(data, place(segment)))
        finally:
            for ref in running:
                self._ray.cancel(ref, force=True)

    def _fetched(self, ref: Any, segment: Segment, tried: int) -> bytes | None:
        """The segment's file; None: its worker was lost, or what it made. Raises what failed there."""
        lost = self._ray.exceptions
        try:
            return bytes(self._ray.get(ref))
        except lost.RayTaskError as error:
            raise _told(error, f"segment {segment.number + 1}") from None
        except (lost.RayActorError, lost.WorkerCrashedError, lost.ObjectLostError, lost.NodeDiedError) as error:
            why = type(error).__name__
        except lost.OutOfMemoryError:
            why = "no memory left"
        if tried >= TRIES:
            what = f"segment {segment.number + 1} was lost {tried} times with its worker ({why})"
            raise EngineError(what, "see that its machines stay up and have memory enough, and use --resume")
        self._notes(f"a worker was lost ({why}): segment {segment.number + 1} is made again")
        return None

    def _checked(self, footage: Footage, made: Recipe) -> bool:
        """Whether the video must be sent, as a machine does not see it. Raises UsageError for machines that differ."""
        source = remote.fingerprint(footage.path)
        ours = remote.likeness(footage, made, source)
        theirs = self._asked(footage, made, source)
        for one in theirs:
            if one.trouble:
                raise UsageError(f"{one.host} of the cluster cannot do this: {one.trouble}", "see to it there")
            different = _differences(ours, one)
            if different:
                raise UsageError(
                    f"{one.host} of the cluster is not like {ours.host}, so its segments might differ: {different}",
                    "install the same versions and models on all machines",
                )
        others = sorted({one.processor for one in theirs} - {ours.processor})
        if others:
            self._notes(f"the machines have different processors ({ours.processor}; {'; '.join(others)}): ")
            self._notes("  their pixels may differ in the last bit, within what rounding allows")
        return not all(one.sees for one in theirs)

    def _asked(self, footage: Footage, made: Recipe, source: str) -> list[Likeness]:
        strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        ask = self._ray.remote(_likeness)
        refs = [
            ask.options(num_cpus=0, scheduling_strategy=strategy(node, soft=False)).remote(footage, made, source)
            for node in self._machines
        ]
        try:
            return list(self._ray.get(refs, timeout=ASK_S))
        except self._ray.exceptions.RayTaskError as error:
            raise _told(error, "a machine of the cluster") from None
        except self._ray.exceptions.RayError as error:
            what = f"a machine of the cluster does not tell what it has: {type(error).__name__}"
            raise EngineError(what, "see that live-sr is installed there and that it runs") from None

    def _sent(self, footage: Footage) -> list[Any]:
        """The video as objects of Ray's, which it keeps on disk when they are too large for memory."""
        self._notes(f"{footage.path.name} is sent to the cluster, as not all of its machines see it")
        with footage.path.open("rb") as file:
            return [self._ray.put(block) for block in iter(lambda: file.read(BLOCK), b"")]


# On the workers


def _task(footage: Footage, made: Recipe, segment: Segment, blocks: list[Any] | None, scratch: str | None) -> bytes:
    if scratch is not None:
        tempfile.tempdir = scratch  # which goes with the cluster, whoever was killed in it
    if blocks is not None:
        ray = _ray()
        footage = remote.brought(footage, lambda: (ray.get(block) for block in blocks))
    return remote.segment_made(footage, made, segment)


def _likeness(footage: Footage, made: Recipe, source: str) -> Likeness:
    return remote.likeness(footage, made, source)


# Here


def _kept(data: bytes, place: Path) -> Tally:
    """Writes a segment's file. Raises LiveSRError for a full disk, EngineError for a file that is damaged."""
    part = place.with_suffix(".part")
    try:
        part.write_bytes(data)
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(place, error) from None
    read = segmentfile.read(place)
    if read is None:
        place.unlink()
        raise EngineError(f"{place.name} came back damaged from the cluster", "use --resume to make it again")
    return read.tally


def _told(error: Any, where: str) -> LiveSRError:
    """What a task raised, as itself if live-sr names it."""
    cause = error.cause
    if isinstance(cause, LiveSRError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return MissingPart(f"{where}: {cause}", "install the same live-sr on all machines of the cluster")
    return EngineError(
        f"{where} failed in the cluster: {reason(cause)}", "upscale without --ray to see whether it is so"
    )


def _differences(ours: Likeness, theirs: Likeness) -> str:
    here, there = dict(ours.software), dict(theirs.software)
    words = [
        f"{name} {there.get(name, 'missing')}, not {here.get(name, 'missing')}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]
    return "; ".join(words)


def _knock(address: str) -> None:
    """Raises UsageError where nothing answers: Ray itself would try for minutes."""
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?([^:/]+):(\d{1,5})", address)
    if found is None:
        raise UsageError(f'"{address}" is no address of a Ray cluster', ADDRESS)
    try:
        socket.create_connection((found[1], int(found[2])), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"there is no Ray cluster to work on at {address}: {error}", ADDRESS) from None


def _short_folder() -> str | None:
    """For Ray's files; None: the usual one. The names of its sockets may have 107 bytes, of which it needs 70."""
    return "/tmp" if len(tempfile.gettempdir()) > 20 and Path("/tmp").is_dir() else None


def _ray() -> ModuleType:
    """Raises MissingPart."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent: docs/decisions/008
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingPart(f"--ray needs Ray, which does not import: {error}", REMEDY) from None
