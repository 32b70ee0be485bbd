"""An engine that must win a trial is used where it is right and faster, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines import engine_choice, factory, graph_choice, trial
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import SIZE, TrialMemory, TrialResult
from live_sr.engines.trial_picture import make_trial_picture
from live_sr.errors import EngineError
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size
from live_sr.system import paths


class Repeater:
    """An engine that repeats pixels, and does so again until it has taken `work` times as long."""

    made: list[Repeater]

    def __init__(self, name: str, work: int = 1, error: int = 0, precision: str = "") -> None:
        self.scale = 2
        self.info = EngineInfo("toy", 2, name, precision)
        self.work, self.error = work, error
        self.closed = self.has_drawn = False
        self.build = f"{name} 1"
        self.built = True
        self.fails = ""
        Repeater.made.append(self)

    def is_built(self, size: Size) -> bool:
        return self.built

    def warm_up(self, size: Size) -> None:
        if self.fails:
            raise EngineError(self.fails, "none")

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self.has_drawn = True
        for _ in range(self.work):
            done = frame.pixels.repeat(2, 0).repeat(2, 1)
        done[0, 0, 0] ^= self.error
        return frame.with_pixels(done)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _count_engines() -> None:
    Repeater.made = []


def test_the_faster_engine_with_the_same_picture_wins() -> None:
    result = trial.compare(Repeater("new"), Repeater("old", work=20))
    assert result.won
    assert "times as fast as old" in result.says and f"of the processor for a frame of {SIZE}" in result.says


def test_an_engine_that_is_not_clearly_faster_loses() -> None:
    result = trial.compare(Repeater("new", work=20), Repeater("old"))
    assert not result.won
    assert "times as fast as old" in result.says


def test_the_fastest_engine_loses_with_a_wrong_picture() -> None:
    assert trial.compare(Repeater("new", error=4), Repeater("old", work=20)).won
    result = trial.compare(Repeater("new", error=64), Repeater("old", work=20))
    assert not result.won
    assert "up to 64 levels" in result.says
    assert "another size" in trial.describe_deviation(np.zeros((2, 2, 4), np.uint8), np.zeros((4, 4, 4), np.uint8))
    half = np.zeros((4, 4, 4), np.uint8)
    assert "on average 1.00 levels" in trial.describe_deviation(half, half + 1)


def test_the_trial_picture_has_every_level() -> None:
    picture = make_trial_picture(SIZE)
    assert all(len(np.unique(picture[..., channel])) == 256 for channel in range(3))
    assert (picture[..., 3] == 255).all()


def test_what_was_won_is_kept_in_a_file_and_what_was_lost_is_not(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "trials.json"
    memory, other = TrialMemory(file), TrialMemory(file)
    memory.keep("a", TrialResult(True, "twice as fast"))
    memory.keep("b", TrialResult(False, "slower"))
    other.keep("c", TrialResult(True, "faster"))
    memory.keep("d", TrialResult(False, "slower as well"), lost_too=True)
    memory.keep("e", TrialResult(True, "faster"), in_file=False)
    assert memory.find("b") == TrialResult(False, "slower")
    again = TrialMemory(file)
    assert again.find("a") == TrialResult(True, "twice as fast")
    assert again.find("b") is None
    assert again.find("c") == TrialResult(True, "faster")
    assert again.find("d") == TrialResult(False, "slower as well")
    assert again.find("e") is None


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", b'{"a": 1}', b'{"a": {"won": 1, "says": ""}}', b"\xff\xfe"])
def test_a_damaged_file_of_results_is_as_none(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "trials.json"
    file.write_bytes(damage)
    memory = TrialMemory(file)
    assert memory.find("a") is None
    memory.keep("a", TrialResult(True, "faster"))
    assert TrialMemory(file).find("a") == TrialResult(True, "faster")


def test_results_are_remembered_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for memory in (TrialMemory(None), TrialMemory(tmp_path / "file" / "trials.json")):
        memory.keep("a", TrialResult(True, "faster"))
        assert memory.find("a") == TrialResult(True, "faster")


class Machine:
    """What runs here: `works` says how long the engine that must win takes, `fails` why it cannot be built."""

    def __init__(self) -> None:
        self.unavailable: dict[str, str] = dict.fromkeys(
            ("tensorrt", "rtx", "cuda", "webgpu", "openvino-gpu", "onnx-webgpu"), "no GPU"
        )
        self.works, self.fails, self.built = 1, "", True  # of native
        self.card_works, self.card_error = 1, 0  # of webgpu
        self.folded_works, self.folded_fails = 40, ""  # of openvino with the folded graph; with the plain one it is 20
        self.int8_works, self.precision = 40, "bf16"  # of openvino in int8, and what "auto" means to it
        self.versions: dict[str, int] = {}  # of engines; 1 if it is not here
        self.refused: set[tuple[str, str]] = set()  # engines and precisions in which they do not compute

    def make(self, backend: Backend) -> object:
        def make_engine(card: object, folded: bool = False, precision: str = "", **arguments: object) -> Repeater:
            if (backend.name, precision) in self.refused:
                raise EngineError(f"it does not compute in {precision}", "none")
            if precision == "int8":
                return Repeater(f"int8 {backend.name}", self.int8_works)
            if backend.name == "webgpu":
                return self.set_version(Repeater("webgpu", self.card_works, self.card_error))
            if folded:
                engine = Repeater(f"folded {backend.name}", self.folded_works)
                engine.fails = self.folded_fails
                return engine
            engine = Repeater(backend.name, self.works if backend.name == "native" else 20, precision=self.precision)
            if backend.name == "native":
                engine.fails, engine.built = self.fails, self.built
            return self.set_version(engine)

        return make_engine

    def set_version(self, engine: Repeater) -> Repeater:
        name = engine.info.engine
        engine.build = f"{name} {self.versions.get(name, 1)}"
        return engine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(Backend, "unavailable_reason", lambda backend, *_: machine.unavailable.get(backend.name, ""))
    monkeypatch.setattr(Backend, "load", lambda backend: machine.make(backend))
    monkeypatch.setattr(paths, "get_native_folder", lambda: tmp_path)
    graph_choice.open_trial_memory.cache_clear()
    yield machine
    graph_choice.open_trial_memory.cache_clear()


FAST, AUTO = resolve("fast"), EngineOptions()


def choose() -> str:
    return factory.make_engine(FAST, 2, AUTO).info.engine


def count_trials() -> int:
    """Of native: it draws in a trial and is closed after it; those that were chosen are still open."""
    return sum(engine.closed and engine.has_drawn and engine.info.engine == "native" for engine in Repeater.made)


def count_graph_trials() -> int:
    return sum(engine.closed and engine.info.engine == "folded openvino" for engine in Repeater.made)


def test_the_winner_is_used_and_tried_only_once(machine: Machine) -> None:
    assert [choose(), choose()] == ["native", "native"]
    assert count_trials() == 1
    graph_choice.open_trial_memory.cache_clear()  # as after the next start
    assert choose() == "native"
    assert count_trials() == 1
    assert "native is used for fast x2: " in engine_choice.describe_trial(FAST, 2, AUTO)


def test_the_loser_is_not_used_and_tried_again_only_after_the_next_start(machine: Machine) -> None:
    machine.works = 40
    assert [choose(), choose()] == ["openvino", "openvino"]
    assert count_trials() == 1
    assert not factory.is_built(FAST, 2, SIZE, AUTO), "the other one has windows to build"
    assert "native is not used for fast x2: " in engine_choice.describe_trial(FAST, 2, AUTO)
    graph_choice.open_trial_memory.cache_clear()
    machine.works = 1
    assert choose() == "native"


def test_what_cannot_be_built_is_not_tried_at_every_size_of_the_window(machine: Machine) -> None:
    machine.fails = "cc cannot compile it"
    made = [choose(), choose(), choose()]
    assert made == ["openvino"] * 3
    assert sum(engine.info.engine == "native" for engine in Repeater.made) == 1
    assert engine_choice.describe_trial(FAST, 2, AUTO) == "native is not used for fast x2: cc cannot compile it"


def test_who_names_the_engine_gets_it_without_a_trial(machine: Machine) -> None:
    machine.works = 40
    assert factory.make_engine(FAST, 2, EngineOptions("native")).info.engine == "native"
    assert factory.make_engine(FAST, 2, EngineOptions("openvino")).info.engine == "openvino"
    assert count_trials() == 0
    assert "as asked for" in engine_choice.describe_trial(FAST, 2, EngineOptions("native"))
    assert engine_choice.describe_trial(FAST, 2, EngineOptions("openvino")) == ""


def test_without_the_other_engine_there_is_nothing_to_try(machine: Machine) -> None:
    machine.unavailable["openvino"] = "it is not installed"
    assert choose() == "native"


def test_until_the_winner_is_known_the_other_engine_works(machine: Machine) -> None:
    make_quick = factory.find_quick_maker(AUTO)
    assert make_quick is not None
    assert make_quick(FAST, 2).info.engine == "openvino"
    assert not factory.is_built(FAST, 2, SIZE, AUTO)
    choose()
    assert factory.is_built(FAST, 2, SIZE, AUTO)
    machine.built = False
    assert not factory.is_built(FAST, 2, SIZE, AUTO)
    assert not factory.is_built(FAST, 2, SIZE, EngineOptions("native"))
    says = engine_choice.describe_trial(FAST, 2, AUTO)
    assert says.startswith("native is used for fast x2: ")
    assert says.endswith("it may have to be compiled at the start, while openvino works")


def test_an_engine_that_nobody_has_tried_is_said_to_be_compiled_first(machine: Machine) -> None:
    machine.built = False
    assert "native is not compiled yet" in engine_choice.describe_trial(FAST, 2, AUTO)


def test_a_spare_engine_for_graphics_cards_needs_no_trial(machine: Machine) -> None:
    del machine.unavailable["cuda"]
    make_spare = factory.find_spare_maker(AUTO)
    assert make_spare is not None
    assert make_spare(FAST, 2).info.engine == "openvino" == backends.find_cpu_runtime().name


def test_a_network_without_weights_goes_to_the_next_engine(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backend, "has_weights", lambda backend, onnx, parts=(): not backend.weights)
    assert choose() == "openvino"
    assert not factory.is_built(FAST, 2, SIZE, AUTO)
    assert "there are no .safetensors weights" in engine_choice.describe_trial(FAST, 2, AUTO)


OPENVINO = EngineOptions("openvino")


def choose_graph(options: EngineOptions = OPENVINO) -> str:
    return factory.make_engine(FAST, 2, options).info.engine


def test_the_faster_graph_is_used_and_tried_only_once(machine: Machine) -> None:
    machine.folded_works = 1
    assert [choose_graph(), choose_graph()] == ["folded openvino"] * 2
    says = engine_choice.describe_graph(FAST, 2, OPENVINO)
    assert says.startswith("openvino uses the folded graph for fast x2: ") and "as fast as the plain graph" in says
    assert count_graph_trials() == 1
    graph_choice.open_trial_memory.cache_clear()  # as after the next start
    assert choose_graph() == "folded openvino"
    assert count_graph_trials() == 1


def test_the_slower_graph_is_not_used_and_not_tried_again_at_the_next_start(machine: Machine) -> None:
    assert [choose_graph(), choose_graph()] == ["openvino"] * 2
    graph_choice.open_trial_memory.cache_clear()
    assert choose_graph() == "openvino"
    assert count_graph_trials() == 1
    assert engine_choice.describe_graph(FAST, 2, OPENVINO).startswith(
        "openvino uses the plain graph for fast x2: it is "
    )
    assert choose_graph(EngineOptions("openvino", threads=3)) == "openvino"
    assert count_graph_trials() == 1, "tiles, with a thread each, have the graph of the whole picture"


def test_a_graph_that_fails_is_not_used(machine: Machine) -> None:
    machine.folded_works, machine.folded_fails = 1, "it holds another network"
    assert choose_graph() == "openvino"
    assert "plain graph for fast x2: it holds another network" in engine_choice.describe_graph(FAST, 2, OPENVINO)


def test_without_weights_there_is_one_graph(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_choice, "WEIGHTS", ".other")
    machine.precision, machine.int8_works = "fp32", 1
    assert choose_graph() == "openvino"
    assert count_graph_trials() == 0
    assert "there are no .other weights" in engine_choice.describe_graph(FAST, 2, OPENVINO)


def test_no_graph_is_told_of_where_openvino_does_not_work(machine: Machine) -> None:
    assert engine_choice.describe_graph(FAST, 2, EngineOptions("cuda")) == ""
    assert engine_choice.describe_graph(resolve("bicubic"), 2, AUTO) == ""
    assert engine_choice.describe_graph(FAST, 2, AUTO) != ""
    machine.unavailable["openvino"] = "it is not installed"
    assert engine_choice.describe_graph(FAST, 2, AUTO) == ""


def test_the_engine_that_must_win_is_tried_against_the_faster_graph(machine: Machine) -> None:
    machine.works, machine.folded_works = 10, 1
    assert choose() == "folded openvino"


def test_without_bf16_the_faster_int8_is_used_and_tried_only_once(machine: Machine) -> None:
    machine.precision, machine.int8_works = "fp32", 1
    assert [choose_graph(), choose_graph()] == ["int8 openvino"] * 2
    says = engine_choice.describe_graph(FAST, 2, OPENVINO)
    assert says.startswith("openvino uses the int8 graph for fast x2: ") and "as fast as fp32" in says
    graph_choice.open_trial_memory.cache_clear()
    machine.int8_works = 1000
    assert choose_graph() == "int8 openvino"


def test_int8_must_beat_the_faster_graph(machine: Machine) -> None:
    machine.precision, machine.int8_works, machine.folded_works = "fp32", 10, 1
    assert choose_graph() == "folded openvino"
    assert "; int8: it is " in engine_choice.describe_graph(FAST, 2, OPENVINO)


def test_int8_is_not_used_where_there_is_bf16_or_the_card_has_no_ranges(machine: Machine) -> None:
    machine.int8_works = 1
    assert choose_graph() == "openvino"
    machine.precision = "fp32"
    assert choose_graph(EngineOptions("openvino", "fp32")) == "openvino", "who asks for fp32 gets it"
    says = engine_choice.describe_graph(FAST, 2, EngineOptions("openvino", "int8"))
    assert says == "openvino uses the int8 graph for fast x2: it is asked for"
    pixel = resolve("fast-pixel")
    assert factory.make_engine(pixel, 2, OPENVINO).info.engine == "openvino"
    assert choose_graph() == "int8 openvino"


# A graphics card against the best engine on the processor


@pytest.mark.parametrize(
    ("card_works", "native_works", "used"),
    [(1, 20, "webgpu"), (20, 1, "native"), (1, 100, "webgpu"), (100, 100, "openvino"), (100, 1, "native")],
)
def test_a_graphics_card_must_beat_the_best_engine_on_the_processor(
    machine: Machine, card_works: int, native_works: int, used: str
) -> None:
    del machine.unavailable["webgpu"]
    machine.card_works, machine.works = card_works, native_works
    assert [choose(), choose()] == [used, used]
    said = engine_choice.describe_trial(FAST, 2, AUTO).splitlines()
    assert said[0].startswith(f"webgpu is {'used' if used == 'webgpu' else 'not used'} for fast x2: ")
    assert " of the processor" not in said[0]
    assert len(said) == (1 if used == "webgpu" else 2)


def test_a_graphics_card_that_draws_something_else_is_not_used(machine: Machine) -> None:
    del machine.unavailable["webgpu"]
    machine.card_error = 64
    assert choose() == "native"
    machine.unavailable["native"] = "no AMX"
    machine.card_error = 0
    graph_choice.open_trial_memory.cache_clear()
    assert choose() == "webgpu"


def test_a_graphics_card_is_used_where_only_it_computes_in_the_precision_asked_for(machine: Machine) -> None:
    del machine.unavailable["webgpu"]
    machine.refused = {("native", "fp16"), ("openvino", "fp16")}
    options = EngineOptions(precision="fp16")
    assert factory.make_engine(FAST, 2, options).info.engine == "webgpu"
    says = engine_choice.describe_trial(FAST, 2, options)
    assert says == "webgpu is used for fast x2: openvino cannot be used: it does not compute in fp16"
    make_quick = factory.find_quick_maker(options)
    assert make_quick is not None
    assert make_quick(FAST, 2).info.engine == "openvino", "in its own precision, until the other one is ready"
    machine.refused.add(("webgpu", "fp16"))
    graph_choice.open_trial_memory.cache_clear()
    with pytest.raises(EngineError, match="does not compute in fp16"):
        factory.make_engine(resolve("turbo"), 2, options)


def count_card_trials() -> int:
    return sum(engine.closed and engine.has_drawn and engine.info.engine == "webgpu" for engine in Repeater.made)


def test_what_a_graphics_card_won_counts_against_the_engine_that_it_met(machine: Machine) -> None:
    """Here native lost, perhaps because the processor was busy: the next start asks it again, and then the card."""
    del machine.unavailable["webgpu"]
    machine.works = 100
    assert choose() == "webgpu"
    graph_choice.open_trial_memory.cache_clear()
    assert choose() == "webgpu"
    assert count_card_trials() == 1, "native has lost again"
    assert factory.is_built(FAST, 2, SIZE, AUTO)
    graph_choice.open_trial_memory.cache_clear()
    machine.works, machine.card_works = 1, 100
    assert not factory.is_built(FAST, 2, SIZE, AUTO), "whom it meets is not known yet"
    assert choose() == "native"


@pytest.mark.parametrize("changed", ["webgpu", "native", "the model"])
@pytest.mark.parametrize(("card_works", "best"), [(1, "webgpu"), (60, "native")])
def test_a_graphics_card_is_tried_again_where_something_has_changed(
    card_works: int, best: str, changed: str, machine: Machine
) -> None:
    del machine.unavailable["webgpu"]
    machine.works, machine.card_works = 6, card_works
    for _ in range(2):
        graph_choice.open_trial_memory.cache_clear()
        assert choose() == best
    assert count_card_trials() == 1
    graph_choice.open_trial_memory.cache_clear()
    machine.versions[changed] = 2
    model = resolve("turbo") if changed == "the model" else FAST
    assert factory.make_engine(model, 2, AUTO).info.engine == best
    assert count_card_trials() == 2


@pytest.mark.parametrize("native_works", [1, 100])
def test_what_a_graphics_card_lost_is_not_tried_again_at_the_next_start(machine: Machine, native_works: int) -> None:
    """A trial of a card takes seconds. It may have lost against native, or against openvino, where native has lost."""
    del machine.unavailable["webgpu"]
    machine.card_works, machine.works = 200, native_works
    best = choose()
    assert best != "webgpu"
    graph_choice.open_trial_memory.cache_clear()
    machine.card_works = 0
    assert choose() == best
    assert sum(engine.info.engine == "webgpu" and engine.has_drawn for engine in Repeater.made) == 1
