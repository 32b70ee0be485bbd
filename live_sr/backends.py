"""What can capture, upscale and serve as desktop here: tables of strings, best first, imported when chosen."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live_sr.errors import MissingPart, did_you_mean


@dataclass(frozen=True)
class Backend:
    """One leaf: its name, where its class is, the systems it runs on, the modules it needs and how to get them."""

    name: str
    path: str  # "module:Class"
    systems: tuple[str, ...] = ("linux", "win32")
    needs: tuple[str, ...] = ()
    get: str = ""
    card: str = ""  # "module:function" that says why there is no graphics card for it; asked before anything else
    check: str = ""  # another that says why it cannot be used, once what it needs is installed
    weights: str = ""  # the suffix of the file that it reads beside the model's .onnx, if not that
    suffixes: tuple[str, ...] = ()  # of the files it reads, where that decides

    def obstacle(self) -> str:
        """Why it cannot be used here, or an empty string."""
        if system() not in self.systems:
            return f"it is for {' and '.join(NAMES[s] for s in self.systems)}"
        why = _asked(self.card) if self.card else ""
        if why:
            return why
        for module in self.needs:
            if not _installed(module):
                return f"{module} is not installed" + (f" ({self.get})" if self.get else "")
        return _asked(self.check) if self.check else ""

    def remedy(self) -> str:
        """What to install to use it here; empty where that would not help."""
        helps = system() in self.systems and not (self.card and _asked(self.card))
        return self.get if helps else ""

    def load(self) -> Any:
        """The leaf's class. Raises MissingPart when its library does not import."""
        module, name = self.path.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, OSError) as error:
            raise MissingPart(f"{self.name} cannot be used: {error}", self.get or "see `live-sr doctor`") from error


@dataclass
class Choice:
    """A choice and its reasons: doctor, HUD, log and bug report print this same object."""

    role: str
    chosen: str
    why: str
    passed_over: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.role}: {self.chosen or 'none'}, {self.why}"]
        return "\n".join(lines + [f"  not {name}: {reason}" for name, reason in self.passed_over])


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is a part of
        return False


def _asked(check: str) -> str:
    module, name = check.split(":")
    return str(getattr(importlib.import_module(module), name)())


NAMES = {"linux": "Linux", "win32": "Windows"}

CAPTURE = (
    Backend("dxgi", "live_sr.capture.dxgi:DxgiSource", ("win32",), ("dxcam",), 'pip install "dxcam>=0.3,<0.4"'),
    Backend("wgc", "live_sr.capture.wgc:WgcSource", ("win32",), ("windows_capture",), "pip install windows-capture"),
    Backend("x11", "live_sr.capture.x11:X11Source", ("linux",)),
    Backend("mss", "live_sr.capture.mss:MssSource", needs=("mss",), get="pip install mss"),
)

NVIDIA = "live_sr.cuda.driver:obstacle"

# The first three are for NVIDIA cards
ENGINES = (
    Backend(
        "tensorrt",
        "live_sr.engine.tensorrt:TensorRTEngine",
        needs=("torch_tensorrt", "tensorrt", "cuda.bindings"),
        get='pip install "live-sr[tensorrt]"',
        card=NVIDIA,
        weights=".safetensors",
    ),
    Backend(
        "rtx",
        "live_sr.engine.rtx:RtxEngine",
        needs=("onnxruntime_ep_nv_tensorrt_rtx", "onnxruntime", "onnx", "cuda.bindings"),
        get='pip install "live-sr[rtx]"',
        card=NVIDIA,
        check="live_sr.engine._rtx_card:obstacle",
    ),
    Backend(
        "cuda",
        "live_sr.engine.cuda:CudaEngine",
        needs=("torch", "safetensors", "cuda.bindings"),
        get='pip install "live-sr[cuda]"',
        card=NVIDIA,
        check="live_sr.engine._torch_build:obstacle",
        weights=".safetensors",
    ),
    Backend("openvino", "live_sr.engine.openvino:OpenVINOEngine", needs=("openvino",), get="pip install openvino"),
    Backend("filters", "live_sr.engine.filters:FilterEngine", needs=("cv2",), get="pip install opencv-python-headless"),
)

