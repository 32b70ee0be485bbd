"""`live-sr models list --measure`: what each model does on this machine, and why one does not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from live_sr import cli
from live_sr.engines.options import EngineOptions
from live_sr.manage.model_speed import measure_speed
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Size


def write_network(path: Path, side: int | None = None) -> ModelCard:
    """Repeats every pixel twice each way; `side`: of the only picture that it takes."""
    weights = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0).reshape(12, 3, 1, 1)
    sides = ([side] * 2, [side * 2] * 2) if side else (["h", "w"], ["H", "W"])
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *size])
        for name, size in zip(("rgb", "enlarged"), sides, strict=True)
    ]
    nodes = [
        helper.make_node("Conv", ["rgb", "weights"], ["cells"]),
        helper.make_node("DepthToSpace", ["cells"], ["enlarged"], blocksize=2, mode="CRD"),
    ]
    constant = helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())
    graph = helper.make_graph(nodes, "repeat", ports[:1], ports[1:], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return ModelCard(path.stem, 2, path)


@pytest.mark.parametrize("side", [None, 64])
def test_the_speed_of_a_network_is_measured_with_the_engine_that_runs_it(tmp_path: Path, side: int | None) -> None:
    card = write_network(tmp_path / "mine.onnx", side)
    speeds = {}
    for size in (Size(64, 48), Size(640, 480)):  # also of pictures that a network of one size does not take
        speeds[size], engine = measure_speed(card, size, EngineOptions("openvino", "fp32"))
        assert engine == "openvino fp32"
    assert 0 < speeds[Size(640, 480)] < speeds[Size(64, 48)]  # a hundred times the pixels


def test_the_table_has_what_was_measured_and_why_something_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_network(tmp_path / "good.onnx")
    (tmp_path / "bad.onnx").write_bytes(good.onnx.read_bytes()[:-40])
    monkeypatch.setattr(zoo, "list_cards", lambda: [good, replace(good, name="bad", onnx=tmp_path / "bad.onnx")])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert cli.main(["models", "list", "--measure"]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line for line in said.splitlines()}
    assert re.search(r"[\d.]+, openvino \w+$", rows["good"].rstrip())
    assert "estimated" not in said
    assert rows["bad"].rstrip().endswith(("failed", "-"))
    assert "! " in said and "bad.onnx" in said
    assert "measured for frames of 960x540" in said
