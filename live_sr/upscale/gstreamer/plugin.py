"""`live-sr gstreamer`: makes the element `livesrupscale` known to GStreamer, or not any more.

GStreamer looks for elements written in Python in a folder of the user. The file that is written there is small: it
names this installation of live-sr, and imports the element from it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from live_sr.errors import LiveSRError, MissingPart
from live_sr.system import atomic_file, paths
from live_sr.terminal import print_result

ELEMENT = "livesrupscale"
FOLDER = "~/.gstreamer-1.0/plugins/python"  # the loader does not follow XDG_DATA_HOME, as GStreamer itself does
INSPECT = "gst-inspect-1.0"
INSPECT_S = 120  # the longest that GStreamer may need to look at all of its plug-ins
DEBIAN = (
    "Debian and Ubuntu: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-python3-plugin-loader python3-gst-1.0"
)
LOADER = f"{DEBIAN}\n  Debian 13 also: libpython3-dev; then delete ~/.cache/gstreamer-1.0, which remembers what failed"
OTHER_PYTHON = "and GStreamer uses"
PYTHON = "make the virtual environment of live-sr with the system's Python: /usr/bin/python3 -m venv FOLDER"

FILE = '''\
"""Written by `live-sr gstreamer install`, deleted by `live-sr gstreamer remove`."""

import site
import sys

if sys.version_info[:2] != {version}:
    here = "live-sr is installed in Python %d.%d, {other_python} %d.%d"
    raise ImportError(here % ({version} + sys.version_info[:2]))
before = list(sys.path)
for folder in {folders}:
    sys.path.append(folder)
    site.addsitedir(folder)
sys.path[:] = [folder for folder in sys.path if folder not in before] + before  # those of live-sr first

from live_sr.upscale.gstreamer.element import ELEMENT

__gstelementfactory__ = ELEMENT
'''


def install() -> int:
    """Writes the file, and has GStreamer look at the element.

    Raises LiveSRError, and then leaves no file but one that another installation wrote before.
    """
    if shutil.which(INSPECT) is None:
        raise MissingPart("GStreamer's tools are not installed", DEBIAN)
    if _inspect("python").returncode:
        raise MissingPart("GStreamer cannot load elements that are written in Python", LOADER)
    file = find_file()
    before = file.read_bytes() if file.is_file() else None
    atomic_file.write(file, make_file().encode())
    try:
        _check_element()
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            atomic_file.write(file, before)
        raise
    print_result(f"live-sr: GStreamer has the element {ELEMENT}, through {file}")
    if find_system_path() != os.environ.get("PATH", ""):
        print_result("  leave the virtual environment first (deactivate): GStreamer does not find its packages in it")
    print_result(f"  try it: gst-launch-1.0 videotestsrc ! {ELEMENT} ! videoconvert ! autovideosink")
    return 0


def remove() -> int:
    """Deletes the file. Raises LiveSRError if the system refuses."""
    file = find_file()
    there = file.exists()
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise LiveSRError(f"{file} cannot be deleted: {error.strerror}", "check its permissions") from None
    print_result(f"live-sr: deleted {file}" if there else f"live-sr: {ELEMENT} was not installed: there is no {file}")
    return 0


def find_file() -> Path:
    """Where GStreamer looks for elements of this user that are written in Python. Raises LiveSRError without a home."""
    try:
        return Path(paths.expand_path(FOLDER), f"{ELEMENT}.py")
    except ValueError:
        raise LiveSRError(f"the element cannot be kept: {paths.NO_HOME}", "set HOME to your folder") from None


def make_file() -> str:
    """A program that finds this installation, also where it is editable or in a virtual environment."""
    ours = Path(__file__).resolve().parents[3]
    installed = sysconfig.get_paths()
    folders = list(dict.fromkeys((str(ours), installed["purelib"], installed["platlib"])))
    return FILE.format(version=tuple(sys.version_info[:2]), folders=folders, other_python=OTHER_PYTHON)


def _check_element() -> None:
    """Raises MissingPart with the reason why GStreamer cannot load the element."""
    done = _inspect(ELEMENT)
    if done.returncode:
        causes = [line for line in done.stderr.splitlines() if line.partition(":")[0].endswith("Error")]
        cause = causes[-1].partition(": ")[2] if causes else "it does not say why"
        remedy = PYTHON if OTHER_PYTHON in cause else "report this, with what `live-sr doctor` prints"
        raise MissingPart(f"GStreamer cannot load {ELEMENT}: {cause}", remedy)


def find_system_path() -> str:
    """PATH without virtual environments.

    The Python in GStreamer looks for its packages beside the first python3 on PATH. In an active virtual environment it
    finds none of its own, and GStreamer then remembers that it cannot load elements written in Python.
    """
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not Path(folder).parent.joinpath("pyvenv.cfg").is_file())


def _inspect(name: str) -> subprocess.CompletedProcess[str]:
    """What GStreamer knows of an element or plug-in. Raises LiveSRError if it gives no answer."""
    environment = {**os.environ, "PATH": find_system_path()}
    try:
        return subprocess.run(
            [INSPECT, name], env=environment, capture_output=True, text=True, errors="replace", timeout=INSPECT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LiveSRError(f"{INSPECT} gives no answer: {error}", f"try `{INSPECT} {name}` yourself") from None
