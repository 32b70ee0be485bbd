"""Installs the GStreamer element for a test, in folders of its own, and runs GStreamer's programs with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from live_sr.upscale.gstreamer.plugin import find_system_path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("gst-launch-1.0", "gst-inspect-1.0")


@dataclass(frozen=True)
class Gst:
    """env: without PYTHONPATH, as a user has it. python: the system's, which GStreamer is made for."""

    env: dict[str, str]
    python: str = "/usr/bin/python3"

    def copy(self, home: Path) -> Gst:
        """Another user, who has it installed in the same way."""
        shutil.copytree(self.env["HOME"], home)
        return Gst({**self.env, "HOME": str(home)})

    def launch(self, pipeline: str) -> str:
        """Runs a pipeline to its end."""
        return self.run("gst-launch-1.0", "-q", *pipeline.split())

    def fail(self, pipeline: str) -> str:
        """What is said of a pipeline that must fail."""
        done = self.try_run("gst-launch-1.0", *pipeline.split())
        assert done.returncode
        return done.stdout + done.stderr

    def run(self, *command: str) -> str:
        done = self.try_run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.env, capture_output=True, text=True)

    def live_sr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs this live-sr, whatever is installed."""
        env = {**self.env, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-m", "live_sr", *arguments], env=env, capture_output=True, text=True)


def install_element(folder: Path) -> Gst:
    """As `live-sr gstreamer install` does. Skips where GStreamer is missing, or made for another Python than ours."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GST_", "XDG_"))}
    gst = Gst({**env, "HOME": str(folder), "PATH": find_system_path()})  # also where these tests' environment is active
    done = gst.live_sr("gstreamer", "install")
    if "and GStreamer uses" in done.stderr or "written in Python" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[0])
    assert done.returncode == 0, done.stderr
    return gst
