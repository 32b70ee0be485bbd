"""Writes a model repository for NVIDIA's Triton Inference Server (docs/triton.md).

DIR/fast-x2/config.pbtxt, 1/model.py           runs live-sr's engine in Triton's Python backend
DIR/fast-x2-onnx/config.pbtxt, 1/model.onnx    the network as a graph for Triton's ONNX Runtime, and TensorRT in it

Both take and give the same: "frame", BGRA uint8 (1, H, W, 4), and "picture", BGRA uint8 (1, H * scale, W * scale, 4).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, MissingPart, ModelError, UsageError
from live_sr.models.chain.spec import JOIN
from live_sr.models.resolve import Model, resolve
from live_sr.pipeline.frame import Size
from live_sr.system import paths

MARK = "# Written by live-sr serve --triton-repository"
INPUT, OUTPUT = "frame", "picture"
MODEL_FILE = f"""{MARK}
from live_sr.service.triton_model import TritonPythonModel as TritonPythonModel
"""
IN_MAIN_MEMORY = ("FORCE_CPU_ONLY_INPUT_TENSORS", "yes")  # a parameter of the Python backend
TENSORRT = """\
# Where Triton has a graphics card. Without one, ONNX Runtime computes on the processor.
optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }
"""
IN_ONNX = ("fp32", "fp16")  # precisions of the graph


@dataclass(frozen=True)
class RepositoryModel:
    """One model of a repository: the text of its config.pbtxt, and the one file of its version 1."""

    name: str
    config: str
    file: str
    content: bytes


@dataclass(frozen=True)
class Written:
    """names: of the models in the repository. left_out: why some are not there, a sentence each."""

    names: tuple[str, ...]
    left_out: tuple[str, ...]


def write_repository(folder: Path, names: Sequence[str], options: EngineOptions) -> Written:
    """Writes the models of those names, each at all of its scales. Raises LiveSRError, mostly before it writes.

    A model that this has written before is replaced; others in the folder stay as they are.
    """
    models: dict[str, RepositoryModel] = {}
    left_out: list[str] = []
    for name in names:
        model = resolve(name, cache=options.cache)
        if not model.scale_is_known:
            raise UsageError(f"{name} does not say its scale", "rename the file, such as NAME-x2.onnx")
        for scale in model.scales:
            model.verify(scale)
            for made in _make_models(model, scale, options, left_out):
                if made.name in models:
                    raise UsageError(f"two models would be called {made.name}", "write them into two repositories")
                models[made.name] = made
    for made in models.values():
        _check_replaceable(folder / made.name)
    try:
        for made in models.values():
            _write(folder, made)
    except OSError as error:
        what = f"{error.filename or folder} cannot be written: {error.strerror}"
        raise LiveSRError(what, "check the path, its rights and the space on the disk") from None
    return Written(tuple(models), tuple(left_out))


def _make_models(model: Model, scale: int, options: EngineOptions, left_out: list[str]) -> Iterator[RepositoryModel]:
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', model.title).strip('-.')}-x{scale}"
    yield RepositoryModel(name, _format_python_config(name, model, scale, options), "model.py", MODEL_FILE.encode())
    if model.is_filter or model.reader is not None:
        return  # there is no graph of it
    name += "-onnx"
    try:
        graph, multiple = _make_graph(model, scale, options)
    except (EngineError, ModelError) as error:
        left_out.append(f"{name} is left out: {error.message}")
        return
    sizes = "" if multiple == 1 else f"# The height and the width of a frame must be multiples of {multiple}.\n"
    config = _format_config(name, 'platform: "onnxruntime_onnx"', sizes + TENSORRT)
    yield RepositoryModel(name, config, "model.onnx", graph)


def _make_graph(model: Model, scale: int, options: EngineOptions) -> tuple[bytes, int]:
    """The network with its conversions, for pictures of every size, and what their sides must be multiples of."""
    try:
        from live_sr.models.export import onnx_io
    except ImportError:
        raise MissingPart("graphs for Triton's ONNX Runtime need onnx", "pip install onnx") from None
    card = model.get_card(scale)
    assert card is not None
    precision = IN_ONNX[0] if options.precision == "auto" else options.precision
    if precision not in IN_ONNX:
        raise EngineError(f"a graph for ONNX Runtime computes in {' or '.join(IN_ONNX)}, not in {precision}")
    return onnx_io.wrap_onnx_io(card, Size(1, 1), precision, dynamic=True), onnx_io.get_multiple(card)


def _format_python_config(name: str, model: Model, scale: int, options: EngineOptions) -> str:
    parameters = {
        "model": _make_absolute(model.name),
        "scale": str(scale),
        "engine": options.backend,
        "precision": options.precision,
        "threads": str(options.threads),
        "adapter": options.adapter,
    }
    if options.cache is not None and options.cache != paths.get_cache_folder():  # else that of Triton's user
        parameters["cache"] = str(options.cache.absolute())
    lines = [
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        _format_parameter(*IN_MAIN_MEMORY),
        "# What live-sr's engine is made with. threads 0: one for each core.",
        *(_format_parameter(key, value) for key, value in parameters.items()),
    ]
    return _format_config(name, 'backend: "python"', "\n".join(lines) + "\n")


def _format_config(name: str, backend: str, rest: str) -> str:
    return f"""{MARK}
name: {json.dumps(name)}
{backend}
max_batch_size: 0
input [ {{ name: "{INPUT}" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 4 ] }} ]
output [ {{ name: "{OUTPUT}" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 4 ] }} ]
{rest}"""


def _format_parameter(key: str, value: str) -> str:
    text = json.dumps(value, ensure_ascii=False)  # which a string of protobuf's text format can hold
    return f"parameters {{ key: {json.dumps(key)} value: {{ string_value: {text} }} }}"


def _make_absolute(name: str) -> str:
    """The name of a model, or of a chain, with the paths of files as they hold in every working folder."""
    whole = Path(name).expanduser()
    if whole.suffix and whole.is_file():
        return str(whole.absolute())
    parts = name.split(JOIN)
    return name if len(parts) == 1 else JOIN.join(map(_make_absolute, parts))


def _check_replaceable(folder: Path) -> None:
    """Raises UsageError for a folder that is not ours."""
    config = folder / "config.pbtxt"
    try:
        ours = not folder.exists() or config.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    except OSError:
        ours = False
    if not ours:
        raise UsageError(f"{folder} is there already, and live-sr did not write it", "name another folder")


def _write(repository: Path, model: RepositoryModel) -> None:
    """Puts the model's folder in its place once it is whole; one that was there stays until then. Raises OSError."""
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".live-sr-", dir=repository) as scratch:
        new, folder = Path(scratch, model.name), repository / model.name
        (new / "1").mkdir(parents=True)
        (new / "1" / model.file).write_bytes(model.content)
        (new / "config.pbtxt").write_text(model.config, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        new.rename(folder)


def read_parameters(config: Mapping[str, Mapping[str, Mapping[str, str]]]) -> tuple[str, int, EngineOptions]:
    """Model, scale and options from a config.pbtxt of this module, as Triton gives it to a model. Raises UsageError."""
    texts = {key: value["string_value"] for key, value in config["parameters"].items()}
    try:
        return (
            texts["model"],
            int(texts["scale"]),
            EngineOptions(
                texts["engine"],
                texts["precision"],
                int(texts["threads"]),
                Path(texts["cache"]) if "cache" in texts else paths.get_cache_folder(),
                adapter=texts["adapter"],
            ),
        )
    except (KeyError, ValueError) as error:
        raise UsageError(f"a parameter in config.pbtxt is missing or wrong: {error}", "write it anew") from None
