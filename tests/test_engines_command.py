"""`live-sr engines`: what it lists, builds ahead and clears away."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_compiled_store import ENGINE, KEY

from live_sr import __version__, engines, nvml
from live_sr.compiled.key import Key, installed
from live_sr.compiled.prune import graphs
from live_sr.compiled.seal import own_secret
from live_sr.compiled.store import Store
from live_sr.engines import Order
from live_sr.errors import LiveSRError, MissingPart, UsageError
from live_sr.frame import Size
from live_sr.nvml import Gpu, Readings

ROOT = Path(__file__).parent.parent
SMALL = Size(48, 32)
CARD = Gpu("NVIDIA GeForce RTX 4060", driver="580.95.05", cuda="13.0", capability="8.9")
NONE = Readings((), "NVIDIA's driver is not installed")

# An engine for this machine, if it had that card
USABLE = replace(
    KEY,
    gpu=CARD.name,
    driver=CARD.driver,
    versions=(("live-sr", __version__), ("lib in use", "1"), *installed(["numpy"])),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.toml whose engines go into a folder of the test's, as does the secret."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    path = tmp_path / "config.toml"
    path.write_text(f"[engine]\ncache = '{tmp_path / 'engines'}'\nbackend = 'openvino'\nprecision = 'fp32'\n")
    return path


@pytest.fixture
def store(tmp_path: Path, settings: Path) -> Store:
    return Store(tmp_path / "engines", own_secret())


def on(machine: Readings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "readings", lambda: machine)


def test_an_empty_folder_is_told(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engines.show_list(settings) == 0
    assert "there is no compiled engine in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "machine", "told"),
    [
        (USABLE, Readings((CARD,)), "yes"),
        (USABLE, Readings((Gpu("another"), CARD)), "yes"),
        (replace(USABLE, driver="CUDA 13.0"), Readings((CARD,)), "yes"),
        (USABLE, NONE, "no: NVIDIA's driver is not installed"),
        (USABLE, Readings((Gpu("another"),)), "no: for another card"),
        (replace(USABLE, driver="1.2"), Readings((CARD,)), "no: the driver is 580.95.05 now, not 1.2"),
        (replace(USABLE, versions=(("numpy", "0.1"),)), Readings((CARD,)), "now, not 0.1"),
        (
            replace(USABLE, versions=(("live-sr", "0.0"),)),
            Readings((CARD,)),
            f"no: live-sr is {__version__} now, not 0.0",
        ),
        (replace(USABLE, versions=(("no-such-thing", "1"),)), Readings((CARD,)), "no: no-such-thing is not installed"),
    ],
)
def test_the_list_tells_what_can_be_used_here_or_why_not(
    key: Key,
    machine: Readings,
    told: str,
    settings: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on(machine, monkeypatch)
    store.keep(key, ENGINE * 100, 34.5)
    engines.show_list(settings)
    head, row = capsys.readouterr().out.splitlines()
    assert row.endswith(told)
    assert row[head.index("usable here") :].startswith(("yes", "no: "))
    for cell in ("fast", "x2", "480x270", "fp16", "tensorrt", CARD.name, "0.5"):
        assert cell in row


def test_the_list_counts_what_openvino_keeps_there(
    settings: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.folder.mkdir()
    (store.folder / "1.blob").write_bytes(b"x" * 300_000)
    (store.folder / "2.blob").write_bytes(b"x" * 200_000)
    engines.show_list(settings)
    assert "and 2 graphs compiled by OpenVINO, 0.5 MB" in capsys.readouterr().out


def test_build_makes_an_engine_for_every_size(settings: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert engines.build(Order("turbo", 2, (SMALL, Size(64, 32))), settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(", after")[0] for line in lines] == [
        "turbo x2, openvino fp32 is ready for 48x32",
        "turbo x2, openvino fp32 is ready for 64x32",
    ]
    assert len(graphs(store.folder)) == 2


def test_without_sizes_those_in_use_before_are_built_for(
    settings: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (64, 48, 64):
        store.keep(replace(KEY, width=width, height=32, driver=str(width)), ENGINE, 1)
    engines.build(Order("turbo", 2), settings)
    assert [line.partition(", after")[0][-5:] for line in capsys.readouterr().out.splitlines()] == ["48x32", "64x32"]


def test_all_profiles_are_all_the_models_and_scales_they_name_each_once(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = [
        ("doom", "[profile.model]\nscale = 'fit'"),
        ("quake", "[profile.model]\nname = 'fast-pixel'"),
        ("chess", "[profile.model]\nname = 'bicubic'"),
        ("tux", "[profile.hud]\nlevel = 'off'"),
    ]
    text = "".join(f"[[profile]]\nmatch = '{match}'\n{what}\n" for match, what in profiles)
    settings.write_text(settings.read_text() + "[model]\nname = 'turbo'\nscale = 2\n" + text)
    assert engines.build(Order(sizes=(SMALL,), all_profiles=True), settings) == 0
    told = [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == ["turbo x2", *(f"turbo x{scale}" for scale in engines.assembly.scales("turbo")[1:]), "fast-pixel x2"]


def test_one_that_cannot_be_built_is_told_and_the_others_are_built(
    settings: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    broken = f"[[profile]]\nmatch = 'a'\n[profile.model]\nname = '{tmp_path / 'bad.onnx'}'\n"
    after = "[[profile]]\nmatch = 'b'\n[profile.model]\nname = 'fast'\n"
    settings.write_text(settings.read_text() + "[model]\nname = 'turbo'\n" + broken + after)
    assert engines.build(Order(sizes=(SMALL,), all_profiles=True), settings) == 7
    told = capsys.readouterr()
    assert [line.partition(",")[0] for line in told.out.splitlines()] == ["turbo x2", "fast x2"]
    assert "bad.onnx" in told.err


def test_an_unknown_model_is_told_once(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engines.build(Order("turboo", 2), settings) == 7
    assert capsys.readouterr().err.count('Did you mean "turbo"?') == 1


@pytest.mark.parametrize(
    ("order", "error", "sentence"),
    [
        (Order("bicubic", 2), UsageError, "filters need no engine"),
        (Order("turbo", all_profiles=True), UsageError, "--all-profiles"),
        (Order("turbo", 2, engine="tensorflow"), MissingPart, "tensorflow"),
    ],
)
def test_an_order_that_cannot_be_met_is_refused(
    order: Order, error: type[LiveSRError], sentence: str, settings: Path
) -> None:
    with pytest.raises(error, match=sentence):
        engines.build(replace(order, sizes=(SMALL,)), settings)


def test_prune_removes_what_this_machine_cannot_use_and_tells(
    settings: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(Readings((CARD,)), monkeypatch)
    old, foreign = replace(USABLE, versions=(("numpy", "0.1"),)), replace(USABLE, gpu="another")
    for key in (USABLE, old, foreign):
        store.keep(key, ENGINE, 1)
    assert engines.prune(settings, everything=False) == 0
    assert [entry.label.key for entry in store.entries()] == [USABLE]
    told = capsys.readouterr().out
    assert f"removed {old.file_name}" in told
    assert ": for another card" in told
    assert "2 files of 0.0 MB removed" in told


def test_prune_judges_no_card_where_none_can_be_asked(
    settings: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(NONE, monkeypatch)
    store.keep(USABLE, ENGINE, 1)
    engines.prune(settings, everything=False)
    assert store.find(USABLE) == ENGINE


@pytest.mark.parametrize(
    "rule", [{"everything": True}, {"days": 1, "everything": False}, {"megabytes": 0, "everything": False}]
)
def test_prune_takes_openvinos_graphs_too(rule: dict[str, bool | float], settings: Path, store: Store) -> None:
    store.keep(USABLE, ENGINE, 1)
    (store.folder / "1.blob").write_bytes(b"x")
    for path in store.folder.iterdir():
        os.utime(path, (0, 0))
    engines.prune(settings, **rule)  # type: ignore[arg-type]
    assert list(store.folder.iterdir()) == []


def test_the_module_starts_light() -> None:
    heavy = ("torch", "openvino", "PyQt6", "cv2", "pynvml")
    code = f"import sys, live_sr.engines; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
