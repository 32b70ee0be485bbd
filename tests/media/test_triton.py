"""`live-sr serve --triton-repository`: the models that it writes, and what they do in Triton.

The tests with a real server need a wheel of 370 MB, and run by hand: pytest -m triton (docs/triton.md).
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from patience import until

from live_sr import cli
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels

ROOT = Path(__file__).parents[2]


def make_frame(height: int = 24, width: int = 40) -> Pixels:
    frame = np.random.default_rng(7).integers(0, 256, (height, width, 4), np.uint8)
    frame[..., 3] = 255
    return frame


def upscale(name: str, scale: int, frame: Pixels, backend: str = "openvino") -> Pixels:
    """What live-sr's own engine makes of a frame, in this process."""
    engine = factory.make_engine(resolve(name), scale, EngineOptions(backend))
    done = engine.upscale(Frame(frame))
    assert done is not None
    pixels = done.pixels.copy()
    engine.close()
    return pixels


def write(folder: Path, *flags: str) -> int:
    return cli.main(["serve", "--triton-repository", str(folder), *flags])


def read_config(folder: Path) -> dict[str, Any]:
    """The parameters in a config.pbtxt, in the shape in which Triton gives them to a model."""
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    found = re.findall(r'parameters \{ key: ("[^"]*") value: \{ string_value: ("(?:[^"\\]|\\.)*") \} \}', text)
    return {"parameters": {json.loads(key): {"string_value": json.loads(value)} for key, value in found}}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("triton") / "models"
    assert write(folder, "--model", "turbo,nearest", "--engine", "openvino") == 0
    return folder


def test_every_chosen_model_is_written_at_each_of_its_scales(repository: Path) -> None:
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    python = [f"turbo-x{scale}" for scale in resolve("turbo").scales] + [f"nearest-x{scale}" for scale in (2, 3, 4)]
    graphs = [f"turbo-x{scale}-onnx" for scale in resolve("turbo").scales]
    assert files == {
        *(f"{name}/config.pbtxt" for name in (*python, *graphs)),
        *(f"{name}/1/model.py" for name in python),
        *(f"{name}/1/model.onnx" for name in graphs),
    }
    ends = [
        'input [ { name: "frame" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 4 ] } ]',
        'output [ { name: "picture" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 4 ] } ]',
    ]
    for name in (*python, *graphs):
        lines = (repository / name / "config.pbtxt").read_text().splitlines()
        assert lines[1] == f'name: "{name}"'
        assert lines[2] == ('platform: "onnxruntime_onnx"' if name in graphs else 'backend: "python"')
        assert lines[3:6] == ["max_batch_size: 0", *ends]


