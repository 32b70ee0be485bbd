"""An engine cache for tests, and a harness that builds engines in real processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from patience import until

from live_sr.engines.cache.build_process import find_or_build
from live_sr.engines.cache.key import EngineKey
from live_sr.engines.cache.store import EngineCache
from live_sr.pipeline.engine_contracts import BuildMonitor

KEY = EngineKey(
    engine="tensorrt",
    model="fast",
    scale=2,
    width=480,
    height=270,
    precision="fp16",
    weights="9f86d081",
    architecture="CellNet 32x3",
    gpu='A "card" of 2026\n',
    capability="8.9",
    driver="580.95.05",
    options=(("optimization_level", "3"), ("aux streams", "0")),
    versions=(("torch", "2.13.0"), ("tensorrt", "10.13.3.9")),
)
ENGINE = bytes(range(256)) * 20
OTHER = ENGINE[::-1]


# The program of a build process. It first writes its process id into a file of its own in `folder`.
WORKER = """
import ctypes, os, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path
from live_sr.engines.cache import build_worker
from live_sr.errors import EngineError

@dataclass
class Spec:
    what: str
    folder: str
    numbers: list

def make(spec, say):
    folder = Path(spec.folder)
    part = folder / f"{os.getpid()}.part"
    part.write_text(str(os.getpid()))
    part.replace(folder / f"{os.getpid()}.pid")
    print("a library greets", flush=True)
    os.write(1, b"also from C, without an end of line")
    say("optimising")
    match spec.what:
        case "wait":
            while not (folder / "go").exists():
                time.sleep(0.01)
        case "for ever":
            time.sleep(600)
        case "deaf":  # as a library that does not release the interpreter
            ctypes.PyDLL(None).sleep(600)
        case "with helper":
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (folder / f"{helper.pid}.pid").write_text(str(helper.pid))
            time.sleep(600)
        case "with daemon":  # in a process group of its own, and it keeps the stderr pipe open
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            (folder / f"{helper.pid}.daemon").touch()
        case "fail":
            raise EngineError("the GPU is too old", "use the cuda engine")
        case "raise":
            raise ValueError("no kernel for this layer")
        case "kill":
            os.kill(os.getpid(), 9)
        case "crash":
            os.abort()
        case "exit":
            os._exit(7)
        case "short":
            os.write(3, b'["engine", 1000000]\\nonly this')  # 3: the pipe that `run_worker` sends through
            os._exit(0)
        case "crash at exit":
            import atexit
            atexit.register(os.abort)
        case "chatter":
            sys.stderr.write("x" * 300_000 + "\\n")
            print("y" * 300_000)
    return bytes(range(256)) * spec.numbers[0]

sys.exit(build_worker.run_worker(Spec, make))
"""

BUILDER = """
import sys
from pathlib import Path
from cache_harness import BuildHarness
from live_sr.pipeline.engine_contracts import BuildMonitor
harness = BuildHarness(Path(sys.argv[1]))
engine = harness.build(sys.argv[2], BuildMonitor(progress=lambda words: print(words, flush=True)))
print("has", len(engine), flush=True)
"""


@dataclass(frozen=True)
class Spec:
    what: str
    folder: str
    numbers: tuple[int, ...] = (20,)


@dataclass
class BuildHarness:
    """An engine cache and a builder in one folder."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    others: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> EngineCache:
        return EngineCache(self.folder / "engines", self.folder / "secret", self.notes.append)

    def build(
        self,
        what: str,
        watch: BuildMonitor = BuildMonitor(),  # noqa: B008  # immutable
        key: EngineKey = KEY,
        timeout_s: float = 3600.0,
    ) -> bytes:
        script = self.folder / "child.py"
        if not script.exists():
            script.write_text(WORKER)
        command = [sys.executable, str(script)]
        return find_or_build(key, command, Spec(what, str(self.folder)), self.store, watch, timeout_s)

    def release(self) -> None:
        """Lets the waiting workers finish."""
        (self.folder / "go").touch()

    def wait_for_workers(self, count: int) -> list[int]:
        """Waits until that many have started; their process ids."""
        until(lambda: len(self.list_workers()) >= count)
        return self.list_workers()

    def list_workers(self) -> list[int]:
        """Process ids of all workers that have started."""
        return [int(path.stem) for path in self.folder.glob("*.pid")]

    def start_another(self, what: str = "wait") -> subprocess.Popen[str]:
        """Starts another live-sr that builds the same engine."""
        command = [sys.executable, "-c", BUILDER, str(self.folder), what]
        self.others.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self.others[-1]

    def list_files(self) -> set[str]:
        """Names of the files in the cache, without locks."""
        return {path.name for path in self.store.folder.glob("*") if path.suffix != ".lock"}
