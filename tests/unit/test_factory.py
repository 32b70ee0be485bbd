"""Which engine works while another one is being built, on machines whose GPUs are not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import MissingPart
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Size

SIZE = Size(64, 48)


class Recorder:
    """Stands in for an engine's class and remembers with what it was made. `kept`: sizes whose builds are kept."""

    made: list[dict[str, Any]]
    kept: tuple[Size, ...] = ()

    def __init__(self, card: Any, **arguments: Any) -> None:
        self.scale = card.scale
        self.info = card.label
        Recorder.made.append(arguments)

    def is_built(self, size: Size) -> bool:
        if self.kept == ():
            raise MissingPart("there is no GPU", "use another engine")
        return size in self.kept


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """{engine: why it cannot be used}. All that are not named can, and their classes are `Recorder`."""
    reasons: dict[str, str] = {}
    Recorder.made, Recorder.kept = [], ()
    monkeypatch.setattr(Backend, "unavailable_reason", lambda backend, *_: reasons.get(backend.name, ""))
    monkeypatch.setattr(Backend, "load", lambda backend: Recorder)
    return reasons


def test_tensorrt_rtx_is_its_own_quick_engine_with_dynamic_shapes(machine: dict[str, str], tmp_path: Path) -> None:
    options = EngineOptions("rtx", "fp16", cache=tmp_path, queue=1)
    make = factory.find_quick_maker(options)
    assert make is not None
    make(resolve("fast"), 2)
    assert Recorder.made == [{"precision": "fp16", "queue": 1, "cache": tmp_path, "dynamic": True}]


def test_tensorrt_has_the_cuda_engine_as_its_quick_one(machine: dict[str, str]) -> None:
    make = factory.find_quick_maker(EngineOptions("tensorrt"))
    assert make is not None
    make(resolve("fast"), 2)
    assert Recorder.made == [{"precision": "auto", "queue": 0, "quick": True}]
    machine["cuda"] = "torch is not installed"
    assert factory.find_quick_maker(EngineOptions("tensorrt")) is None


@pytest.mark.parametrize("name", ["cuda", "openvino"])
def test_engines_that_start_at_once_need_no_quick_one(name: str) -> None:
    assert factory.find_quick_maker(EngineOptions(name)) is None
    assert not factory.is_built(resolve("fast"), 2, SIZE, EngineOptions(name))
    assert Recorder.made == []


def test_whether_an_engine_is_built_is_asked_of_the_engine() -> None:
    Recorder.kept = (SIZE,)
    options = EngineOptions("rtx")
    assert factory.is_built(resolve("fast"), 2, SIZE, options)
    assert not factory.is_built(resolve("fast"), 2, Size(66, 48), options)
    assert not factory.is_built(resolve("bicubic"), 2, SIZE, options)


def test_an_engine_that_cannot_say_so_is_not_built() -> None:
    assert not factory.is_built(resolve("fast"), 2, SIZE, EngineOptions("rtx"))


def test_only_engines_that_are_built_slowly_have_dynamic_shapes() -> None:
    assert [b.name for b in backends.ENGINES if b.dynamic_shapes] == ["rtx"]
    assert all(b.slow_build for b in backends.ENGINES if b.dynamic_shapes)