@pytest.mark.needs("onnxruntime")
def test_the_graph_has_the_tensors_of_its_config_and_takes_frames_of_every_even_size(repository: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(repository / "turbo-x2-onnx" / "1" / "model.onnx")
    assert [(end.name, end.type, end.shape[0], end.shape[3]) for end in session.get_inputs()] == [
        ("frame", "tensor(uint8)", 1, 4)
    ]
    for frame in (make_frame(), make_frame(10, 62)):
        (picture,) = session.run(["picture"], {"frame": frame[None]})
        ours = upscale("turbo", 2, frame).astype(int)
        assert picture.shape == (1, *ours.shape)
        assert np.abs(picture[0] - ours).max() <= 4  # fp32 there; bf16 here on some processors


class FakeTensor:
    """A tensor of Triton's Python backend, which lends its memory by DLPack."""

    def __init__(self, name: str, array: Pixels) -> None:
        self.name, self.array = name, array

    def __dlpack__(self, **_: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    @classmethod
    def from_dlpack(cls, name: str, array: Any) -> FakeTensor:
        return cls(name, np.from_dlpack(array).copy())


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module that Triton provides to a model."""
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor = FakeTensor
    module.TritonError = str
    module.TritonModelException = type("TritonModelException", (Exception,), {})
    module.InferenceResponse = lambda tensors, error=None: SimpleNamespace(tensors=tensors, error=error)
    module.get_input_tensor_by_name = lambda request, name: request[name]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "live_sr.service.triton_model", raising=False)
    yield module
    sys.modules.pop("live_sr.service.triton_model", None)


def run_model(folder: Path, *frames: Pixels) -> list[Any]:
    """What model.py in a folder of the repository answers to requests."""
    space: dict[str, Any] = {}
    exec((folder / "1" / "model.py").read_text(), space)
    model = space["TritonPythonModel"]()
    model.initialize({"model_config": json.dumps(read_config(folder))})
    answers: list[Any] = model.execute([{"frame": FakeTensor("frame", frame[None])} for frame in frames])
    model.finalize()
    return answers


def test_model_py_makes_the_pictures_of_the_engine_for_frames_of_any_size(
    repository: Path, backend: ModuleType
) -> None:
    frames = (make_frame(), make_frame(11, 23))
    answers = run_model(repository / "turbo-x2", *frames)
    assert [answer.error for answer in answers] == [None, None]
    for answer, frame in zip(answers, frames, strict=True):
        (tensor,) = answer.tensors
        assert tensor.name == "picture"
        assert np.array_equal(tensor.array[0], upscale("turbo", 2, frame))
    (tensor,) = run_model(repository / "nearest-x3", frames[0])[0].tensors
    assert np.array_equal(tensor.array[0], frames[0].repeat(3, 0).repeat(3, 1))


def test_what_fails_in_triton_is_a_sentence(repository: Path, backend: Any, tmp_path: Path) -> None:
    assert "has no pixels" in run_model(repository / "nearest-x2", np.zeros((0, 8, 4), np.uint8))[0].error
    lost = tmp_path / "lost"
    (lost / "1").mkdir(parents=True)
    (lost / "1" / "model.py").write_bytes((repository / "nearest-x2" / "1" / "model.py").read_bytes())
    config = (repository / "nearest-x2" / "config.pbtxt").read_text()
    for old, new, sentence in (
        ('"nearest"', '"nearst"', 'there is no model called "nearst"'),
        ('"scale"', '"skale"', "a parameter in config.pbtxt is missing"),
    ):
        (lost / "config.pbtxt").write_text(config.replace(old, new))
        with pytest.raises(backend.TritonModelException, match=sentence):
            run_model(lost)


@pytest.mark.needs("onnx")
def test_the_path_of_a_model_holds_in_every_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: ModuleType
) -> None:
    card = resolve("turbo").get_card(2)
    assert card is not None
    (tmp_path / "a b").mkdir()
    file = tmp_path / "a b" / 'my "own"-x2.onnx'
    file.write_bytes(card.onnx.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert write(Path("models"), "--model", 'a b/my "own"-x2.onnx', "--engine", "openvino") == 0
    monkeypatch.chdir("/")
    (answer,) = run_model(tmp_path / "models" / "my-own-x2", make_frame())
    assert np.array_equal(answer.tensors[0].array[0], upscale(str(file), 2, make_frame()))


def test_a_repository_is_written_again_but_nothing_of_others_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, "--model", "nearest") == 0
    (tmp_path / "nearest-x2" / "1" / "old.txt").touch()
    (tmp_path / "other").mkdir()
    assert write(tmp_path, "--model", "nearest", "--engine", "openvino") == 0
    assert read_config(tmp_path / "nearest-x2")["parameters"]["engine"] == {"string_value": "openvino"}
    assert not (tmp_path / "nearest-x2" / "1" / "old.txt").exists()
    assert (tmp_path / "other").exists()
    (tmp_path / "bilinear-x3").mkdir()
    capsys.readouterr()
    assert write(tmp_path, "--model", "bilinear") == 2
    assert "live-sr did not write it" in capsys.readouterr().err
    assert not (tmp_path / "bilinear-x2").exists(), "nothing is written before all can be"
    assert write(tmp_path, "--model", "nearst") == 7
    assert write(tmp_path, "--model", ",") == 2


def test_a_full_disk_leaves_the_models_that_were_there_and_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def read_all() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert write(tmp_path, "--model", "nearest") == 0
    before = read_all()
    for flags in (("--model", "nearest", "--engine", "openvino"), ("--model", "bilinear")):
        with monkeypatch.context() as full:
            full.setattr(Path, "write_text", refuse)
            assert write(tmp_path, *flags) == 1
        assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
        assert read_all() == before
        assert write(tmp_path, *flags) == 0, "what was begun is not taken for a folder of somebody else"
        before = read_all()


@pytest.mark.needs("onnx")
def test_what_has_no_graph_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write(tmp_path, "--model", "turbo", "--precision", "bf16") == 0
    told = capsys.readouterr().out
    assert "turbo-x2-onnx is left out: a graph for ONNX Runtime computes in fp32 or fp16, not in bf16" in told
    assert not (tmp_path / "turbo-x2-onnx").exists()
    assert read_config(tmp_path / "turbo-x2")["parameters"]["precision"] == {"string_value": "bf16"}


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Triton, which serves all but the graphs: the wheel has no ONNX Runtime."""
    pytest.importorskip("tritonclient", reason="tritonclient is not installed")
    tools = importlib.import_module("tools.triton_server")
    try:
        running = tools.TritonServer(
            repository,
            flags=("--exit-on-error=false", "--strict-readiness=false"),
            log=tmp_path_factory.mktemp("log") / "triton.log",
        )
    except RuntimeError as error:
        pytest.skip(str(error))
    try:
        until(running.is_ready, "the server has loaded its models")
        yield running
    finally:
        running.close()


@pytest.mark.triton
def test_a_real_server_makes_the_pictures_of_the_command_line(server: Any, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), make_frame(64, 96)[..., :3])
    ours = tmp_path / "ours.png"
    flags = ("--model", "turbo", "--scale", "2", "--engine", "openvino")
    assert cli.main(["upscale", str(small), "-o", str(ours), *flags]) == 0
    for number, flag in enumerate(([], ["--shared-memory"])):
        large = tmp_path / f"large{number}.png"
        command = [sys.executable, "-m", "tools.triton_client", small, large, "--model", "turbo-x2"]
        done = subprocess.run(
            [*command, "--server", f"127.0.0.1:{server.port}", *flag],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert np.array_equal(cv2.imread(str(large)), cv2.imread(str(ours)))


@pytest.mark.triton
def test_a_real_server_answers_with_sentences_and_reads_every_config(server: Any, repository: Path) -> None:
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    wrong = triton.InferInput("frame", [1, 0, 8, 4], "UINT8")
    wrong.set_data_from_numpy(np.zeros((1, 0, 8, 4), np.uint8))
    with pytest.raises(InferenceServerException, match="has no pixels"):
        client.infer("nearest-x2", [wrong])
    states = {model["name"]: model for model in client.get_model_repository_index()}
    assert set(states) == {path.name for path in repository.iterdir()}
    for name, model in states.items():
        if name.endswith("-onnx"):
            assert "backend library for backend 'onnxruntime'" in model["reason"], "its config is read before that"
        else:
            assert model["state"] == "READY", model
    client.close()
