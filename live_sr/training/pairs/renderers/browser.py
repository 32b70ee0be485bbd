"""Shows a page in headless Chromium at any device scale, through the DevTools protocol."""

from __future__ import annotations

import atexit
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np

from live_sr.errors import LiveSRError, MissingPart
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import end_process
from live_sr.training.pairs.renderers.child_program import Wheel

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WEBSOCKET = Wheel("websocket", "websocket-client==1.9.0")
START_S = 60  # a busy machine
ANSWER_S = 180  # of one large picture, drawn without a graphics card
FLAGS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-extensions", "--hide-scrollbars", "--mute-audio"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
    *(
        "--force-color-profile=srgb",
        "--disable-lcd-text",
        "--disable-background-networking",
        "--remote-debugging-port=0",
    ),
)


def find_browser() -> str:
    """Raises MissingPart."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise MissingPart("Chromium is not installed", "Debian: apt install chromium")
    WEBSOCKET.check()
    return found


class Tab:
    """One page. Errors of its scripts become LiveSRErrors."""

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(address, timeout=ANSWER_S, suppress_origin=True)
        self._lost = (websocket.WebSocketException, OSError)
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Sends a command of the DevTools protocol and waits for its answer. Raises LiveSRError."""
        self._number += 1
        try:
            self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
            while (answer := json.loads(self._socket.recv())).get("id") != self._number:
                pass  # an event
        except self._lost as error:
            what = f"Chromium did not answer {method}: {error}"
            raise LiveSRError(what, "draw the scene again, on a machine that is less busy") from None
        if "error" in answer:
            raise LiveSRError(
                f"Chromium refused {method}: {answer['error']['message']}", "install Chromium 120 or newer"
            )
        return dict(answer["result"])

    def evaluate(self, script: str) -> Any:
        """The value of an expression, of a promise when it is kept. Raises LiveSRError where the script fails."""
        done = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            words = details.get("exception", {}).get("description") or details["text"]
            raise LiveSRError(f"the page failed: {words.splitlines()[0]}", "leave the scene out")
        return done["result"].get("value")

    def show(self, address: str, size: Size, scale: float) -> None:
        """Opens a page in a window of `size` pixels of CSS, each of `scale` pixels a side."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=size.width,
            height=size.height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        self.ask("Page.navigate", url=address)
        until = time.monotonic() + START_S
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.href") == "about:blank":
            if time.monotonic() > until:
                raise LiveSRError(f"Chromium did not load {address}", "try again on a machine that is less busy")
            time.sleep(0.05)

    def take_picture(self) -> Picture:
        """What the window shows, BGR uint8."""
        png = base64.b64decode(self.ask("Page.captureScreenshot", format="png", optimizeForSpeed=True)["data"])
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise LiveSRError("Chromium gave no picture", "try again")
        return np.asarray(picture, np.uint8)


@contextmanager
def open_tab() -> Iterator[Tab]:
    """A new page, which ends with the `with` statement. Raises LiveSRError."""
    from urllib.request import Request, urlopen

    address = f"http://127.0.0.1:{_start_browser()}/json"
    try:
        with urlopen(Request(f"{address}/new?about:blank", method="PUT"), timeout=START_S) as answer:
            page = json.load(answer)
    except OSError:
        _start_browser.cache_clear()  # the next scene starts another one
        raise LiveSRError("Chromium ended by itself", "draw the scene again") from None
    try:
        with closing(Tab(page["webSocketDebuggerUrl"])) as tab:
            yield tab
    finally:
        with suppress(OSError):
            urlopen(f"{address}/close/{page['id']}", timeout=START_S).close()


@cache
def _start_browser() -> int:
    """The port of a Chromium that runs as long as this process: its start takes longer than most pictures do."""
    command = [find_browser(), *FLAGS]
    folder = tempfile.TemporaryDirectory(prefix="make-pairs-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    port, quiet = Path(folder.name, "DevToolsActivePort"), subprocess.DEVNULL
    command += [f"--user-data-dir={folder.name}", "about:blank"]
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    atexit.register(end_process, process)
    until = time.monotonic() + START_S
    while not (port.is_file() and len(port.read_text().split()) == 2):
        if process.poll() is not None or time.monotonic() > until:
            raise LiveSRError("Chromium did not start", f"see what `{command[0]} --headless=new` says")
        time.sleep(0.05)
    return int(port.read_text().split()[0])


class _Files(SimpleHTTPRequestHandler):
    """Serves folders under their names."""

    def __init__(self, *args: Any, folders: dict[str, Path], **kwargs: Any) -> None:
        self._folders = folders
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        name, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        folder = self._folders.get(name)
        file = (folder / rest).resolve() if folder else None
        return str(file) if folder and file and file.is_relative_to(folder.resolve()) else ""

    def guess_type(self, path: Any) -> str:
        # what the system says of these differs, and Chromium takes modules of no other type
        return "text/javascript" if str(path).endswith((".js", ".mjs")) else super().guess_type(path)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_folders(folders: dict[str, Path]) -> Iterator[str]:
    """The address of a server, for this machine alone, which has each folder under its name."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, folders=folders))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