PEERS = 'pip install "live-sr[peers]"'

# What runs networks published elsewhere, by the kind of their file. Each class also has `read`: a file's card.
PUBLISHED = (
    Backend(
        "torch",
        "live_sr.engine.eager:EagerEngine",
        needs=("torch",),
        get=PEERS,
        suffixes=(".pth", ".pt", ".safetensors"),
    ),
    Backend(
        "tensorflow",
        "live_sr.engine.frozen:FrozenEngine",
        needs=("openvino",),
        get="pip install openvino",
        suffixes=(".pb",),
    ),
    Backend("ncnn", "live_sr.engine.ncnn:NcnnEngine", needs=("ncnn",), get=PEERS, suffixes=(".param", ".bin")),
)

DESKTOPS = (
    Backend("win32", "live_sr.overlay.desktop_win32:Win32Desktop", ("win32",)),
    Backend("x11", "live_sr.overlay.desktop_x11:X11Desktop", ("linux",), ("Xlib",), "pip install python-xlib six"),
)

HOTKEYS = (
    Backend("registerhotkey", "live_sr.overlay.hotkeys_win32:RegisteredHotkeys", ("win32",)),
    Backend(
        "pynput",
        "live_sr.overlay.hotkeys:PynputHotkeys",
        ("linux", "win32"),
        ("pynput",),
        "pip install --no-deps pynput",
    ),
)


def system() -> str:
    """linux, win32 or another of `sys.platform`'s words; asked here and nowhere else."""
    return sys.platform


def config_folder() -> Path:
    """Where this user's config.toml lives."""
    if system() == "win32":
        return Path(os.environ.get("APPDATA", "~")).expanduser() / "live-sr"
    return Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "live-sr"


def cache_folder() -> Path:
    """Where compiled engines are kept unless the settings name a folder: engines/ here, else the user's cache."""
    if Path("engines").is_dir():
        return Path("engines")
    if system() == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~")).expanduser() / "live-sr" / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "live-sr" / "engines"


def models_folder() -> Path:
    """Where the models that this user added live."""
    if system() == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~")).expanduser() / "live-sr" / "models"
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "live-sr" / "models"


def session() -> str:
    """What serves the screen: windows, x11, xwayland (X programs on Wayland), wayland or none."""
    if system() == "win32":
        return "windows"
    if os.environ.get("DISPLAY"):
        return "xwayland" if os.environ.get("WAYLAND_DISPLAY") else "x11"
    return "wayland" if os.environ.get("WAYLAND_DISPLAY") else "none"


def reader(model: str) -> Backend | None:
    """What reads the published network in that file; None when it is no file of such a kind."""
    suffix = Path(model).suffix.lower()
    return next((b for b in PUBLISHED if suffix in b.suffixes), None)


def choose(role: str, table: tuple[Backend, ...], wanted: str = "auto") -> tuple[Backend, Choice]:
    """The best of a table that can be used here, or the wanted one. Raises MissingPart with every reason."""
    names = [b.name for b in table]
    if wanted != "auto" and wanted not in names:
        known = ", ".join(names)
        raise MissingPart(f'there is no {role} called "{wanted}".{did_you_mean(wanted, names)}', f"use one of {known}")
    choice = Choice(role, "", "nothing that runs here")
    for backend in table:
        if wanted not in ("auto", backend.name):
            continue
        obstacle = backend.obstacle()
        if not obstacle:
            choice.chosen = backend.name
            choice.why = "the best that runs here" if wanted == "auto" else "as asked for"
            return backend, choice
        choice.passed_over.append((backend.name, obstacle))
    raise MissingPart(str(choice), "`live-sr doctor` shows what is here and how to get what is missing")
