"""The house: imports go down only, and each foreign library has its rooms."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "live_sr"

OWNERS = {
    "PyQt6": ("overlay",),
    "openvino": ("engine/openvino.py", "engine/frozen.py", "engine/rate_openvino.py", "engine/graph_openvino.py"),
    "ncnn": ("engine/ncnn.py",),
    "spandrel": ("models/published.py", "models/archs/emt_entry.py"),
    "torchvision": ("models/published.py",),
    "safetensors": ("models/nets.py",),
    "torch": (
        "models/archs/",
        *("models/nets.py", "models/framed.py", "engine/eager.py", "quality/perceptual.py"),
        *("models/published.py", "models/exported.py", "models/sizefree.py"),
        *("engine/cuda.py", "engine/_tactics.py", "engine/tensorrt_build.py", "engine/fused.py", "engine/inductor.py"),
        "engine/rate_torch.py",
    ),
    # degradation: its kernels; quality: what is read from a set and averaged to size, and the captions of its sheet
    "cv2": ("engine/filters.py", "pictures.py", "degradation.py", "quality/sets.py", "quality/sheet.py"),
    "piq": ("quality/perceptual.py",),
    "flip_evaluator": ("quality/flip.py",),
    "brisque": ("quality/noreference.py",),
    "imageio_ffmpeg": ("quality/vmaf.py",),
    "matplotlib": ("quality/plot.py", "bench/plots.py"),
    "av": ("capture/video.py", "upscale/"),
    "pyvips": ("upscale/picturefile.py",),
    "ray": ("upscale/cluster.py", "upscale/remote.py"),
    "mss": ("capture/mss.py",),
    "dxcam": ("capture/dxgi.py",),
    "windows_capture": ("capture/wgc.py",),
    "Xlib": ("overlay/desktop_x11.py",),
    "pynput": ("overlay/hotkeys.py",),
    "pydantic": ("config.py",),
    "pynvml": ("nvml.py",),
    "onnx": ("models/framedonnx.py", "models/chainonnx.py"),
    "onnxruntime": ("engine/onnx.py", "engine/_rtx_provider.py"),
    "onnxruntime_ep_nv_tensorrt_rtx": ("engine/_rtx_provider.py",),
    "tensorrt": ("engine/_tensorrt_run.py", "engine/tensorrt_build.py"),
    "torch_tensorrt": ("engine/tensorrt_build.py",),
    "triton": ("engine/_fused_kernel.py",),
    "filelock": ("compiled/store.py", "compiled/seal.py", "upscale/workshop.py"),
    "cuda": ("cuda/bindings.py",),
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


def test_only_backends_asks_which_system_this_is() -> None:
    asking = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.platform"
    ]
    assert set(asking) == {"backends.py"}


def test_imports_go_down_the_floors() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stdout
