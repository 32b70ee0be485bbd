"""Takes the address and the folder, then serves until a signal ends it."""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import uvicorn
from filelock import FileLock, Timeout

from live_sr.errors import LiveSRError, UsageError
from live_sr.service.options import ServiceOptions
from live_sr.service.routes import make_app
from live_sr.service.service import Service
from live_sr.terminal import print_result

INCOMING = "incoming"  # the folder of files that are being received
STOP_S = 5  # how long the end waits for answers that are being sent


class _Server(uvicorn.Server):
    """Ends the streams of events at once, which would otherwise last as long as their jobs."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.changes.stop()
        super().handle_exit(sig, frame)


def run(options: ServiceOptions) -> int:
    """Serves. Raises LiveSRError where the address or the folder cannot be used."""
    with take_folder(options.folder), listen(options.host, options.port) as listener:
        # Uploads are received there, because the system's folder may be in memory
        tempfile.tempdir = str(options.folder / INCOMING)
        service = Service(options)
        config = uvicorn.Config(
            make_app(service),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=STOP_S,
            lifespan="on",
            ws="none",
        )
        print_result(f"live-sr: serving at {make_address(options, listener.getsockname()[1])}")
        server = _Server(config, service)
        server.run(sockets=[listener])
    return 0 if server.started else 1


def take_folder(folder: Path) -> AbstractContextManager[object]:
    """The lock on the folder, held until it is left. Raises LiveSRError where it cannot be written, or is in use."""
    incoming = folder / INCOMING
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / "lock").acquire(blocking=False)
        shutil.rmtree(incoming, ignore_errors=True)
        for name in (incoming, folder / "jobs", folder / "models"):
            name.mkdir(exist_ok=True)
    except Timeout:
        raise LiveSRError(
            f"another live-sr serves from {folder}", "stop it, or name another folder with --folder"
        ) from None
    except OSError as error:
        raise LiveSRError(f"{folder} cannot be used: {error.strerror}", "name another folder with --folder") from None
    return lock


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at that address. Raises LiveSRError or UsageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except socket.gaierror:
        raise UsageError(f"there is no address {host}", "use 127.0.0.1, or 0.0.0.0 for all addresses") from None
    except OSError as error:
        why = error.strerror or str(error)
        what = f"{host} port {port} cannot be used: {why.split(' (')[0]}"
        raise LiveSRError(what, "choose another port with --port; 0 takes a free one") from None


def make_address(options: ServiceOptions, port: int) -> str:
    """What to open in a browser; the token is behind the #, which browsers do not send."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{port}/" + (f"#token={quote(options.token)}" if options.token else "")
