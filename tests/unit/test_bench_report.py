"""What `live-sr bench` makes of its figures: spreads, comparisons, floors, the page, and the file to share."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import live_sr.bench
from live_sr.bench import compare, html_report, roofline, submission, table
from live_sr.bench.baselines.onnxruntime import OnnxRuntimeEngine
from live_sr.bench.baselines.registry import BASELINES, make_engine
from live_sr.bench.measure import LatencyRecorder
from live_sr.bench.options import BenchCase, BenchOptions, choose_modes, list_cases, rotate
from live_sr.bench.report import BenchReport, format_csv, format_json, read_report
from live_sr.bench.results import (
    CURVE_PERCENTILES,
    BenchRound,
    BenchRow,
    BenchStatistics,
    FrameCost,
    RooflineFloor,
    Spread,
)
from live_sr.bench.roofline import ProcessorRates, Roofline, compute_floor
from live_sr.capture.pattern import PatternSource
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, MissingPart
from live_sr.models import zoo
from live_sr.models.resolve import resolve
from live_sr.nvidia.nvml import GpuState
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Size, Stamps, make_black
from live_sr.pipeline.latency import STAGES, Percentiles
from live_sr.system.hardware import Machine

MACHINE = Machine(
    system="Linux-6.12.3-built-by-alice-x86_64",
    python="3.12.1",
    processor="Fast <& Wide>",
    cores=8,
    load=0.25,
    live_sr="0.1.0",
    packages={"numpy": "2.0"},
    date="2026-11-21",
)
CARD = GpuState("NVIDIA RTX 0000", "600.1", capability="8.9", clock_mhz=2100, watts=120.5, held_back=("power limit",))


def one(p50: float = 10.0, fps: float = 60.0, card: bool = False) -> BenchRound:
    tail = Percentiles(p50, p50 + 1, p50 + 2, p50 + 3)
    stages = {stage: Percentiles(1.0, 1.0, 1.0, 1.0) for stage in STAGES} | {"upscale": Percentiles(7.0, 8.0, 9.0, 9.0)}
    device = {"copy in": tail, "compute": tail} if card else {}
    return BenchRound(300, 5.0, fps, 1, tail, stages, device, tuple(p50 + at / 100 for at in CURVE_PERCENTILES))


def row(*rounds: BenchRound, pace: float | None = 60.0, **changes: Any) -> BenchRow:
    usual = BenchRow(
        "fast",
        2,
        "480x270",
        "openvino",
        "bf16",
        pace,
        cost=FrameCost(1_500_000_000, 2_592_000),
        figures=BenchStatistics.from_rounds(rounds) if rounds else None,
    )
    return dataclasses.replace(usual, **changes)


def report(*rows: BenchRow, **changes: Any) -> BenchReport:
    usual = BenchReport(MACHINE, "pattern", 5.0, 1.0, 2, (CARD,), (CARD,), False, rows)
    return dataclasses.replace(usual, **changes)


FULL = report(
    row(one(10.0), one(12.0)),
    row(one(10.0, 130.0), one(12.0, 120.0), pace=None, floor=RooflineFloor("processor", 3.5, 5e10, 8e11, "compute")),
    row(one(2.0, card=True), engine="cuda", precision="fp16"),
    row(model="/home/alice/secret.onnx", engine="ncnn", precision="", reason="no file /home/alice/secret.param"),
)


@pytest.mark.parametrize(
    ("values", "spread"),
    [([3.0], Spread(3, 3, 3)), ([3.0, 1.0, 2.0], Spread(2, 1, 3)), ([4.0, 1.0], Spread(2.5, 1, 4))],
)
def test_a_spread_is_the_median_and_the_ends_of_the_rounds(values: list[float], spread: Spread) -> None:
    assert Spread.from_values(values) == spread


def test_rounds_are_summed_up_and_their_percentiles_spread() -> None:
    figures = BenchStatistics.from_rounds([one(10.0, 60.0), one(14.0, 50.0), one(11.0, 55.0)])
    assert (figures.rounds, figures.frames, figures.seconds, figures.dropped) == (3, 900, 15.0, 3)
    assert figures.fps == Spread(55, 50, 60)
    assert figures.latency_ms.p99 == Spread(13, 12, 16)
    assert figures.stages_ms["upscale"].p50 == Spread(7, 7, 7)
    assert figures.curve_ms[0] == 11.0


def test_a_curve_is_of_the_frames_shown_since_the_warm_up() -> None:
    ages = LatencyRecorder()
    for n in range(200):
        ages(Stamps(seen=1_000_000 * n, shown=1_000_000 * n + 1_000_000 * (100 if n < 100 else n - 99)))
    curve = dict(zip(CURVE_PERCENTILES, ages.compute_curve(since_ns=200_000_000), strict=True))
    # of the first hundred, shown 100 ms after they were seen, none is left but those shown at 200 ms or later
    assert curve[100] == 100.0
    assert curve[0] == pytest.approx(51.0)


@pytest.mark.parametrize(
    ("paces", "free", "expected"),
    [
        (None, False, (None, 60.0)),
        ([144.0], False, (144.0,)),
        (None, True, (None,)),
        ([60.0, 120.0, 60.0], True, (None, 60.0, 120.0)),
    ],
)
def test_modes_are_both_unless_it_is_said_which(
    paces: list[float] | None, free: bool, expected: tuple[float | None, ...]
) -> None:
    assert choose_modes(paces, free) == expected


def test_each_round_begins_with_another_combination() -> None:
    assert [rotate("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_the_matrix_has_every_combination_once_and_filters_only_by_size_and_scale() -> None:
    options = BenchOptions(
        sizes=(Size(8, 6), Size(16, 12)),
        models=("fast", "bicubic"),
        scales=(2, 4),
        engines=("openvino", "eager"),
        precisions=("fp32", "bf16"),
    )
    found = list_cases(options)
    assert len([s for s in found if s.model.name == "fast"]) == 2 * 2 * 2 * 2
    assert [s for s in found if s.model.name == "bicubic"] == [
        BenchCase(resolve("bicubic"), scale, size, "auto", "auto") for scale in (2, 4) for size in options.sizes
    ]
    assert {s.size for s in list_cases(dataclasses.replace(options, source="clip.mp4"))} == {None}


@pytest.mark.parametrize(
    ("a", "b", "pace", "ratio", "spread", "verdict"),
    [
        ([10, 11, 12], [20, 22, 24], 60.0, 2.0, (20 / 12, 2.4), "SLOWER"),
        ([20, 22, 24], [10, 11, 12], 60.0, 0.5, (10 / 24, 0.6), "FASTER"),
        ([10, 11, 12], [11, 12, 13], 60.0, 12 / 11, (11 / 12, 1.3), "within the spread"),
        ([10], [20], 60.0, 2.0, (2.0, 2.0), "one round: no spread"),
        ([10, 11, 12], [20], 60.0, 20 / 11, (20 / 12, 2.0), "one round: no spread"),
        # free-running, the figures are frames per second: half of them is twice the time
        ([100, 100, 100], [50, 40, 60], None, 2.0, (100 / 60, 2.5), "SLOWER"),
    ],
)
def test_a_ratio_is_of_times_and_is_marked_only_outside_the_spread(
    a: list[float], b: list[float], pace: float | None, ratio: float, spread: tuple[float, float], verdict: str
) -> None:
    def of(values: list[float]) -> BenchRow:
        return row(*(one(v) if pace else one(fps=v) for v in values), pace=pace)

    made = compare.compute_ratio(of(a), of(b))
    assert made is not None
    assert made.median == pytest.approx(ratio)
    assert (made.min, made.max) == pytest.approx(spread)
    assert made.verdict == verdict


def test_a_comparison_joins_rows_and_names_what_differs() -> None:
    other = dataclasses.replace(
        report(row(one(20.0), one(22.0)), row(one(1.0), size="640x360")),
        machine=dataclasses.replace(MACHINE, processor="Slow", packages={"numpy": "2.0", "torch": "2.13"}),
        before=(),
    )
    told = compare.format_comparison(FULL, other, ("old.json", "new.json"))
    lines = told.splitlines()
    assert lines[0].startswith("A: old.json: Fast <& Wide>")
    (differing,) = [line for line in lines if line.startswith("not the same")]
    for words in ("processor Fast <& Wide> and Slow", "cards NVIDIA RTX 0000", "torch none and 2.13"):
        assert words in differing
    (joined,) = [line for line in lines if line.startswith("fast x2, openvino bf16")]
    assert "fed at 60 fps" in joined
    assert "1.91" in joined
    assert joined.endswith("SLOWER")
    assert "only in A: fast x2, cuda fp16, 480x270, fed at 60 fps" in lines
    assert "only in B: fast x2, openvino bf16, 640x360, fed at 60 fps" in lines


def test_a_comparison_says_why_a_row_has_no_figures() -> None:
    failed = report(row(reason="no card"))
    assert "no card" in compare.format_comparison(FULL, failed, ("a", "b"))


def test_a_report_read_again_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(format_json(FULL), encoding="utf-8")
    assert read_report(path) == FULL


def test_the_csv_has_the_columns_of_all_stages_and_the_reason() -> None:
    header, *lines = format_csv(FULL).splitlines()
    assert len(lines) == len(FULL.rows)
    for column in ("fps_min", "p99_ms", "upscale_p50_ms", "card_copy_in_p50_ms", "floor_ms", "times_floor", "reason"):
        assert column in header.split(",")
    assert lines[3].endswith("no file /home/alice/secret.param")


# Copies at 10 GB/s and a device of 2 billion operations a second, unless the row says otherwise
@pytest.mark.parametrize(
    ("macs", "moved", "bandwidth", "rate", "ms", "bound"),
    [
        (10**9, 10**7, 1e10, 1e12, 2.0, "compute"),
        (10**9, 10**8, 1e10, 1e12, 10.0, "copy"),
        (None, 10**7, 1e10, 0.0, 1.0, "copy"),
        (10**6, 10**7, 1e10, 1e12, 1.0, "copy"),
    ],
)
def test_the_floor_is_the_longer_of_copying_and_computing(
    macs: int | None, moved: int, bandwidth: float, rate: float, ms: float, bound: str
) -> None:
    told = compute_floor(FrameCost(macs, moved), bandwidth, rate)
    assert told[0] == pytest.approx(ms)
    assert told[1] == bound


class Known:
    """A device whose figures are known, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.speed = 1.0

    def measure_bandwidth(self, moved: int) -> float:
        self.asked.append(moved)
        return 1e10 * self.speed

    def measure_rate(self, precision: str) -> float:
        self.asked.append(precision)
        if precision == "int8":
            raise EngineError("this processor does not compute in int8")
        return 1e12 * self.speed


