"""The doctor tells what is here and what is amiss, and never fails itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from screens import Screen

from live_sr import backends, doctor, hardware
from live_sr.doctor import Finding, Report


@pytest.fixture
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def told(report: Report, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.name == name)


def test_without_a_screen_it_says_so_and_looks_at_everything_else(
    no_screen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(as_json=False, config=None) == 0
    said = capsys.readouterr().out
    assert "! session" in said
    assert "there is no screen" in said
    for text in ("processor", "precisions", "fast x2", "engine: openvino, the best that runs here"):
        assert text in said


def test_every_backend_is_named_with_what_speaks_for_or_against_it(no_screen: None) -> None:
    report = doctor.collect()
    for (name, table), role in zip(doctor.TABLES, report.roles, strict=True):
        passed_over = dict(role.choice.passed_over)
        assert role.choice.role == name
        assert {role.choice.chosen, *role.also, *passed_over} - {""} == {backend.name for backend in table}
        assert all(passed_over.values())


def test_a_backend_that_is_installed_and_does_not_load_is_told(no_screen: None) -> None:
    table = (backends.Backend("gone", "live_sr.no_such_part:Nothing", get="install it"),)
    assert "! gone cannot be used: No module named" in str(doctor._role("capture", table))


def test_a_table_of_which_nothing_runs_here_gives_every_reason(no_screen: None) -> None:
    table = (
        backends.Backend("elsewhere", "x:X", systems=("win32" if backends.system() == "linux" else "linux",)),
        backends.Backend("missing", "x:X", needs=("no_such_module",), get="pip install it"),
    )
    said = str(doctor._role("capture", table)).splitlines()
    assert said[0] == "capture: none, nothing that runs here"
    assert said[1].startswith("  not elsewhere: it is for ")
    assert said[2] == "  not missing: no_such_module is not installed (pip install it)"


def test_as_json_it_is_one_object_with_the_same_findings(no_screen: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(as_json=True, config=None) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == 1
    assert {"session", "processor", "settings"} <= {finding["name"] for finding in data["findings"]}
    assert [role["choice"]["role"] for role in data["roles"]] == ["capture", "engine", "desktop", "hotkeys"]


@pytest.mark.parametrize(
    ("display", "wayland", "ok", "words"),
    [
        (":0", "", True, "X11"),
        (":0", "wayland-0", True, "native Wayland games do not"),
        ("", "wayland-0", False, "this is Wayland without X"),
        ("", "", False, "there is no screen"),
    ],
)
def test_the_session_is_told_with_what_works_in_it(
    display: str, wayland: str, ok: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", wayland)
    found = doctor._probed("session", doctor._session)
    assert found.ok is ok
    assert words in found.text


def test_a_screen_that_does_not_answer_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9898")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    report = doctor.collect()
    assert 'X server answers at ":9898"' in told(report, "monitors").text
    assert not told(report, "windows").ok
    assert told(report, "windows").remedy


def test_on_a_real_screen_it_names_the_monitor_and_who_draws(screen: Screen) -> None:
    report = doctor.collect()
    assert "1280x720" in told(report, "monitors").text
    assert told(report, "windows").text.startswith("Qt opens; ")
    assert told(report, "HUD").text == "can be read"


def test_every_mistake_in_the_settings_is_told(no_screen: None, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[model]\nscale = 5\n[hud]\nlevle = 'off'\n")
    found = told(doctor.collect(path), "settings")
    assert not found.ok
    assert "model.scale" in found.text
    assert "hud.levle" in found.text


def test_a_folder_for_compiled_networks_that_cannot_be_written_is_told(no_screen: None, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    path = tmp_path / "config.toml"
    for folder, ok in ((tmp_path / "new" / "engines", True), (tmp_path / "a_file" / "engines", False)):
        path.write_text(f"[engine]\ncache = '{folder}'\n")
        assert told(doctor.collect(path), "compiled").ok is ok


def test_a_probe_that_breaks_is_one_line_among_the_others() -> None:
    def broken() -> str:
        raise PermissionError(13, "Permission denied")

    found = doctor._probed("adapters", broken)
    assert (found.ok, found.text) == (
        False,
        "could not be found out: PermissionError: [Errno 13] Permission denied",
    )


def test_it_asks_nothing_of_qt_where_there_is_no_screen(no_screen: None) -> None:
    code = "import sys; from live_sr import doctor; doctor.collect(); print('PyQt6' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "name", "features"),
    [
        (
            "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 fma avx512f avx512_bf16\n\nprocessor\t: 1\n",
            "Some CPU",
            ["AVX2", "FMA", "AVX-512", "AVX-512 BF16"],
        ),
        ("processor\t: 0\nFeatures\t: fp asimd asimdhp bf16 i8mm\n", None, ["NEON", "FP16", "BF16", "INT8 matrices"]),
        ("", None, []),
    ],
)
def test_a_processor_is_known_by_what_linux_tells_of_it(
    text: str, name: str | None, features: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert hardware.processor_features(path) == features
    assert hardware.processor_name(path) == name if name else hardware.processor_name(path)


def test_a_system_that_tells_nothing_of_its_processor_is_no_failure(tmp_path: Path) -> None:
    assert hardware.processor_features(tmp_path / "nothing") == []
    assert hardware.processor_name(tmp_path / "nothing")


def test_adapters_are_found_by_their_kernel_drivers(tmp_path: Path) -> None:
    driver = tmp_path / "drivers" / "amdgpu"
    driver.mkdir(parents=True)
    for card, vendor, model, driven in (("card0", "0x1002", "0x73df", True), ("card1", "0x10de", "0x2684", False)):
        device = tmp_path / "drm" / card / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "device").write_text(model + "\n")
        if driven:
            (device / "driver").symlink_to(driver)
    (tmp_path / "drm" / "card0-HDMI-A-1").mkdir()
    assert hardware.linux_adapters(tmp_path / "drm") == ["AMD 0x73df (amdgpu)", "NVIDIA 0x2684 (no driver)"]
    assert hardware.linux_adapters(tmp_path / "nothing") == []
