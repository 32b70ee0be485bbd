"""A `live-sr serve` in a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BOUNDARY = "a-line-between-parts"


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running service. Its requests bring `token`, if it has one."""

    def __init__(self, folder: Path, *flags: str, token: str = "") -> None:
        self.folder, self.token = folder, token
        folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "live_sr", "serve", "--port", "0", "--model", "lanczos", "--folder", folder, *flags],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "LIVE_SR_TOKEN": token},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)/", line)
        assert found, f"it does not serve: {line}"
        self.port = int(found[1])

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        with closing(self.open()) as connection:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())

    def send(self, path: str, data: bytes, name: str, **fields: object) -> Answer:
        """Sends a form with a file."""
        lines = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()
        ]
        lines.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n')
        body = "".join(lines).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self.ask("POST", path, body, **{"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    def begin(self, source: Path, **fields: object) -> str:
        """Begins a job; its id."""
        answer = self.send("/jobs", source.read_bytes(), source.name, **fields)
        assert answer.status == 202, answer.body
        return str(answer.json["id"])

    def watch(self, job: str) -> Iterator[dict[str, Any]]:
        """The states of a job, from its events, until they end."""
        with closing(self.open()) as connection:
            connection.request("GET", f"/jobs/{job}/events")
            response = connection.getresponse()
            assert response.headers["Content-Type"].startswith("text/event-stream")
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