def test_each_device_is_measured_once_a_round_for_each_size_and_precision_and_the_best_counts() -> None:
    processor, card = Known(), Known()
    floors = Roofline({"processor": processor, "card": card})
    cost = FrameCost(10**9, 10**7)
    for _ in range(3):
        assert floors.find_floor("openvino", "bf16", cost).ms == pytest.approx(2.0)
    assert processor.asked == [10**7, "bf16"]
    assert floors.find_floor("cuda", "fp16", cost).device == "card"
    assert card.asked == [10**7, "fp16"]
    floors.begin_round()
    processor.speed = 0.5  # something else has the machine
    assert floors.find_floor("openvino", "bf16", cost).ms == pytest.approx(2.0)
    floors.begin_round()
    processor.speed = 2.0
    assert floors.find_floor("openvino", "bf16", cost).ms == pytest.approx(1.0)
    failed = floors.find_floor("openvino", "int8", cost)
    assert (failed.ms, failed.reason) == (0.0, "this processor does not compute in int8")


def test_a_row_tells_how_often_its_floor_fits_into_it() -> None:
    assert FULL.rows[1].times_floor == pytest.approx(2.0)  # 7 ms of upscaling over 3.5
    assert FULL.rows[0].times_floor is None


@pytest.mark.parametrize("moved", [100, 1 << 20])
@pytest.mark.parametrize("threads", [1, 2])
def test_copies_of_any_size_have_a_bandwidth(moved: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.bench.roofline.MEASURE_S", 0.01)
    assert ProcessorRates(threads).measure_bandwidth(moved) > 0


def test_operations_are_counted_in_each_precision_of_this_processor() -> None:
    from live_sr.engines.openvino import peak_rate

    assert peak_rate.measure_operations_per_second("fp32", 0.01) > 1e6
    with pytest.raises(EngineError, match="does not compute in fp7"):
        peak_rate.measure_operations_per_second("fp7", 0.01)


@pytest.mark.torch
def test_without_a_card_the_reason_is_told() -> None:
    from live_sr.engines.torch_cuda import peak_rate

    if not roofline.torch_has_gpu():
        with pytest.raises(MissingPart, match="no NVIDIA GPU"):
            peak_rate.measure_bytes_per_second(100, 0.01)
        assert "no NVIDIA GPU" in Roofline().find_floor("cuda", "fp16", FrameCost(1, 100)).reason


def test_the_table_has_the_spread_the_card_s_stages_and_the_floor() -> None:
    told = table.format_report(FULL)
    assert "10.00–12.00" in told
    assert "120.0–130.0" in told
    assert "×floor" in told
    assert "fast x2, openvino bf16" not in told.partition("not measured")[2]
    assert "no file /home/alice/secret.param" in told


class Checked(HTMLParser):
    """Tags that were opened and not closed, and everything that would have to be fetched."""

    VOID = ("meta", "br", "use", "path", "rect", "line", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        wanted = [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith("#")]
        self.fetched += wanted + ([tag] if tag in ("script", "link", "iframe", "img") else [])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_opens_offline() -> None:
    text = html_report.render_html(FULL)
    checked = Checked()
    checked.feed(text)
    assert checked.open == []
    assert checked.fetched == []
    assert "http" not in text
    assert "@import" not in text


def test_the_page_has_the_plots_the_figures_and_the_machine() -> None:
    text = html_report.render_html(FULL)
    named = re.findall(r'aria-label="([^"]+)"', text)
    assert named == [
        "Throughput against cost, free-running",
        "Latency by stage, fed at 60 fps",
        "On the GPU, fed at 60 fps",
        "Percentiles, 480x270 fed at 60 fps",
    ]
    for words in ("Fast &lt;&amp; Wide&gt;", "125.0 <small>120.0–130.0</small>", "Linux 6.12", "NVIDIA RTX 0000"):
        assert words in text
    assert "held back: power limit" in text
    assert "secret.param" in text  # the page is for its owner


def test_the_page_suits_the_dark_and_a_phone() -> None:
    text = html_report.render_html(FULL)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "var(--ink)" in text.partition("<svg")[2]
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.search(r"(?:fill|stroke): #(?:000000|ffffff)", plots)  # what one of both backgrounds would swallow
    assert 'width="100%"' in plots


def test_a_page_without_figures_is_still_a_page() -> None:
    text = html_report.render_html(report(row(reason="no card"), interrupted=True))
    assert "no card" in text
    assert "interrupted" in text


SCHEMA = json.loads((Path(live_sr.bench.__file__).parent / "submission.schema.json").read_text(encoding="utf-8"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
KNOWN = {"$schema", "$defs", "$ref", "title", "type", "required", "additionalProperties", "properties", "items"}
KNOWN |= {"const", "enum", "pattern", "minimum", "minItems", "maxItems"}


def check(value: Any, schema: dict[str, Any], where: str = "") -> None:
    """The part of JSON Schema that ours uses. Raises AssertionError."""
    assert set(schema) <= KNOWN
    if "$ref" in schema:
        check(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], where)
        return
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    is_one = any(isinstance(value, TYPES[kind]) and not isinstance(value, bool) for kind in kinds)  # type: ignore[arg-type]
    assert not kinds or is_one, f"{where}: {value!r} is not of {kinds}"
    assert value == schema.get("const", value), where
    assert value in schema.get("enum", [value]), where
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value), f"{where}: {value!r}"
    if isinstance(value, int | float):
        assert value >= schema.get("minimum", value), where
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for number, item in enumerate(value):
            check(item, schema.get("items", {}), f"{where}[{number}]")
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), f"{where}: {schema['required']} of {list(value)}"
        for key, inner in value.items():
            rest = schema.get("additionalProperties", {})
            found = schema.get("properties", {}).get(key, rest)
            assert found is not False, f"{where}.{key} is not in the schema"
            check(inner, found, f"{where}.{key}")


def test_the_file_to_share_follows_its_schema() -> None:
    told = json.loads(submission.format_submission(FULL))
    check(told, SCHEMA)
    assert len(told["rows"]) == 3  # without the one that failed
    assert told["rows"][0]["p50_ms"] == [11.0, 10.0, 12.0]
    assert told["rows"][2]["device_ms"]["compute"] == [2.0, 2.0, 2.0]
    assert told["clocks_mhz"] == [[2100], [2100]]


@pytest.mark.parametrize(
    ("key", "value"),
    [("date", "today"), ("rows", {}), ("host", "alices-pc"), ("source", "/home/alice/clip.mp4"), ("seconds", "5")],
)
def test_the_schema_refuses_what_it_does_not_know(key: str, value: object) -> None:
    told = json.loads(submission.format_submission(FULL)) | {key: value}
    with pytest.raises(AssertionError):
        check(told, SCHEMA)


def test_the_file_to_share_tells_nothing_of_its_owner() -> None:
    private = row(one(3.0), model="alices-net")
    text = submission.format_submission(dataclasses.replace(FULL, rows=(*FULL.rows, private)))
    for word in ("alice", "secret", "home", "built"):
        assert word not in text
    assert json.loads(text)["rows"][-1]["model"] == "own-1"
    assert "\n" not in text.strip()


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("Linux-6.12.3-built-by-alice-x86_64", "Linux 6.12"),
        ("Windows-11", "Windows 11"),
        ("Windows-10.0.26100-SP0", "Windows 10.0"),
        ("Haiku-alice", "Haiku"),
    ],
)
def test_a_system_is_told_by_name_and_version_alone(words: str, short: str) -> None:
    assert dataclasses.replace(FULL, machine=dataclasses.replace(MACHINE, system=words)).system == short


