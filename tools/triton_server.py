"""Start the Triton Inference Server that the wheel nvidia-pytriton holds, over a model repository (docs/triton.md).

    python -m tools.triton_server REPOSITORY [--http-port 8000] [FLAG...]

Its Python backend runs models in this Python, with the packages that are installed here. Linux, glibc 2.35 or newer.
Further flags are tritonserver's own.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

WHEEL = "pip install --no-deps nvidia-pytriton==0.7.0"
STOP_S = 3  # how long the server lets requests end
PAUSE_S = 0.05


class TritonServer:
    """A running server, which listens on 127.0.0.1 alone. `close` ends it and all that it has started.

    port: for HTTP; 0 takes a free one. Raises RuntimeError where the wheel is not installed.
    """

    def __init__(self, repository: Path, port: int = 0, flags: tuple[str, ...] = (), log: Path | None = None) -> None:
        site = find_site()
        self.port = port or find_free_port()
        self._backends = tempfile.TemporaryDirectory(prefix="triton-backends-")
        link_python_backend(site, Path(self._backends.name))
        environment = make_environment(site)
        with (log or Path(os.devnull)).open("wb") as output:
            self.process = subprocess.Popen(
                [
                    site / "pytriton/tritonserver/bin/tritonserver",
                    f"--model-repository={repository}",
                    f"--backend-directory={self._backends.name}",
                    *("--http-address=127.0.0.1", f"--http-port={self.port}"),
                    *("--allow-grpc=false", "--allow-metrics=false", f"--exit-timeout-secs={STOP_S}"),
                    *flags,
                ],
                env=environment,
                stdout=output if log else None,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """Whether every model is loaded. Raises RuntimeError where the server has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"tritonserver has ended with exit code {self.process.returncode}")
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", "/v2/health/ready")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def wait_until_ready(self) -> None:
        """Raises RuntimeError where it ends before: a model that cannot be loaded ends it."""
        while not self.is_ready():
            time.sleep(PAUSE_S)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        with suppress(ProcessLookupError):  # processes of models that did not end with it
            os.killpg(self.process.pid, signal.SIGKILL)
        self._backends.cleanup()


def find_site() -> Path:
    """The folder of packages that nvidia-pytriton is in. Raises RuntimeError without it."""
    spec = find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"nvidia-pytriton is not installed: {WHEEL}")
    return Path(spec.submodule_search_locations[0]).parent


def link_python_backend(site: Path, backends: Path) -> None:
    """Puts the Python backend together: the wheel has its parts in two places, one for each version of Python."""
    source, target = site / "pytriton/tritonserver", backends / "python"
    stub = source / f"python_backend_stubs/{sys.version_info[0]}.{sys.version_info[1]}/triton_python_backend_stub"
    if not stub.exists():
        raise RuntimeError(f"nvidia-pytriton cannot run Python {sys.version_info[0]}.{sys.version_info[1]}")
    target.mkdir()
    for path in (*(source / "backends/python").iterdir(), stub):
        (target / path.name).symlink_to(path)


def make_environment(site: Path) -> dict[str, str]:
    """The server's environment. Its stub takes its packages from the first python3 on PATH, and must load libpython of
    that very Python: with another patch version, models fail when they start.
    """
    libraries = [str(site / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    return os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]),
    }


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("repository", type=Path, metavar="REPOSITORY")
    parser.add_argument("--http-port", type=int, default=8000, metavar="N")
    a, flags = parser.parse_known_args()
    try:
        server = TritonServer(a.repository, a.http_port, tuple(flags))
    except RuntimeError as error:
        print(f"triton_server: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return server.process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
