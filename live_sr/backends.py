"""Tables of what can capture, upscale and serve as desktop, best first. A class is imported when it is chosen."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live_sr.errors import MissingPart, did_you_mean
from live_sr.system.platform import DISPLAY_NAMES, get_platform

log = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True)
class Backend:
    """One implementation of a contract: where its class is, what it requires, and its traits.

    path: "module:Class". systems: words of `sys.platform`. needs: modules that must be installed. install: the command
    that installs them. gpu_check and check: "module:function" that returns why it cannot be used, or an empty string.
    gpu_check looks for a GPU and runs first; check runs once everything in `needs` is installed. The other fields are
    traits, by which other modules tell the backends apart.
    """

    name: str
    path: str
    systems: tuple[str, ...] = ("linux", "win32")
    needs: tuple[str, ...] = ()
    install: str = ""
    gpu_check: str = ""
    check: str = ""

    # Traits of engines
    runs_networks: bool = True  # off for the filters
    on_gpu: bool = False  # runs on an NVIDIA GPU, can leave pictures there, and takes `queue` and `watch`
    on_card: bool = False  # runs on a graphics card of another make, or of any
    takes_adapter: bool = False  # takes the `adapter` of the settings
    slow_build: bool = False  # building an engine, for a new size or once for all, takes seconds or more
    quick_start: bool = False  # can run a network at once, but slower, during a slow build
    dynamic_shapes: bool = False  # can also build one engine for windows of every size, which is slower at work
    parallel_tiles: bool = False  # several engines with few threads each are faster than one with many
    canvas: str = ""  # "module:function" that lets its graphics card draw into a window; it takes `redraws_lost`
    path_16bit: str = ""  # "module:Class" of its engine for 16 bits a channel
    filter_path: str = ""  # "module:Class" of its engine for filters, used where it is faster than FILTER_ENGINE
    runs_parts: bool = False  # runs the parts of a chain, and not the file that they are composed into
    has_folded_graph: bool = False  # takes `folded`: another graph, used where it is faster with the same picture
    must_beat: str = ""  # "auto" uses it only where it is clearly faster than this engine, with the same picture
    weights: str = ""  # suffix of the file beside the model's .onnx that it reads instead
    suffixes: tuple[str, ...] = ()  # of the files that only it reads
    convertible: bool = False  # these files can be converted to ONNX, which all engines run

    # Traits of captures
    sees_overlay: bool = False  # captures a part of the screen, with everything that covers the game
    overlay_can_hide: bool = True  # the system can hide the overlay from it
    follows_window: bool = True  # captures the window wherever it moves
    draws_popups: bool = False  # captures one window, and further ones that lie over it
    takes_region: bool = False  # can capture any part of the desktop
    sees_wayland: bool = False  # captures native Wayland windows, which the player chooses in a dialog of the desktop
    needs_recheck: bool = False  # whether it can capture the game is known only once the overlay is open

    # A trait of hotkeys
    granted_later: bool = False  # the desktop decides about the keys, and takes what is called then

    def unavailable_reason(self, adapter: str = AUTO) -> str:
        """Why it cannot be used here, or an empty string. adapter: the graphics adapter that the settings name."""
        if get_platform() not in self.systems:
            return f"it is for {' and '.join(DISPLAY_NAMES[s] for s in self.systems)}"
        why = "" if self.takes_adapter and adapter != AUTO else _run_check(self.gpu_check)
        if why:
            return why
        for module in self.needs:
            if not is_installed(module):
                return f"{module} is not installed" + (f" ({self.install})" if self.install else "")
        return _run_check(self.check, *([adapter] if self.takes_adapter else []))

    def find_remedy(self) -> str:
        """What to install to use it here; empty if that would not help."""
        missing = any(not is_installed(module) for module in self.needs)
        return self.install if missing and get_platform() in self.systems and not _run_check(self.gpu_check) else ""

    def has_weights(self, onnx: Path, parts: Sequence[Path] = ()) -> bool:
        """Whether the file exists that it reads for a model whose network is in that .onnx file.

        parts: of a chain, the files of its networks.
        """
        return all(file.is_file() for file in self.list_weights(onnx, parts))

    def list_weights(self, onnx: Path, parts: Sequence[Path] = ()) -> list[Path]:
        """The files that it reads in place of the .onnx file. parts: as above."""
        networks = parts if parts and self.runs_parts else [onnx]
        return [network.with_suffix(self.weights) for network in networks] if self.weights else []

    def load(self) -> Any:
        """Imports and returns its class. Raises MissingPart if a library does not import."""
        return self._load(self.path)

    def load_16bit(self) -> Any:
        """Imports the class of its engine for 16 bits a channel, which must exist. Raises MissingPart."""
        return self._load(self.path_16bit)

    def load_filters(self) -> Any:
        """Imports the class of its engine for filters, which must exist. Raises MissingPart."""
        return self._load(self.filter_path)

    def load_canvas(self) -> Any:
        """Imports the function that opens a canvas, which must exist. Raises MissingPart."""
        return self._load(self.canvas)

    def _load(self, path: str) -> Any:
        module, name = path.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, OSError) as error:
            raise MissingPart(f"{self.name} cannot be used: {error}", self.install or "see `live-sr doctor`") from error


@dataclass
class Choice:
    """A chosen backend and the reasons. Doctor, HUD, log and bug reports print this same object."""

    role: str
    chosen: str
    why: str
    passed_over: list[tuple[str, str]] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The choice without the reasons against the others."""
        return f"{self.role}: {self.chosen or 'none'}, {self.why}"

    def __str__(self) -> str:
        return "\n".join([self.summary] + [f"  not {name}: {reason}" for name, reason in self.passed_over])