def picture(size: Size) -> Frame[Any]:
    source = PatternSource(size, fps=None)
    frame = source.next_frame(0)
    assert frame is not None
    return frame


@pytest.mark.torch
@pytest.mark.parametrize("size", [Size(64, 48), Size(37, 23), Size(1, 1)])
def test_onnx_runtime_makes_the_same_picture_as_pytorch(size: Size) -> None:
    from live_sr.engines.other_formats.torch_eager import EagerEngine

    card = zoo.find("turbo", 2)
    frame = picture(size)
    made = []
    for engine in (
        OnnxRuntimeEngine(card, threads=1),
        EagerEngine(dataclasses.replace(card, onnx=card.onnx.with_suffix(".safetensors")), precision="fp32", threads=1),
    ):
        into = make_black(size.times(2))
        done = engine.upscale(frame, into)
        assert done is not None
        assert done.pixels is into
        assert done.stamps is frame.stamps
        made.append(done.pixels.astype(int))
        engine.close()
    assert np.abs(made[0] - made[1]).max() <= 1
    assert (made[0][..., 3] == 255).all()


def test_onnx_runtime_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    card = zoo.find("turbo", 2)
    with pytest.raises(EngineError, match="in fp32 here, not in bf16"):
        OnnxRuntimeEngine(card, precision="bf16")
    broken = tmp_path / "broken-x2.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(LiveSRError, match=r"broken-x2\.onnx"):
        OnnxRuntimeEngine(dataclasses.replace(card, onnx=broken, bytes=0, sha256="")).warm_up(Size(8, 8))


@pytest.mark.parametrize(
    ("model", "engine", "words"),
    [
        pytest.param("nearest", "eager", "nearest is a filter, and eager runs networks", marks=pytest.mark.torch),
        pytest.param("turbo", "ncnn", "ncnn reads turbo-x2.param", marks=pytest.mark.needs("ncnn")),
    ],
)
def test_a_peer_says_why_it_cannot_run_a_model(model: str, engine: str, words: str) -> None:
    with pytest.raises(LiveSRError, match=re.escape(words)):
        make_engine(resolve(model), 2, EngineOptions(engine), BuildMonitor())


def test_every_peer_is_a_class_that_is_there() -> None:
    for peer in BASELINES:
        module, _, name = peer.path.partition(":")
        source = Path(live_sr.__file__).parent.parent / (module.replace(".", "/") + ".py")
        assert f"class {name}:" in source.read_text(encoding="utf-8")
