"""Starts a PulseAudio of its own, whose outputs play to nobody, for tests and scripts."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from patience import until

_libc = ctypes.CDLL(None)


class SoundServer:
    """`with SoundServer() as server`: programs play to it whose PULSE_SERVER is `server.address`.

    Skips the test where pulseaudio is not installed.
    """

    def __init__(self, *sinks: str) -> None:
        """`sinks`: the names of its outputs, of which the first is the default."""
        self._sinks = sinks or ("out",)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-sound-")
        self._socket = Path(self._folder.name, "native")
        self.address = f"unix:{self._socket}"
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        with suppress(OSError):
            self._folder.cleanup()

    def start(self) -> None:
        """Starts it, also again after `stop`."""
        program = shutil.which("pulseaudio")
        if program is None:
            pytest.skip("pulseaudio is not installed (Debian: pulseaudio)")
        modules = [f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}"]
        modules += [f"module-null-sink sink_name={name}" for name in self._sinks]
        home = self._folder.name
        self._process = subprocess.Popen(
            [program, "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes"]
            + [word for module in modules for word in ("-L", module)],
            env={**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(1, signal.SIGKILL),  # PR_SET_PDEATHSIG: it ends with the test
        )
        until(self._socket.exists, "the sound server has started")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)