def is_installed(module: str) -> bool:
    """Whether that module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package
        return False


def _run_check(check: str, *arguments: str) -> str:
    """What the check says; an empty string if there is no check."""
    if not check:
        return ""
    module, name = check.split(":")
    return str(getattr(importlib.import_module(module), name)(*arguments))


CAPTURE = (
    Backend(
        "dxgi",
        "live_sr.capture.dxgi:DxgiSource",
        systems=("win32",),
        needs=("dxcam",),
        install='pip install "dxcam>=0.3,<0.4"',
        sees_overlay=True,
        takes_region=True,
        needs_recheck=True,
    ),
    Backend(
        "wgc",
        "live_sr.capture.wgc:WgcSource",
        systems=("win32",),
        needs=("windows_capture",),
        install="pip install windows-capture",
    ),
    Backend("x11", "live_sr.capture.x11:X11Source", systems=("linux",), draws_popups=True),
    Backend(
        "pipewire",
        "live_sr.capture.pipewire:PipeWireSource",
        systems=("linux",),
        needs=("jeepney",),
        install='pip install "live-sr[wayland]"',
        check="live_sr.capture.screen_cast:unavailable_reason",
        sees_wayland=True,
    ),
    Backend(
        "mss",
        "live_sr.capture.mss:MssSource",
        needs=("mss",),
        install="pip install mss",
        sees_overlay=True,
        overlay_can_hide=False,
        follows_window=False,
        takes_region=True,
    ),
)

NVIDIA = "live_sr.nvidia.driver:unavailable_reason"

# The first three are for NVIDIA GPUs
ENGINES = (
    Backend(
        "tensorrt",
        "live_sr.engines.tensorrt.engine:TensorRTEngine",
        needs=("torch_tensorrt", "cuda.bindings"),  # and TensorRT or TensorRT-RTX, by the flavour of torch_tensorrt
        install='pip install "live-sr[tensorrt]"',
        gpu_check=NVIDIA,
        check="live_sr.engines.tensorrt.compatibility:unavailable_reason",
        on_gpu=True,
        slow_build=True,
        weights=".safetensors",
    ),
    Backend(
        "rtx",
        "live_sr.engines.tensorrt.rtx_engine:RtxEngine",
        needs=("tensorrt_rtx_bindings", "tensorrt_rtx_libs", "onnx", "cuda.bindings"),
        install='pip install "live-sr[rtx]"',
        gpu_check=NVIDIA,
        check="live_sr.engines.tensorrt.rtx_compatibility:unavailable_reason",
        on_gpu=True,
        slow_build=True,
        dynamic_shapes=True,
    ),
    Backend(
        "cuda",
        "live_sr.engines.torch_cuda.engine:CudaEngine",
        needs=("torch", "safetensors", "cuda.bindings"),
        install='pip install "live-sr[cuda]"',
        gpu_check=NVIDIA,
        check="live_sr.engines.torch_cuda.compatibility:unavailable_reason",
        on_gpu=True,
        quick_start=True,
        weights=".safetensors",
    ),
    Backend(
        "webgpu",
        "live_sr.engines.webgpu.engine:WebGpuEngine",
        needs=("wgpu",),
        install='pip install "live-sr[gpu]"',
        gpu_check="live_sr.system.hardware:describe_missing_adapter",
        check="live_sr.engines.webgpu.compatibility:unavailable_reason",
        on_card=True,
        canvas="live_sr.engines.webgpu.canvas:open_canvas",
        takes_adapter=True,
        slow_build=True,
        filter_path="live_sr.engines.webgpu.engine:WebGpuFilterEngine",
        runs_parts=True,
        must_beat="openvino-gpu",
        weights=".safetensors",
    ),
    Backend(
        "openvino-gpu",
        "live_sr.engines.openvino.gpu_engine:OpenVINOGpuEngine",
        needs=("openvino",),
        install="pip install openvino",
        gpu_check="live_sr.system.hardware:describe_missing_adapter",
        check="live_sr.engines.openvino.gpu_engine:unavailable_reason",
        on_card=True,
        slow_build=True,
        must_beat="onnx-webgpu",
    ),
    Backend(
        "onnx-webgpu",
        "live_sr.engines.onnx_webgpu.engine:OnnxWebGpuEngine",
        needs=("onnxruntime", "onnxruntime_ep_webgpu", "onnx"),
        install='pip install "live-sr[gpu-onnx]"',
        gpu_check="live_sr.system.hardware:describe_missing_adapter",
        check="live_sr.engines.onnx_webgpu.plugin:unavailable_reason",
        on_card=True,
        slow_build=True,
        must_beat="native",
    ),
    Backend(
        "native",
        "live_sr.engines.native.engine:NativeEngine",
        check="live_sr.engines.native.compatibility:unavailable_reason",
        slow_build=True,
        parallel_tiles=True,
        must_beat="openvino",
        weights=".safetensors",
    ),
    Backend(
        "openvino",
        "live_sr.engines.openvino.engine:OpenVINOEngine",
        needs=("openvino",),
        install="pip install openvino",
        parallel_tiles=True,
        has_folded_graph=True,
        path_16bit="live_sr.engines.openvino.engine:OpenVINO16BitEngine",
    ),
    Backend(
        "filters",
        "live_sr.engines.filters.engine:FilterEngine",
        needs=("cv2",),
        install="pip install opencv-python-headless",
        runs_networks=False,
    ),
)
FILTER_ENGINE = ENGINES[-1]

PEERS = 'pip install "live-sr[peers]"'

# What runs networks published elsewhere, by file format. Each class also has `read`, which returns a file's card.
PUBLISHED = (
    Backend(
        "torch",
        "live_sr.engines.other_formats.torch_eager:EagerEngine",
        needs=("torch",),
        install=PEERS,
        suffixes=(".pth", ".pt", ".safetensors"),
        convertible=True,
    ),
    Backend(
        "tensorflow",
        "live_sr.engines.openvino.tensorflow_pb:TensorFlowGraphEngine",
        needs=("openvino",),
        install="pip install openvino",
        suffixes=(".pb",),
    ),
    Backend(
        "ncnn",
        "live_sr.engines.other_formats.ncnn:NcnnEngine",
        needs=("ncnn",),
        install=PEERS,
        takes_adapter=True,
        suffixes=(".param", ".bin"),
    ),
)

DESKTOPS = (
    Backend("win32", "live_sr.desktop.windows:Win32Desktop", ("win32",)),
    Backend("x11", "live_sr.desktop.x11:X11Desktop", ("linux",), ("Xlib",), "pip install python-xlib six"),
)

HOTKEYS = (
    Backend("registerhotkey", "live_sr.desktop.hotkeys_win32:RegisteredHotkeys", ("win32",)),
    Backend("record", "live_sr.desktop.hotkeys_x11:X11Hotkeys", ("linux",), ("Xlib",), "pip install python-xlib six"),
    # Also hears keys that another program has registered
    Backend(
        "pynput",
        "live_sr.desktop.hotkeys_pynput:PynputHotkeys",
        needs=("pynput",),
        install="pip install --no-deps pynput",
    ),
    # Beside the way of X11 on Wayland, where that hears nothing while a Wayland window has the focus
    Backend(
        "portal",
        "live_sr.desktop.hotkeys_portal:PortalHotkeys",
        ("linux",),
        ("jeepney",),
        'pip install "live-sr[wayland]"',
        granted_later=True,
    ),
)

SOUNDS = (
    Backend("wasapi", "live_sr.capture.sound_wasapi:WasapiSound", ("win32",)),
    Backend("pulse", "live_sr.capture.sound_pulse:PulseSound", ("linux",)),
)

POINTERS = (
    Backend("clipcursor", "live_sr.desktop.pointer_win32:Win32Pointer", ("win32",)),
    Backend("barriers", "live_sr.desktop.pointer_x11:X11Pointer", ("linux",), ("Xlib",), "pip install python-xlib six"),
)


def find_engine(name: str) -> Backend | None:
    """The engine of that name; None for other names, such as those of baselines."""
    return next((backend for backend in ENGINES if backend.name == name), None)


def find_cpu_runtime() -> Backend:
    """The engine that runs every network on the processor."""
    return next(b for b in ENGINES if b.runs_networks and not b.on_gpu and not b.must_beat)


def is_on_graphics_card(engine: str) -> bool:
    """Whether the engine of that name computes on a graphics card. False for names of other tables."""
    backend = find_engine(engine)
    return backend is not None and (backend.on_gpu or backend.on_card)


def find_published_reader(path: Path) -> Backend | None:
    """What reads the published network in that file; None if its suffix belongs to no backend."""
    return next((backend for backend in PUBLISHED if path.suffix.lower() in backend.suffixes), None)


def choose(role: str, table: tuple[Backend, ...], wanted: str = AUTO, adapter: str = AUTO) -> tuple[Backend, Choice]:
    """The best backend of a table that can be used here, or the wanted one. Raises MissingPart with all reasons."""
    names = [b.name for b in table]
    if wanted != AUTO and wanted not in names:
        known = ", ".join(names)
        raise MissingPart(f'there is no {role} called "{wanted}".{did_you_mean(wanted, names)}', f"use one of {known}")
    choice = Choice(role, "", "nothing that runs here")
    for backend in table:
        if wanted not in (AUTO, backend.name):
            continue
        obstacle = backend.unavailable_reason(adapter)
        if not obstacle:
            choice.chosen = backend.name
            choice.why = "the best that runs here" if wanted == AUTO else "as asked for"
            log.debug("%s", choice)
            return backend, choice
        choice.passed_over.append((backend.name, obstacle))
    raise MissingPart(str(choice), "`live-sr doctor` shows what is here and how to get what is missing")
