"""`live-sr doctor`: tells what is here, whatever is missing, and ends with 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from graphics_card import CARD
from screens import Screen

from live_sr import backends, cli
from live_sr.backends import Backend
from live_sr.errors import MissingPart
from live_sr.manage import doctor
from live_sr.manage.doctor import DoctorFinding, DoctorReport
from live_sr.nvidia import nvml
from live_sr.nvidia.nvml import GpuReadings
from live_sr.system import hardware
from live_sr.system.platform import get_platform

ROOT = Path(__file__).parents[2]

TABLES = {
    "capture": backends.CAPTURE,
    "engine": backends.ENGINES,
    "desktop": backends.DESKTOPS,
    "hotkeys": backends.HOTKEYS,
    "pointer": backends.POINTERS,
}


ELSEWHERE = "x11" if get_platform() == "win32" else "dxgi"  # a capture of the other system


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def findings(report: DoctorReport, title: str) -> dict[str, DoctorFinding]:
    return {f.name: f for section in report.sections if section.title == title for f in section.findings}


def test_without_a_screen_it_ends_with_0_and_prints_no_traceback() -> None:
    absent = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in absent}
    done = subprocess.run(
        [sys.executable, "-m", "live_sr", "doctor"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "XDG_RUNTIME_DIR" not in done.stderr  # libwayland's words, through the drivers for Vulkan
    assert "no screen: DISPLAY is not set" in done.stdout


@pytest.mark.parametrize("role", TABLES)
@pytest.mark.usefixtures("headless")
def test_every_back_end_is_named_with_what_can_be_said_of_it(role: str) -> None:
    report = doctor.collect_report(None)
    told = findings(report, role)
    for backend in TABLES[role]:
        assert told[backend.name].says.startswith(("usable", "not usable: ", "installed, but not usable now: "))
        obstacle = backend.unavailable_reason()
        assert obstacle in told[backend.name].says
        assert told[backend.name].good or not told[backend.name].says.startswith("usable")


@pytest.mark.parametrize("role", TABLES)
@pytest.mark.usefixtures("headless")
def test_the_choice_it_prints_is_the_one_the_program_makes(role: str) -> None:
    report = doctor.collect_report(None)
    _, choice = backends.choose(role, TABLES[role])
    printed = doctor.format_report(report).splitlines()
    assert f"  {choice.summary}" in printed
    for name, reason in choice.passed_over:  # each once, in the row of that backend
        (row,) = [line for line in printed if line.split()[1:2] == [name] and line.split()[0] in "!-"]
        assert row.endswith(reason.splitlines()[0])


def test_json_holds_the_same_as_the_text(headless: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(as_json=True, config=None) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert doctor.run(as_json=False, config=None) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert parsed["schema"] == 1
    assert {"capture", "engine", "desktop", "hotkeys", "models", "settings"} <= {s["title"] for s in parsed["sections"]}
    for section in parsed["sections"]:
        for finding in section["findings"]:
            assert f"{finding['name']} {' '.join(finding['says'].split())}" in told
        if section["choice"]:
            assert section["choice"]["chosen"] in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[model]\nname = "fast"\nscael = 2\n', 'Did you mean "scale"'),
        ("[model\n", "is not valid TOML"),
        ("[hud]\nseconds = 0.1\n[capture]\nbackend = 5\n", "capture.backend"),
    ],
)
def test_wrong_settings_are_a_line_and_the_rest_is_told_all_the_same(
    text: str, words: str, headless: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert doctor.run(as_json=False, config=path) == 0
    told = capsys.readouterr().out
    assert words in told
    assert "the defaults" in told
    assert "the best that runs here" in told


@pytest.mark.parametrize(
    ("settings", "section", "name", "words"),
    [
        ('[model]\nname = "fasst"\n', "models", "used", 'Did you mean "fast"'),
        ('[model]\nname = "fast"\nscale = 3\n', "models", "in use", "scale 3 of 2"),
        (f'[capture]\nbackend = "{ELSEWHERE}"\n', "capture", ELSEWHERE, "it is for "),
    ],
)
@pytest.mark.usefixtures("headless")
def test_settings_that_will_not_work_here_are_told_before_they_are_used(
    settings: str, section: str, name: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(settings)
    finding = findings(doctor.collect_report(path), section)[name]
    assert words in finding.says + finding.remedy
    assert not finding.good


def test_a_cache_folder_that_cannot_be_made_is_told(headless: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "config.toml"
    for folder, good in (("new/engines", True), ("file/engines", False)):
        path.write_text(f"[engine]\ncache = '{tmp_path / folder}'\n")
        assert findings(doctor.collect_report(path), "settings")["cache"].good is good


@pytest.mark.usefixtures("headless")
def test_the_shipped_models_are_listed_with_their_scores() -> None:
    told = findings(doctor.collect_report(None), "models")
    assert "scale 2" in told["fast x2"].says
    assert "parameters" in told["fast x2"].says
    assert "PSNR-Y openarena" in told["fast x2"].says


@pytest.mark.usefixtures("headless")
def test_it_says_which_precision_auto_becomes() -> None:
    told = findings(doctor.collect_report(None), "engine")["precision"].says
    assert 'precision = "auto" becomes' in told
    assert told.split()[-1] in ("bf16", "fp32")


def test_a_missing_library_is_told_with_how_to_get_it(headless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Backend("keys", "no.such:Thing", needs=("no_such_module",), install="pip install keys")
    monkeypatch.setattr(backends, "HOTKEYS", (absent,))
    report = doctor.collect_report(None)
    told = findings(report, "hotkeys")
    assert "no_such_module is not installed" in told["keys"].says
    assert told["keys"].remedy == "pip install keys"
    assert "hotkeys: none, nothing that runs here" in doctor.format_report(report)


def test_installing_is_no_remedy_where_nothing_is_missing(headless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a session of X11, pipewire lacks a session of Wayland."""
    lacks = f"{__name__}:describe_another_lack"
    monkeypatch.setattr(
        backends, "CAPTURE", (Backend("pipewire", "no.such:Thing", needs=("json",), install="pip", check=lacks),)
    )
    told = findings(doctor.collect_report(None), "capture")["pipewire"]
    assert (told.says, told.remedy) == (f"not usable: {describe_another_lack()}", "")


