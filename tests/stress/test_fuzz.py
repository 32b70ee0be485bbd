"""Whatever is wrong with a file of settings or of a model, what reads it says so in an error that live-sr names."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from live_sr.system import toml
from tools.fuzz import run as fuzz
from tools.fuzz.mutations import LARGEST, mutate
from tools.fuzz.run import TARGETS, FuzzFinding, FuzzRun, FuzzTarget

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


def test_broken_files_are_refused_by_all_readers() -> None:
    """A small part of what `tools/fuzz/run.py --seconds 600` does."""
    run = FuzzRun(tuple(reader.name for reader in TARGETS), seed=5, cases=3000)
    assert list(run.findings()) == []
    assert run.counts.total() == 3000
    assert set(run.counts) == {reader.name for reader in TARGETS}


@pytest.mark.parametrize("reader", TARGETS, ids=lambda reader: reader.name)
def test_what_it_begins_with_is_valid(reader: FuzzTarget, tmp_path: Path) -> None:
    for path in reader.make(tmp_path):
        reader.read(path)


def test_the_same_seed_breaks_a_file_in_the_same_way() -> None:
    data = b'name = "fast"\nscale = 2\n' * 3
    broken = [mutate(data, Random(f"1 {n}")) for n in range(200)]
    assert broken == [mutate(data, Random(f"1 {n}")) for n in range(200)]
    assert len(set(broken)) > 150
    assert max(map(len, broken)) <= LARGEST


def test_a_reader_that_does_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(path: Path) -> object:
        raise KeyError("scale")

    reader = FuzzTarget("config", wrong, fuzz.specimens.make_config)
    told = fuzz.run_case(fuzz.CaseFolder((reader,), tmp_path, 1), 0)
    assert told.startswith("KeyError at test_fuzz.py:")
    assert FuzzFinding("config", 0, told).what == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 5000, "too deep"),
        ("a = " + "{a=" * 5000, "too deep"),
        ("a." * 5000 + "a = 1", "too deep"),
        ("a = " + "9" * 5000, "too large"),
        ("a = 0x" + "f" * 5000, "too large"),
        ("a = [[1], {b = 9223372036854775808}]", "too large"),
        ("a = -9223372036854775809", "too large"),
        ("a = ", "Invalid value"),
    ],
)
def test_toml_that_python_chokes_on_is_a_mistake_in_a_file(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        toml.parse(text)


def test_other_toml_is_read_as_ever() -> None:
    text = 'a = 9223372036854775807\nb = -9223372036854775808\n[c.d]\ne = [{f = 1.5}, {f = inf}]\ng = "ж"\n'
    table = toml.parse(text)
    assert table["a"] == 2**63 - 1 and table["b"] == -(2**63)
    assert table["c"]["d"] == {"e": [{"f": 1.5}, {"f": float("inf")}], "g": "ж"}
