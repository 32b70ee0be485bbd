"""A process that gives the system back what live-sr has changed, whatever ends live-sr."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

EXIT_S = 2.0  # the longest wait for the process to end


class GuardProcess:
    """`python -m MODULE ARGUMENT...`, which restores everything as soon as its standard input ends.

    That happens at `close`, and however else this program ends. Start it before anything is changed.
    """

    def __init__(self, module: str, *arguments: str, creationflags: int = 0) -> None:
        """`creationflags`: of Windows; 0 elsewhere."""
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends our process group does not end it; Windows has flags for that
            creationflags=creationflags,
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
