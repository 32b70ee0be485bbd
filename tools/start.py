"""Set live-sr up on a fresh machine and run it: standard library only, Windows and Linux.

python3 tools/start.py demo          makes .venv, installs the program into it, runs `live-sr demo`
python3 tools/start.py test          the same with what the tests need, runs them
python3 tools/start.py test --light  only those that do without PyTorch, which is not installed for them
python3 tools/start.py run ...       any other command of live-sr, with its arguments
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WINDOWS = sys.platform == "win32"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")
TESTED = ROOT / "tools" / "constraints"  # the versions that were tested with each Python, written by tools/lock.py

# What PyQt6's wheels expect of a Debian-like system, and a font for the HUD.
# fmt: off
SYSTEM = [
    "libegl1", "libgl1", "libfontconfig1", "libdbus-1-3", "libglib2.0-0", "libxkbcommon-x11-0", "libxcb-cursor0",
    "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-render-util0", "libxcb-shape0", "libxcb-xkb1",
    "fonts-dejavu-core",
]
# fmt: on
# The tests that pyproject.toml leaves out; a second -m replaces the one that stands there.
LEFT_OUT = "not cluster and not rtx_matrix and not many_changes and not triton"
# Screens, window managers and games for the tests.
FOR_TESTS = [
    *("xvfb", "xauth", "openbox", "icewm", "metacity", "xdotool", "wmctrl", "x11-utils", "x11-xkb-utils"),
    *("chocolate-doom", "freedoom", "weston", "xwayland", "openttd", "openttd-opengfx", "pulseaudio"),
    *("sway", "grim", "dbus-daemon", "mutter", "pipewire", "pipewire-bin", "wireplumber", "dosbox"),
    *("libvulkan1", "mesa-vulkan-drivers"),
    *("gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-x"),
    # Debian 13's loader looks for a library that only the last one has
    *("gstreamer1.0-python3-plugin-loader", "python3-gst-1.0", "libpython3-dev"),
]


def say(words: str) -> None:
    print(f"start: {words}", flush=True)


def run(*command: object, quiet: bool = True) -> None:
    """Runs a step of the set-up; shows what it printed only if it failed, and ends there."""
    done = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=quiet, text=True, check=False)
    if done.returncode:
        sys.stderr.write((done.stdout or "") + (done.stderr or ""))
        say(f"this failed: {' '.join(str(c) for c in command)}")
        sys.exit(1)


def absent(packages: list[str]) -> list[str]:
    """Those of the Debian packages that are not installed (a transitional name may end in t64)."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"], capture_output=True, text=True
    )
    have = {line.split()[0].removesuffix("t64") for line in listed.stdout.splitlines() if line.endswith(" installed")}
    return [p for p in packages if p.removesuffix("t64") not in have]


def system_packages(wanted: list[str]) -> None:
    """Installs missing Debian packages when it may; otherwise prints the one line that does."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        if not WINDOWS:
            say("not a Debian-like system: if Qt does not start, install xcb-cursor, xcb-icccm, xcb-keysyms and a font")
        return
    missing = absent(wanted)
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *missing]
    if os.geteuid() == 0:  # type: ignore[attr-defined, unused-ignore]  # not on Windows
        elevate = []
    elif shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        elevate = ["sudo", "-n"]
    else:
        say("system libraries are missing; please run: sudo " + " ".join(install))
        return
    say("installing " + " ".join(missing))
    run(*elevate, "apt-get", "update")
    run(*elevate, "env", "DEBIAN_FRONTEND=noninteractive", *install)


def make_venv() -> None:
    if PYTHON.exists():
        return
    say("making .venv")
    try:
        import ensurepip  # noqa: F401  # Debian keeps it in python3-venv
    except ImportError:
        system_packages(["python3-venv"])
    run(sys.executable, "-m", "venv", VENV)


def tested_versions() -> Path | None:
    """The constraints file for the Python in .venv; None where nobody has tested with it."""
    version = "import sys; print(sys.version_info[0], sys.version_info[1], sep='')"
    number = subprocess.run([PYTHON, "-c", version], capture_output=True, text=True, check=True).stdout.strip()
    file = TESTED / f"py{number}.txt"
    return file if file.exists() else None


def install(extras: list[str]) -> None:
    """The project itself, editable, with the extras; skipped while nothing of what is asked for has changed since."""
    tested, stamp = tested_versions(), VENV / "installed"
    asked = (ROOT / "pyproject.toml").read_bytes() + (tested.read_bytes() if tested else b"")
    state = hashlib.sha256(asked).hexdigest()
    had = stamp.read_text().split() if stamp.exists() else [""]
    if had[0] == state and set(extras) <= set(had[1:]):
        return
    if tested is None:
        say("live-sr was not tested with this Python yet: taking the newest version of everything it needs")
    say(
        "installing live-sr into .venv" + (f" with {', '.join(extras)}" if extras else "") + "; this takes some minutes"
    )
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *(("-c", tested) if tested else ())]
    run(*pip, "-e", f".[{','.join(extras)}]" if extras else ".")
    if not WINDOWS:  # its dependency evdev needs a compiler and kernel headers, and the X11 back-end does not use it
        run(*pip, "--no-deps", "pynput>=1.8,<2")
    stamp.write_text(" ".join([state, *sorted(set(extras) | set(had[1:] if had[0] == state else []))]))


def has_graphics_card() -> bool:
    """Whether there may be one that computes. On Linux, the kernel lists those with a driver for it."""
    return WINDOWS or any(Path("/dev/dri").glob("renderD*"))


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  # this file runs before pip has seen requires-python
        say(f"live-sr needs Python 3.11 or newer; this is {sys.version.split()[0]}")
        return 2
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    command, arguments = sys.argv[1], sys.argv[2:]
    testing = command == "test"
    light = testing and arguments[:1] == ["--light"]
    system_packages(SYSTEM + (FOR_TESTS if testing else []))
    make_venv()
    card = ["gpu"] if has_graphics_card() else []
    install(["test" if light else "test-all"] if testing else card)
    # without a C compiler, everything runs with OpenVINO
    subprocess.run([PYTHON, "-m", "tools.build_native"], cwd=ROOT, check=False)
    if light:  # what pyproject.toml leaves out, and what needs PyTorch
        arguments = ["-m", f"{LEFT_OUT} and not torch", *arguments[1:]]
    if testing:
        return subprocess.run([PYTHON, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
    return subprocess.run([PYTHON, "-m", "live_sr", command, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
