"""`live-sr engines`: what it lists, builds ahead and clears away."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cache_harness import ENGINE, KEY

from live_sr import __version__
from live_sr.cli import main
from live_sr.engines.cache.key import EngineKey, find_installed
from live_sr.engines.cache.prune import list_blobs
from live_sr.engines.cache.signature import get_secret_path
from live_sr.engines.cache.store import EngineCache
from live_sr.errors import LiveSRError, MissingPart, UsageError
from live_sr.manage import engine_cache
from live_sr.manage.engine_cache import BuildOptions
from live_sr.models.resolve import resolve
from live_sr.nvidia import nvml
from live_sr.nvidia.nvml import GpuReadings, GpuState
from live_sr.pipeline.frame import Size

ROOT = Path(__file__).parents[2]
SMALL = Size(48, 32)
CARD = GpuState("NVIDIA GeForce RTX 4060", driver="580.95.05", cuda="13.0", capability="8.9")
NONE = GpuReadings((), "NVIDIA's driver is not installed")

# An engine for this machine, if it had that card
USABLE = replace(
    KEY,
    gpu=CARD.name,
    driver=CARD.driver,
    versions=(("live-sr", __version__), ("lib in use", "1"), *find_installed(["numpy"])),
)

PORTABLE = replace(USABLE, gpu="", driver="")  # for every GPU of its compute capability


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.toml whose engines go into a folder of the test's, as does the secret."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    path = tmp_path / "config.toml"
    path.write_text(f"[engine]\ncache = '{tmp_path / 'engines'}'\nbackend = 'openvino'\nprecision = 'fp32'\n")
    return path


@pytest.fixture
def store(tmp_path: Path, settings: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines", get_secret_path())


def on(machine: GpuReadings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "read_gpus", lambda: machine)


def test_an_empty_folder_is_told(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine_cache.list_engines(settings) == 0
    assert "there is no compiled engine in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "machine", "told"),
    [
        (USABLE, GpuReadings((CARD,)), "yes"),
        (USABLE, GpuReadings((GpuState("another"), CARD)), "yes"),
        (replace(USABLE, driver="CUDA 13.0"), GpuReadings((CARD,)), "yes"),
        (PORTABLE, GpuReadings((CARD,)), "yes"),
        (PORTABLE, GpuReadings((replace(CARD, capability="8.6"),)), "no: for GPUs of compute capability 8.9"),
        (USABLE, NONE, "no: NVIDIA's driver is not installed"),
        (USABLE, GpuReadings((GpuState("another"),)), "no: for another GPU"),
        (replace(USABLE, driver="1.2"), GpuReadings((CARD,)), "no: the driver is 580.95.05 now, not 1.2"),
        (replace(USABLE, versions=(("numpy", "0.1"),)), GpuReadings((CARD,)), "now, not 0.1"),
        (
            replace(USABLE, versions=(("live-sr", "0.0"),)),
            GpuReadings((CARD,)),
            f"no: live-sr is {__version__} now, not 0.0",
        ),
        (
            replace(USABLE, versions=(("no-such-thing", "1"),)),
            GpuReadings((CARD,)),
            "no: no-such-thing is not installed",
        ),
    ],
)
def test_the_list_tells_what_can_be_used_here_or_why_not(
    key: EngineKey,
    machine: GpuReadings,
    told: str,
    settings: Path,
    store: EngineCache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on(machine, monkeypatch)
    store.keep(key, ENGINE * 100, 34.5)
    engine_cache.list_engines(settings)
    head, row = capsys.readouterr().out.splitlines()
    assert row.endswith(told)
    assert row[head.index("usable here") :].startswith(("yes", "no: "))
    for cell in ("fast", "x2", "480x270", "fp16", "tensorrt", key.gpu or "any 8.9", "0.5"):
        assert cell in row


@pytest.mark.parametrize(
    ("what", "written", "told"),
    [
        ("shorter", ENGINE, f"no: it has {len(ENGINE)} bytes, not {2 * len(ENGINE)}"),
        ("one byte different", ENGINE + b"!" + ENGINE[1:], "no: it was changed or damaged"),
    ],
)
def test_the_list_tells_which_engine_is_damaged(
    what: str,
    written: bytes,
    told: str,
    settings: Path,
    store: EngineCache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on(GpuReadings((CARD,)), monkeypatch)
    store.keep(USABLE, ENGINE * 2, 34.5)
    store.list_engines()[0].path.write_bytes(written)
    for folder in (None, store.folder):
        engine_cache.list_engines(settings, folder)
        assert capsys.readouterr().out.splitlines()[1].endswith(told), what


def test_the_list_tells_which_engine_another_user_built(
    settings: Path, store: EngineCache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(GpuReadings((CARD,)), monkeypatch)
    store.keep(USABLE, ENGINE, 34.5)
    get_secret_path().unlink()
    engine_cache.list_engines(settings)
    assert "no: you did not build it here" in capsys.readouterr().out
    engine_cache.list_engines(settings, store.folder)
    assert capsys.readouterr().out.splitlines()[1].endswith("yes"), "a folder to import from is foreign"


def test_the_list_counts_what_openvino_keeps_there(
    settings: Path, store: EngineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    store.folder.mkdir()
    (store.folder / "1.blob").write_bytes(b"x" * 300_000)
    (store.folder / "2.blob").write_bytes(b"x" * 200_000)
    engine_cache.list_engines(settings)
    assert "and 2 graphs compiled by OpenVINO, 0.5 MB" in capsys.readouterr().out
    (store.folder / "1.blob").unlink()
    engine_cache.list_engines(settings)
    assert "and 1 graph compiled by OpenVINO, 0.2 MB" in capsys.readouterr().out


def test_build_makes_an_engine_for_every_size(
    settings: Path, store: EngineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine_cache.build_engines(BuildOptions(("turbo",), 2, (SMALL, Size(64, 32))), settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(", after")[0] for line in lines] == [
        "turbo x2, openvino fp32 is ready for 48x32",
        "turbo x2, openvino fp32 is ready for 64x32",
    ]
    assert len(list_blobs(store.folder)) == 2


def test_without_sizes_those_in_use_before_are_built_for(
    settings: Path, store: EngineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (64, 48, 64):
        store.keep(replace(KEY, width=width, height=32, driver=str(width)), ENGINE, 1)
    engine_cache.build_engines(BuildOptions(("turbo",), 2), settings)
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
    assert engine_cache.build_engines(BuildOptions(sizes=(SMALL,), all_profiles=True), settings) == 0
    told = [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "turbo x2",
        *(f"turbo x{scale}" for scale in resolve("turbo").scales[1:]),
        "fast-pixel x2",
    ]


def test_one_that_cannot_be_built_is_told_and_the_others_are_built(
    settings: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    broken = f"[[profile]]\nmatch = 'a'\n[profile.model]\nname = '{tmp_path / 'bad.onnx'}'\n"
    after = "[[profile]]\nmatch = 'b'\n[profile.model]\nname = 'fast'\n"
    settings.write_text(settings.read_text() + "[model]\nname = 'turbo'\n" + broken + after)
    assert engine_cache.build_engines(BuildOptions(sizes=(SMALL,), all_profiles=True), settings) == 7
    told = capsys.readouterr()
    assert [line.partition(",")[0] for line in told.out.splitlines()] == ["turbo x2", "fast x2"]
    assert "bad.onnx" in told.err


def test_an_unknown_model_is_told_once(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine_cache.build_engines(BuildOptions(("turboo",), 2), settings) == 7
    assert capsys.readouterr().err.count('Did you mean "turbo"?') == 1


@pytest.mark.parametrize(
    ("order", "error", "sentence"),
    [
        (BuildOptions(("bicubic",), 2), UsageError, "filters need no engine"),
        (BuildOptions(("turbo",), all_profiles=True), UsageError, "--all-profiles"),
        (BuildOptions(("turbo",), 2, engine="tensorflow"), MissingPart, "tensorflow"),
    ],
)
def test_an_order_that_cannot_be_met_is_refused(
    order: BuildOptions, error: type[LiveSRError], sentence: str, settings: Path
) -> None:
    with pytest.raises(error, match=sentence):
        engine_cache.build_engines(replace(order, sizes=(SMALL,)), settings)


def test_prune_removes_what_this_machine_cannot_use_and_tells(
    settings: Path, store: EngineCache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(GpuReadings((CARD,)), monkeypatch)
    old, foreign = replace(USABLE, versions=(("numpy", "0.1"),)), replace(USABLE, gpu="another")
    for key in (USABLE, old, foreign):
        store.keep(key, ENGINE, 1)
    assert engine_cache.prune_engines(settings, everything=False) == 0
    assert [entry.manifest.key for entry in store.list_engines()] == [USABLE]
    told = capsys.readouterr().out
    assert f"removed {old.file_name}" in told
    assert ": for another GPU" in told
    assert "2 files of 0.0 MB removed" in told


def test_prune_judges_no_card_where_none_can_be_asked(
    settings: Path, store: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(NONE, monkeypatch)
    store.keep(USABLE, ENGINE, 1)
    engine_cache.prune_engines(settings, everything=False)
    assert store.find(USABLE) == ENGINE


@pytest.mark.parametrize(
    "rule", [{"everything": True}, {"days": 1, "everything": False}, {"megabytes": 0, "everything": False}]
)
def test_prune_takes_openvinos_graphs_too(rule: dict[str, bool | float], settings: Path, store: EngineCache) -> None:
    store.keep(USABLE, ENGINE, 1)
    (store.folder / "1.blob").write_bytes(b"x")
    for path in store.folder.iterdir():
        os.utime(path, (0, 0))
    engine_cache.prune_engines(settings, **rule)  # type: ignore[arg-type]
    assert list(store.folder.iterdir()) == []


def test_the_module_starts_light() -> None:
    heavy = ("torch", "openvino", "PyQt6", "cv2", "pynvml")
    code = f"import sys, live_sr.manage.engine_cache; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("flags", [["--days", "-1"], ["--mb", "-1"], ["--days", "nan"], ["--mb", "many"]])
def test_an_amount_that_is_none_deletes_nothing(
    flags: list[str], settings: Path, store: EngineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    store.keep(USABLE, ENGINE, 1)
    with pytest.raises(SystemExit) as ended:
        main(["engines", "prune", *flags, "--config", str(settings)])
    assert ended.value.code == 2 and "is not an amount" in capsys.readouterr().err
    assert len(store.list_engines()) == 1