def describe_another_lack() -> str:
    return "it is for Wayland sessions"


def test_a_library_that_does_not_load_is_told_with_the_loader_s_words(
    headless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Backend("broken", "live_sr.no_such_leaf:Thing")
    monkeypatch.setattr(backends, "CAPTURE", (broken,))
    told = findings(doctor.collect_report(None), "capture")["broken"]
    assert not told.good
    assert "no_such_leaf" in told.says


RTX = replace(
    CARD,
    load=0,
    clock_mhz=210,
    used_bytes=1 << 30,
    celsius=38,
    watts=11.6,
    state=8,
    held_back=("at rest",),
)
WITH_TORCH = {"torch": "2.13.0", "TensorRT": "11.0.0"}


def graphics(
    monkeypatch: pytest.MonkeyPatch, adapters: list[str], read: GpuReadings, runtimes: dict[str, str] | None = None
) -> str:
    """What doctor prints under graphics with such adapters and such an answer of NVIDIA's driver."""
    monkeypatch.setattr(hardware, "list_linux_adapters", lambda: adapters)
    monkeypatch.setattr(nvml, "read_gpus", lambda: read)
    monkeypatch.setattr(hardware, "find_nvidia_runtimes", lambda: WITH_TORCH if runtimes is None else runtimes)
    told = doctor.format_report(doctor.collect_report(None))
    return told[told.index("\ngraphics\n") + 1 : told.index("\nscreen\n")].rstrip()


@pytest.mark.skipif(get_platform() == "win32", reason="there, a graphics card is taken for granted")
def test_whether_there_is_a_graphics_card_is_found_out_without_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines ask at every size of the window."""
    monkeypatch.setattr(hardware.shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a program was started"))
    assert hardware.describe_missing_adapter(tmp_path) == "no graphics card was found"
    device = tmp_path / "0000:03:00.0"
    device.mkdir()
    (tmp_path / "card1").mkdir()
    (tmp_path / "card1" / "device").symlink_to(device)
    assert hardware.describe_missing_adapter(tmp_path) == ""


@pytest.mark.usefixtures("headless")
def test_on_nvidia_the_card_and_what_could_run_on_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert graphics(monkeypatch, ["NVIDIA AD104 (nvidia)"], GpuReadings((RTX,))).splitlines() == [
        "graphics",
        "    adapter         NVIDIA AD104 (nvidia)",
        "    NVIDIA          NVIDIA GeForce RTX 4070, 1.0 of 12.0 GB, compute capability 8.9",
        "    driver          610.12, serves CUDA up to 13.1",
        "    GPU now         load 0 %, 210 of 2520 MHz, 38 °C, 12 of 200 W",
        "    power state     P8 of P0 (fastest) to P15, not faster: at rest",
        "    runtimes        torch 2.13.0, TensorRT 11.0.0",
    ]


@pytest.mark.usefixtures("headless")
def test_without_nvidia_nothing_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = GpuReadings((), "NVIDIA's driver is not installed")
    assert graphics(monkeypatch, ["Intel UHD (i915)"], nothing).splitlines() == [
        "graphics",
        "    adapter         Intel UHD (i915)",
    ]


@pytest.mark.parametrize(
    ("read", "runtimes", "words"),
    [
        (GpuReadings((), "NVIDIA's driver is not installed"), None, ("! NVIDIA", "-> install NVIDIA's driver for it")),
        (
            GpuReadings((), "NVIDIA's driver is not running", "start the computer again"),
            None,
            ("-> start the computer",),
        ),
        (GpuReadings((RTX,)), {}, ("! runtimes", "installed: nothing", 'live-sr[tensorrt]"')),
        (GpuReadings((RTX,)), {"torch": "2.13.0+cpu"}, ("! runtimes", "none for the GPU; installed: torch 2.13.0+cpu")),
        (
            GpuReadings((replace(RTX, held_back=("too hot",), celsius=95),)),
            None,
            ("! slow            the GPU is too hot at 95 °C and slows down", "-> free its fans of dust"),
        ),
        (
            GpuReadings((replace(RTX, load=50),)),
            None,
            ("! slow            the GPU runs at 210 of 2520 MHz", "-> set its power mode to maximum performance"),
        ),
    ],
)
@pytest.mark.usefixtures("headless")
def test_what_is_amiss_with_an_nvidia_card_has_a_remedy(
    read: GpuReadings, runtimes: dict[str, str] | None, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = graphics(monkeypatch, ["NVIDIA AD104 (nouveau)"], read, runtimes)
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("engine", "runtime"),
    [("tensorrt", "TensorRT 11.0.0"), ("cuda", "torch 2.13.0"), ("rtx", "TensorRT-RTX"), ("openvino", "")],
)
def test_the_runtime_of_an_engine_is_named_with_its_version(
    engine: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "find_nvidia_runtimes", lambda: WITH_TORCH)
    assert hardware.describe_nvidia_runtime(engine) == runtime


def test_the_runtime_of_the_tensorrt_engine_is_the_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "find_nvidia_runtimes", lambda: {"torch": "2.14.1", "TensorRT-RTX": "1.6.1.120"})
    assert hardware.describe_nvidia_runtime("tensorrt") == "TensorRT-RTX 1.6.1.120"
    monkeypatch.setattr(hardware, "find_nvidia_runtimes", lambda: {"TensorRT-RTX": "1.7.1", "TensorRT": "11.0.0"})
    assert hardware.describe_nvidia_runtime("tensorrt") == "TensorRT 11.0.0"
    monkeypatch.setattr(hardware, "find_nvidia_runtimes", dict)
    assert hardware.describe_nvidia_runtime("tensorrt") == "TensorRT"


@pytest.mark.parametrize(
    "failure", [MissingPart("Qt is not here", "get it"), OSError(2, "no such thing"), ImportError("no"), RuntimeError()]
)
def test_a_look_that_fails_is_a_line_and_takes_nothing_else_with_it(failure: Exception) -> None:
    def look() -> list[DoctorFinding]:
        raise failure

    (found,) = doctor.run_probe("thing", look)
    assert found.name == "thing"
    assert not found.good
    assert found.says


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WAYLAND_DISPLAY": "wayland-0"}, "Wayland without X: live-sr's own window needs XWayland"),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":987"}, "Wayland with XWayland: games on X11 or XWayland"),
        ({"DISPLAY": ":987"}, 'no X server answers at ":987"'),
    ],
)
def test_every_kind_of_session_has_its_sentence(
    environment: dict[str, str], words: str, headless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert words in doctor.format_report(doctor.collect_report(None))


def test_with_a_screen_its_monitor_and_what_serves_it_are_told(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert str(screen.size) in told
    assert "capture: x11" in told
    report = doctor.collect_report(None)
    assert findings(report, "capture")["x11"].says == "usable"
    assert findings(report, "desktop")["x11"].says == "usable"
