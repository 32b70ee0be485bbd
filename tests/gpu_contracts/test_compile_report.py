"""TensorRT-RTX's own compiler makes of our graphs what they were written for. It needs no GPU."""

from __future__ import annotations

import onnx
import pytest

from live_sr.errors import LiveSRError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export.onnx_io import wrap_onnx_io
from live_sr.models.export.precisions import LEAST_CAPABILITY
from live_sr.pipeline.frame import Size

pytestmark = pytest.mark.needs("tensorrt_rtx_bindings")

CARDS = [zoo.find(name, scale) for name in ("turbo", "fast", "quality") for scale in (2, 4)]


@pytest.mark.parametrize("size", [Size(96, 64), Size(487, 273)], ids=str)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_a_network_is_one_kernel_for_each_convolution_and_one_at_each_end(card: ModelCard, size: Size) -> None:
    from tools.gpu.compile_report import compile_graph

    graph = wrap_onnx_io(card, size, "fp16")
    convolutions = sum(node.op_type == "Conv" for node in onnx.load_model_from_string(graph).graph.node)
    for capability, more in (("SM86", 2), ("SM120", 2), ("SM75", 3)):  # on SM75 Concat stays a kernel
        made = compile_graph(graph, capability, None)
        assert len(made.kernels) == convolutions + more, capability
        assert all(kernel.moved for kernel in made.kernels)
        assert made.engine > made.weights > 0 and made.activations > size.width * size.height * 4


def test_a_graph_of_free_size_compiles() -> None:
    from tools.gpu.compile_report import compile_graph

    graph = wrap_onnx_io(CARDS[2], Size(1, 1), "fp16", dynamic=True)
    made = compile_graph(graph, "SM86", Size(960, 540))
    assert made.activations > compile_graph(wrap_onnx_io(CARDS[2], Size(960, 540), "fp16"), "SM86", None).activations


@pytest.mark.parametrize(("precision", "stored"), [("int8", "Int8["), ("fp8", "FP8[")])
def test_a_precision_is_computed_from_its_least_compute_capability_on(precision: str, stored: str) -> None:
    from tools.gpu.compile_report import compile_graph

    graph = wrap_onnx_io(CARDS[2], Size(96, 64), precision)
    reads = {}
    for capability in ("SM75", "SM80", "SM86", "SM89", "SM120"):
        try:
            kernels = compile_graph(graph, capability, None).kernels
        except LiveSRError as error:
            assert "fp8" in error.message
            reads[capability] = 0
            continue
        reads[capability] = sum(kernel.shapes.startswith(stored) for kernel in kernels)
    least = LEAST_CAPABILITY[precision]
    middle = 3  # layers of this network
    expected = {name: middle if divmod(int(name[2:]), 10) >= least else 0 for name in reads}
    assert reads == expected


def test_the_report_is_a_table_with_what_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from tools.gpu import compile_report

    options = ["--models", "fast", "--for", "sm86,sm12", "--size", "64x48"]
    assert compile_report.report(compile_report.parse_options(options)) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| fast")]
    assert [row.split(" | ")[2] for row in rows] == ["SM86", "SM12"] * 2
    assert "refused" in rows[1] and "refused" not in rows[0]


def test_a_graph_that_is_refused_is_told_in_the_words_of_the_parser() -> None:
    from tools.gpu.compile_report import compile_graph

    model = onnx.load_model_from_string(wrap_onnx_io(CARDS[0], Size(64, 48), "fp16"))
    model.graph.node.insert(0, onnx.helper.make_node("Transpose", ["frame"], ["turned"], perm=[0, 2, 1, 3]))
    model.graph.node[1].input[0] = "turned"
    with pytest.raises(LiveSRError, match=r"UINT8|uint8|UInt8"):
        compile_graph(model.SerializeToString(), "SM86", None)
