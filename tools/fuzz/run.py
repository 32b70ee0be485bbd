"""Give every reader of files thousands of broken ones: each must give a value or an error that live-sr names.

    python -m tools.fuzz.run --seconds 600                       all readers, in turn
    python -m tools.fuzz.run --only ncnn --seed 7 --out found    one of them; what broke it is kept in found/
    python -m tools.fuzz.run --only ncnn --seed 7 --case 1234    that case once more, with its traceback

A finding is any other exception, a process that dies, a case that takes more than --limit seconds, or memory out of
proportion. The readers run in a process of their own; the same seed breaks the same files in the same way.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from live_sr import config
from live_sr.engines.cache import key
from live_sr.engines.openvino.tensorflow_pb import TensorFlowGraphEngine
from live_sr.engines.other_formats.ncnn import NcnnEngine
from live_sr.engines.other_formats.torch_eager import EagerEngine
from live_sr.errors import LiveSRError
from live_sr.models import card, user_folder, zoo
from live_sr.models.resolve import resolve
from tools.fuzz import specimens
from tools.fuzz.mutations import mutate

EXTRA_MEMORY = 2 << 30  # bytes of address space that a case may take beyond what the libraries have
NO_MEMORY = ("alloc", "not enough memory", "out of memory")  # in a message: it was asked for all the same


def read_config(path: Path) -> object:
    return config.load(path, ("Freedoom", "chocolate-doom"), {"model": {"scale": 2}})


def read_card(path: Path) -> object:
    """Read, written, and the same when it is read again."""
    beside = path.with_suffix(".toml")
    one = card.read_card(beside)
    beside.write_text(card.format_card(one), encoding="utf-8")
    again = card.read_card(beside)
    if repr(again) != repr(one):  # not ==, as nan is no number that equals itself
        raise AssertionError(f"{one} was written and read as {again}")
    return one


def read_zoo(path: Path) -> object:
    """The folder with the broken model in it, as a user's: what is wrong with a card is a trouble and no error."""
    shelf = zoo.read_user_folder(path.parent, ("taken",))
    names = zoo.list_names(user=path.parent)
    for one in shelf.cards:
        zoo.verify(one)
        resolve(str(one.onnx), one.scale)
    return resolve(str(path)).scales, names


def read_install(path: Path) -> object:
    for one in user_folder.describe_file(path, None, None):
        user_folder.check_name(one.name)
    return None


def read_key(path: Path) -> object:
    manifest = key.parse_manifest(path.read_text(encoding="utf-8"))
    return manifest.key.file_name, key.parse_manifest(manifest.to_toml())


@dataclass(frozen=True)
class FuzzTarget:
    """What reads a file, valid ones to begin with, and what it may raise. `turns`: cases of it in one round."""

    name: str
    read: Callable[[Path], object]
    make: specimens.MakeSpecimens
    named: tuple[type[Exception], ...] = (LiveSRError,)
    turns: int = 1


TARGETS = (
    FuzzTarget("config", read_config, specimens.make_config, turns=6),
    FuzzTarget("card", read_card, specimens.make_zoo, turns=4),
    FuzzTarget("zoo", read_zoo, specimens.make_zoo, turns=4),
    FuzzTarget("install", read_install, specimens.make_onnx_files, turns=4),
    FuzzTarget("key", read_key, specimens.make_key, (ValueError,), turns=4),
    FuzzTarget("torch", EagerEngine.read, specimens.make_torch_files, turns=2),
    FuzzTarget("ncnn", NcnnEngine.read, specimens.make_ncnn_files, turns=4),
    FuzzTarget("frozen", TensorFlowGraphEngine.read, specimens.make_frozen_graph, turns=2),
)


@dataclass(frozen=True)
class FuzzFinding:
    """What a reader did with a case that it should not have done."""

    reader: str
    case: int
    what: str


class CaseFolder:
    """A folder of valid files for each reader, and the broken ones made of them."""

    def __init__(self, readers: tuple[FuzzTarget, ...], folder: Path, seed: int) -> None:
        self._seed = seed
        self._folder = folder
        self._order = [reader for reader in readers for _ in range(reader.turns)]
        self._valid: dict[str, list[list[Path]]] = {}
        for reader in readers:
            home = folder / reader.name
            home.mkdir(exist_ok=True)
            self._valid[reader.name] = [sorted(home.glob(f"{path.stem}.*")) for path in reader.make(home)]
            self._valid[reader.name] = [
                sorted(files, key=lambda file, main=path: file != main)  # type: ignore[misc]
                for files, path in zip(self._valid[reader.name], reader.make(home), strict=True)
            ]

    def reader(self, case: int) -> FuzzTarget:
        return self._order[case % len(self._order)]

    def broken(self, case: int) -> Path:
        """The files of that case, in a folder of their own; the one to be read."""
        reader = self.reader(case)
        random = Random(f"{self._seed} {reader.name} {case}")
        sets = self._valid[reader.name]
        files = random.choice(sets)
        others = [file.read_bytes() for one in sets for file in one]
        home = self._folder / f"case-{reader.name}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        chosen = random.choice(files)
        for file in files:
            data = file.read_bytes()
            (home / file.name).write_bytes(mutate(data, random, others) if file == chosen else data)
        return home / files[0].name


