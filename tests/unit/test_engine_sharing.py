"""`live-sr engines build --for` and `live-sr engines import`: engines that are compiled for somebody else's card."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cache_harness import ENGINE, KEY

from live_sr.cli import main
from live_sr.engines.cache.signature import get_secret_path
from live_sr.engines.cache.store import EngineCache, get_manifest_path
from live_sr.manage import engine_sharing
from live_sr.manage.engine_sharing import CompileOptions, compile_engines, import_engines
from live_sr.pipeline.frame import Size

SMALL = Size(64, 48)
PORTABLE = replace(KEY, engine="rtx", gpu="", driver="")

# Compiles as the real process does, but only a text
BUILDER = (
    sys.executable,
    "-c",
    """
import sys
from live_sr.engines.cache import build_worker
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec
from live_sr.errors import EngineError

def make(spec, say):
    if spec.capability == "12.0":
        raise EngineError("TensorRT-RTX could not compile it: no kernel", "use another model")
    return f"{spec.model} x{spec.scale} {spec.width}x{spec.height} {spec.precision} {spec.capability}".encode()

sys.exit(build_worker.run_worker(RtxBuildSpec, make))
""",
)

needs_compiler = pytest.mark.needs("tensorrt_rtx_bindings", "tensorrt_rtx_libs", "onnx")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    path = tmp_path / "config.toml"
    path.write_text(f"[engine]\ncache = '{tmp_path / 'engines'}'\n")
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.backends.is_installed", lambda module: True)


def contents(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.glob("*.engine")}


def test_one_engine_for_each_model_scale_size_and_capability(
    settings: Path, installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = CompileOptions(("7.5", "8.6"), (SMALL, None), ("turbo", "fast"), folder=tmp_path / "out")
    assert compile_engines(options, settings, BUILDER) == 0
    assert contents(tmp_path / "out") == {
        f"{model} x{scale} {size} fp16 {capability}"
        for model in ("turbo", "fast")
        for scale in (2, 4)
        for size in ("64x48", "1920x1080")
        for capability in ("7.5", "8.6")
    }
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16
    assert lines[0].startswith("turbo x2 for 64x48, fp16, compute capability 7.5: 0.00 MB, ")
    assert lines[2].startswith("turbo x2 for every size up to 1920x1080, fp16, compute capability 7.5: ")


def test_what_cannot_be_compiled_is_told_and_the_rest_goes_on(
    settings: Path, installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = CompileOptions(("12.0", "8.9"), (SMALL,), ("turboo", "turbo", "bicubic"), 2, folder=tmp_path / "out")
    assert compile_engines(options, settings, BUILDER) != 0
    assert contents(tmp_path / "out") == {"turbo x2 64x48 fp16 8.9"}
    told = capsys.readouterr().err
    for words in ("turboo", "no kernel", "bicubic is not run by TensorRT-RTX"):
        assert words in told


def test_a_precision_that_one_of_the_cards_lacks_is_told_for_that_one(
    settings: Path, installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = CompileOptions(("7.5", "8.9"), (SMALL,), ("turbo",), 2, "int8", tmp_path / "out")
    assert compile_engines(options, settings, BUILDER) != 0
    assert contents(tmp_path / "out") == {"turbo x2 64x48 int8 8.9"}
    assert "int8 needs a GPU of compute capability 8.0 or newer" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_once(
    settings: Path, installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    words = ["engines", "build", "--for", "sm75,sm86", "--size", "64x48", "-o", str(tmp_path / "file" / "out")]
    assert main([*words, "--config", str(settings)]) == 2
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_without_the_compiler_it_says_what_to_install(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("live_sr.backends.is_installed", lambda module: module != "tensorrt_rtx_bindings")
    assert main(["engines", "build", "--for", "sm86", "--size", "64x48", "--config", str(settings)]) == 8
    told = capsys.readouterr().err
    assert "compiling needs tensorrt_rtx_bindings, which is not installed" in told and "live-sr[rtx]" in told


@needs_compiler
def test_the_command_compiles_for_a_card_that_is_not_here(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "for a friend"
    words = ["engines", "build", "--for", "sm75,sm86", "--size", "64x48,80x60", "--models", "turbo", "--scale", "2"]
    assert main([*words, "--dynamic", "-o", str(out), "--config", str(settings)]) == 0
    engines = sorted(out.glob("*.engine"))
    assert {path.suffix for path in out.iterdir()} == {".engine", ".toml"}, "nothing else is left there"
    assert len(engines) == 6 and all(engine.stat().st_size > 10_000 for engine in engines)
    capsys.readouterr()
    assert main(["engines", "list", str(out), "--config", str(settings)]) == 0
    table = capsys.readouterr().out
    assert table.count("any 7.5") == table.count("any 8.6") == 3
    assert table.count("64x64 to 1920x1080") == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--for", "sm90"], "does not compile for sm90"),
        (["--for", "sm86", "--all-profiles"], "--for compiles with the engine rtx"),
        (["--for", "sm86", "--engine", "tensorrt"], "--for compiles with the engine rtx"),
        (["-o", "here"], "only go with --for"),
        (["--dynamic"], "only go with --for"),
    ],
)
def test_flags_that_do_not_go_together_are_told(
    flags: list[str], words: str, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["engines", "build", *flags, "--config", str(settings)])
    except SystemExit as ended:  # how argparse ends
        code = int(ended.code or 0)
    assert code == 2 and words in capsys.readouterr().err


# Taking them in


def test_engines_of_somebody_else_are_taken_in_only_if_they_are_trusted(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = EngineCache(tmp_path / "theirs", tmp_path / "their secret")
    theirs.keep(PORTABLE, ENGINE, 1)
    ours = EngineCache(tmp_path / "engines", get_secret_path())
    assert import_engines(theirs.folder, settings, trust=False) != 0
    told = capsys.readouterr().err
    assert "compiled by somebody else" in told and "--trust" in told and ours.find(PORTABLE) is None
    assert import_engines(theirs.folder, settings, trust=True) == 0
    assert ours.find(PORTABLE) == ENGINE
    assert len(list(theirs.folder.glob("*.engine"))) == 1, "they stay where they are"


def test_our_own_need_no_trust(settings: Path, tmp_path: Path) -> None:
    EngineCache(tmp_path / "out", get_secret_path()).keep(PORTABLE, ENGINE, 1)
    assert main(["engines", "import", str(tmp_path / "out"), "--config", str(settings)]) == 0
    assert EngineCache(tmp_path / "engines", get_secret_path()).find(PORTABLE) == ENGINE


def test_damaged_engines_and_those_of_one_card_are_refused_and_the_rest_is_taken(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = EngineCache(tmp_path / "theirs", tmp_path / "their secret")
    for number, key in enumerate((PORTABLE, replace(PORTABLE, width=640), KEY)):
        theirs.keep(key, ENGINE * (number + 1), 1)
    (theirs.folder / PORTABLE.file_name).write_bytes(ENGINE[:-1])
    assert import_engines(theirs.folder, settings, trust=True) != 0
    told = capsys.readouterr().err
    assert f"{PORTABLE.file_name} is damaged" in told
    assert f"{KEY.file_name} is only for the GPU and driver that it was built with" in told
    assert [entry.manifest.key for entry in EngineCache(tmp_path / "engines", get_secret_path()).list_engines()] == [
        replace(PORTABLE, width=640)
    ]


def test_a_manifest_that_was_changed_does_not_count_as_ours(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = EngineCache(tmp_path / "out", get_secret_path())
    out.keep(PORTABLE, ENGINE, 1)
    manifest = get_manifest_path(out.folder / PORTABLE.file_name)
    manifest.write_text(manifest.read_text().replace('capability = "8.9"', 'capability = "8.6"'))
    assert import_engines(out.folder, settings, trust=False) != 0
    assert "compiled by somebody else" in capsys.readouterr().err


def test_what_is_there_already_is_not_compiled_again(
    settings: Path, installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = CompileOptions(("8.9",), (SMALL,), ("turbo",), 2, folder=tmp_path / "out")
    for words in (" s, turbo", "was there already"):
        assert compile_engines(options, settings, BUILDER) == 0
        assert words in capsys.readouterr().out


def test_a_list_of_a_folder_that_is_not_there_is_told(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "list", str(tmp_path / "nowhere"), "--config", str(settings)]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_folder_without_engines_is_told(settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "import", str(tmp_path / "nowhere"), "--config", str(settings)]) == 2
    assert "there is no compiled engine in" in capsys.readouterr().err


def test_an_engine_of_impossible_size_is_not_read(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    EngineCache(tmp_path / "out", get_secret_path()).keep(PORTABLE, ENGINE, 1)
    monkeypatch.setattr(engine_sharing, "LARGEST_BYTES", len(ENGINE) - 1)
    assert import_engines(tmp_path / "out", settings, trust=True) != 0
    assert "too large for an engine" in capsys.readouterr().err
