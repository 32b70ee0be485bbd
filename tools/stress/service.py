"""Put `live-sr serve` under load, or kill it again and again, and compare everything that it makes.

    python -m tools.stress.service load [--clients 64] [--minutes 10]
    python -m tools.stress.service kill [--kills 10] [--seed 1]

load: each client sends the same small picture for `lanczos` x2 again and again, also after an answer of 429. Prints the
answers, the time until a picture came, and the memory of the service. Ends with 1 if an answer is neither the right
picture nor 429, or if the memory grows by more than a tenth from a fifth of the time to its end.

kill: begins three videos, then sends SIGKILL at random moments and starts the service again. Ends with 1 unless each
video becomes that of `live-sr upscale`, byte by byte.
"""

import argparse
import http.client
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import psutil

from tools.stress.kill_upscale import make_clip

MODEL, SCALE, VIDEO_SCALE = "lanczos", 2, 4
WIDTH, HEIGHT = 160, 120
GROWTH = 1.1
LEAST_S, MOST_S = 0.2, 3.0  # from the moment that it serves until it is killed
BOUNDARY = "a-line-between-parts"


class ServiceProcess:
    """A running service, at a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        words = ("serve", "--port", "0", "--model", MODEL, "--folder", str(folder))
        self.process = subprocess.Popen([sys.executable, "-m", "live_sr", *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r":(\d+)/", self.process.stdout.readline())
        assert found, "it does not serve"
        self.port = int(found[1])

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def fetch(self, path: str) -> bytes:
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()

    def measure_memory(self) -> float:
        """In MB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)


class Load:
    """What the clients do together."""

    def __init__(self, service: ServiceProcess, form: bytes, expected: bytes) -> None:
        self._service, self._form, self._expected = service, form, expected
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        # guarded by _lock:
        self.answers: Counter[str] = Counter()
        self.seconds: list[float] = []

    def run(self, clients: int, seconds: float) -> list[float]:
        """Returns the memory in MB, ten times over the time, the first one at its beginning."""
        threads = [threading.Thread(target=self._repeat) for _ in range(clients)]
        memory = [self._service.measure_memory()]
        for thread in threads:
            thread.start()
        for turn in range(1, 11):
            time.sleep(seconds / 10)
            memory.append(self._service.measure_memory())
            with self._lock:
                print(f"{turn * seconds / 10:.0f} s: {memory[-1]:.0f} MB, {dict(self.answers)}", flush=True)
        self._stopping.set()
        for thread in threads:
            thread.join()
        return memory

    def _repeat(self) -> None:
        with closing(self._service.connect()) as connection:
            while not self._stopping.is_set():
                begun = time.perf_counter()
                try:
                    answer = self._send(connection)
                except (OSError, http.client.HTTPException) as error:
                    answer = type(error).__name__
                    connection.close()  # the next request opens it again
                with self._lock:
                    self.answers[answer] += 1
                    if answer == "right":
                        self.seconds.append(time.perf_counter() - begun)

    def _send(self, connection: http.client.HTTPConnection) -> str:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/upscale/file", self._form, headers)
        response = connection.getresponse()
        body = response.read()
        if response.status == 200:
            return "right" if body == self._expected else "WRONG"
        return str(response.status)


def make_form(data: bytes, name: str, scale: int) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="scale"\r\n\r\n{scale}\r\n--{BOUNDARY}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def upscale(source: Path, target: Path, scale: int) -> bytes:
    """What the command line makes of it."""
    words = ("upscale", str(source), "-o", str(target), "--model", MODEL, "--scale", str(scale))
    subprocess.run([sys.executable, "-m", "live_sr", *words], check=True)
    return target.read_bytes()


def run_load(a: argparse.Namespace, folder: Path) -> bool:
    """Whether all is well."""
    picture = folder / "small.png"
    noise = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(picture), noise)
    expected = upscale(picture, folder / "large.png", SCALE)
    service = ServiceProcess(folder / "service")
    try:
        load = Load(service, make_form(picture.read_bytes(), picture.name, SCALE), expected)
        memory = load.run(a.clients, 60 * a.minutes)
    finally:
        service.end(signal.SIGTERM)
    cuts = statistics.quantiles(load.seconds, n=100)
    print(f"{sum(load.answers.values()):,} requests: {dict(load.answers)}")
    print(f"until a picture came: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, at most {max(load.seconds):.2f} s")
    print(f"memory: {memory[0]:.0f} MB at the start, {memory[2]:.0f} MB at a fifth, {memory[-1]:.0f} MB at the end")
    return set(load.answers) <= {"right", "429"} and memory[-1] <= GROWTH * memory[2]


def run_kills(a: argparse.Namespace, folder: Path) -> bool:
    """Whether all is well."""
    rng = random.Random(a.seed)
    clips = [folder / f"clip{number}.mkv" for number in range(3)]
    for number, clip in enumerate(clips):
        make_clip(clip, a.frames + number)
    expected = [upscale(clip, folder / f"large-{clip.name}", VIDEO_SCALE) for clip in clips]
    service = ServiceProcess(folder / "service")
    jobs = [begin_job(service, clip) for clip in clips]
    states: list[dict[str, object]] = []
    kills = 0
    while True:
        ends = time.monotonic() + LEAST_S + rng.random() * (MOST_S - LEAST_S)
        while True:
            states = [json.loads(service.fetch(f"/jobs/{job}")) for job in jobs]
            done = all(state["state"] not in ("queued", "running") for state in states)
            if done or (kills < a.kills and time.monotonic() > ends):
                break
            time.sleep(0.1)
        if done:
            break
        service.end(signal.SIGKILL)
        kills += 1
        told = ", ".join("{state} at frame {done}".format(**state) for state in states)
        print(f"kill {kills}: {told}", flush=True)
        service = ServiceProcess(folder / "service")
    same = [
        state["state"] == "finished" and service.fetch(f"/jobs/{job}/result") == right
        for state, job, right in zip(states, jobs, expected, strict=True)
    ]
    service.end(signal.SIGTERM)
    print(f"{kills} kills; {sum(same)} of {len(same)} videos are those of the command line")
    return all(same) and kills == a.kills


def begin_job(service: ServiceProcess, clip: Path) -> str:
    """Its id."""
    with closing(service.connect()) as connection:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/jobs", make_form(clip.read_bytes(), clip.name, VIDEO_SCALE), headers)
        return str(json.loads(connection.getresponse().read())["id"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    load = actions.add_parser("load")
    load.add_argument("--clients", type=int, default=64, metavar="N")
    load.add_argument("--minutes", type=float, default=10.0, metavar="N")
    load.set_defaults(run=run_load)
    kill = actions.add_parser("kill")
    kill.add_argument("--kills", type=int, default=10, metavar="N")
    kill.add_argument("--frames", type=int, default=180, metavar="N", help="of each video (180)")
    kill.add_argument("--seed", type=int, default=1)
    kill.set_defaults(run=run_kills)
    a = parser.parse_args()
    with TemporaryDirectory() as folder:
        return 0 if a.run(a, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
