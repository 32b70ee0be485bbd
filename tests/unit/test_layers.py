"""Imports go only downward through the layers, and each foreign library has its owners."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "live_sr"

OWNERS = {
    "PyQt6": ("overlay/", "desktop/hotkeys_win32.py"),
    "openvino": ("engines/openvino/",),
    "ncnn": ("engines/other_formats/ncnn.py",),
    "spandrel": ("models/pytorch.py", "models/architectures/emt_spandrel.py"),
    "torchvision": ("models/pytorch.py", "training/losses.py"),
    "safetensors": ("models/architectures/cellnet.py",),
    "torch": (
        *("models/architectures/", "models/export/", "models/pytorch.py", "models/state_dict.py"),
        *("models/own_architectures.py", "models/published_network.py"),
        "engines/torch_cuda/",
        *(
            "engines/other_formats/torch_eager.py",
            "engines/other_formats/torch_sequence.py",
            "engines/tensorrt/build.py",
            "bench/baselines/torch_compile.py",
        ),
        *("evaluate/piq_metrics.py", "training/"),
    ),
    "tqdm": ("terminal.py",),
    "mlflow": ("system/tracking.py",),
    "gi": ("upscale/gstreamer/element.py",),
    # degradation: its kernels; evaluate: what is read from a set and averaged to size, and the captions of its sheet
    "cv2": (
        *("engines/filters/engine.py", "imaging/", "evaluate/datasets.py", "evaluate/contact_sheet.py"),
        "training/",
    ),
    "piq": ("evaluate/piq_metrics.py",),
    "flip_evaluator": ("evaluate/flip.py",),
    "brisque": ("evaluate/brisque.py",),
    "imageio_ffmpeg": ("evaluate/vmaf.py",),
    "matplotlib": ("evaluate/plot.py", "bench/plots.py"),
    "av": ("imaging/video_", "capture/video.py", "upscale/video/", "training/pairs/"),
    "pyvips": ("upscale/images/",),
    "ray": ("upscale/video/ray_cluster.py", "upscale/video/ray_worker.py"),
    "mss": ("capture/mss.py",),
    "dxcam": ("capture/dxgi.py",),
    "windows_capture": ("capture/wgc.py",),
    "Xlib": (
        *("desktop/x11.py", "desktop/x11_", "desktop/xwayland.py", "desktop/hotkeys_x11.py"),
        *("desktop/pointer_x11.py", "desktop/pointer_matrix_x11.py"),
    ),
    "jeepney": ("system/portal.py",),
    "websocket": ("training/pairs/renderers/browser.py",),
    "pynput": ("desktop/hotkeys_pynput.py",),
    "pydantic": ("config.py", "config_mistakes.py", "service/replies.py"),
    "platformdirs": ("system/paths.py",),
    "pynvml": ("nvidia/nvml.py",),
    "onnx": ("models/export/", "models/chain/onnx_merge.py", "training/export.py"),
    "onnxruntime": ("bench/baselines/onnxruntime.py", "engines/onnx_webgpu/plugin.py", "training/export.py"),
    "onnxruntime_ep_webgpu": ("engines/onnx_webgpu/plugin.py",),
    "tensorrt": ("engines/tensorrt/",),
    "tensorrt_rtx_bindings": ("engines/tensorrt/",),
    "torch_tensorrt": ("engines/tensorrt/build.py",),
    "triton": ("engines/torch_cuda/fused_cellnet_triton.py",),
    "filelock": ("engines/cache/", "system/file_lock.py", "service/run.py"),
    "cuda": ("nvidia/cuda_runtime.py",),
    "wgpu": ("engines/webgpu/",),
    **dict.fromkeys(
        ("arcade", "direct", "panda3d", "pygame", "pyglet", "pyray", "ursina", "vizdoom"),
        ("training/pairs/renderers/programs/",),
    ),
    "fastapi": ("service/",),
    "starlette": ("service/",),
    "uvicorn": ("service/run.py",),
    "prometheus_client": ("service/metrics.py",),
    "triton_python_backend_utils": ("service/triton_model.py",),
}
NOT_FOREIGN = {*sys.stdlib_module_names, "live_sr", "numpy", "_typeshed"}  # the last is of the type checker


def imports(path: Path) -> set[str]:
    """Top-level names of all modules imported anywhere in a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_every_foreign_library_is_imported_only_by_its_owner() -> None:
    strangers = [
        f"{path.relative_to(PACKAGE).as_posix()} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name in imports(path) - NOT_FOREIGN
        if not path.relative_to(PACKAGE).as_posix().startswith(OWNERS.get(name, ()))
    ]
    assert strangers == []


def test_only_one_module_asks_which_system_this_is() -> None:
    asking = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.platform"
    ]
    assert set(asking) == {"system/platform.py"}


@pytest.mark.needs("importlinter")
def test_imports_go_down_the_floors() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stdout