def run_case(bench: CaseFolder, case: int) -> str:
    """Reads a case; what is wrong with how that went, or nothing."""
    reader = bench.reader(case)
    path = bench.broken(case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        reader.read(path)
    except reader.named as error:
        told = " ".join((str(error), getattr(error, "remedy", "")))
        if any(words in told.lower() for words in NO_MEMORY):
            return f"it tried to take too much memory: {told}"
        if isinstance(error, LiveSRError) and not error.message.strip():
            return "an error without a message"
    except (Exception, RecursionError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = next((f for f in reversed(frames) if "live_sr" in f.filename), frames[-1])
        return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {str(error)[:200]}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return f"{grown} MiB for a file of {path.stat().st_size} bytes" if grown > 512 else ""


# The process that reads


def serve(names: tuple[str, ...], folder: Path, seed: int, first: int, reports: Connection) -> None:
    """Cases from `first` on, each announced before and reported after: ("begun" or "done", case, what is wrong)."""
    import torch

    torch.set_num_threads(1)
    bench = CaseFolder(tuple(r for r in TARGETS if r.name in names), folder, seed)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + EXTRA_MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # the libraries have much to say about each
    case = first
    while True:
        reports.send(("begun", case, ""))
        reports.send(("done", case, run_case(bench, case)))
        case += 1


@dataclass
class FuzzRun:
    """Readers at work, until `cases` of them or `seconds` are over (0: no such end). `limit`: seconds for one case."""

    names: tuple[str, ...]
    seed: int = 1
    cases: int = 0
    seconds: float = 0.0
    limit: float = 20.0
    out: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def findings(self) -> Iterator[FuzzFinding]:
        order = [reader.name for reader in TARGETS if reader.name in self.names for _ in range(reader.turns)]
        begun = time.monotonic()
        first = 0
        with tempfile.TemporaryDirectory() as folder:
            while first < (self.cases or sys.maxsize) and not (
                self.seconds and time.monotonic() - begun > self.seconds
            ):
                for case, what in self._served(Path(folder), first, begun):
                    first = case + 1
                    reader = order[case % len(order)]
                    self.counts[reader] += 1
                    if what:
                        self._keep(Path(folder), reader, case)
                        yield FuzzFinding(reader, case, what)

    def _late(self, begun: float) -> bool:
        return bool(self.seconds) and time.monotonic() - begun > self.seconds

    def _served(self, folder: Path, first: int, begun: float) -> Iterator[tuple[int, str]]:
        """(case, what is wrong) of one process, until it dies, hangs or all is done."""
        ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        arguments = (self.names, folder, self.seed, first, theirs)
        process = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        at = -1
        patience = 120.0  # for the libraries
        try:
            while not self._late(begun):
                if not ours.poll(patience):
                    yield at, f"more than {self.limit:g} s"
                    return
                word, at, what = ours.recv()
                patience = self.limit if word == "begun" else 120.0
                if word == "done":
                    yield at, what
                    if self.cases and at + 1 >= self.cases:
                        return
        except EOFError:
            process.join(10)
            if at < first and patience == 120.0:
                raise RuntimeError("the process of the readers did not start") from None
            yield at, f"the process died ({process.exitcode})"
        finally:
            process.kill()
            process.join()

    def _keep(self, folder: Path, reader: str, case: int) -> None:
        if self.out is not None:
            with suppress(OSError):
                shutil.copytree(folder / f"case-{reader}", self.out / f"{reader}-{case}", dirs_exist_ok=True)


def replay_case(names: tuple[str, ...], seed: int, case: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        bench = CaseFolder(tuple(r for r in TARGETS if r.name in names), Path(folder), seed)
        print(bench.reader(case).read(bench.broken(case)))
    return 0


def main() -> int:
    shape = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=shape)
    known = [reader.name for reader in TARGETS]
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="READER", help=" ".join(known))
    parser.add_argument("--seconds", type=float, default=600, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other files")
    parser.add_argument("--limit", type=float, default=20, help="seconds that a case may take")
    parser.add_argument("--out", type=Path, help="folder for the files of the findings")
    parser.add_argument("--case", type=int, help="only this one, here")
    args = parser.parse_args()
    if args.case is not None:
        return replay_case(tuple(args.only), args.seed, args.case)
    run = FuzzRun(tuple(args.only), args.seed, seconds=args.seconds, limit=args.limit, out=args.out)
    kinds: Counter[tuple[str, str]] = Counter()
    for finding in run.findings():
        kind = (finding.reader, finding.what.split(": ")[0])
        kinds[kind] += 1
        if kinds[kind] <= 3:
            print(f"{finding.reader} {finding.case}: {finding.what}", flush=True)
    cases = ", ".join(f"{name} {count}" for name, count in run.counts.items())
    print(f"{run.counts.total()} cases ({cases}), {kinds.total()} findings of {len(kinds)} kinds")
    for (reader, what), count in kinds.most_common():
        print(f"  {count:6} {reader}: {what}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
