"""Hotkeys over the desktop's portal, with a portal of the tests' on a real D-Bus."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_portal import FakePortal, PrivateBus
from patience import until

from live_sr.app.hotkey_merger import MERGE_S, HotkeyMerger
from live_sr.desktop.desktop_entry import APP_ID, install_desktop_entry, quote_for_exec
from live_sr.desktop.hotkeys_portal import PortalHotkeys
from live_sr.desktop.key_names import format_sway_bindings, format_trigger
from live_sr.pipeline.desktop_contracts import GrantedKeys
from live_sr.system.portal import Portal, PortalUnavailable

KEYS = {"hud": "ctrl+alt+h", "compare": "ctrl+alt+c", "divider_left": "ctrl+alt+,"}


class Heard:
    """Listens through the portal, and keeps what it hears."""

    def __init__(self) -> None:
        self.granted: list[GrantedKeys] = []
        self.events: list[str] = []
        self.hotkeys = PortalHotkeys(self.granted.append)
        self.problems: list[str] = []

    def bind(self, keys: dict[str, str]) -> None:
        self.problems = self.hotkeys.bind(
            keys, lambda action: self.events.append(f"{action}+"), lambda action: self.events.append(f"{action}-")
        )

    def wait_for_decision(self, number: int = 1) -> GrantedKeys:
        until(lambda: len(self.granted) >= number, "the portal's decision")
        return self.granted[number - 1]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    with PrivateBus(tmp_path) as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        yield bus


@pytest.fixture
def heard() -> Iterator[Heard]:
    before = set(threading.enumerate())
    heard = Heard()
    yield heard
    heard.hotkeys.close()
    assert not [one for one in threading.enumerate() if "hotkeys" in one.name and one not in before]


def test_keys_are_granted_and_heard(bus: PrivateBus, heard: Heard) -> None:
    with FakePortal(bus.address) as portal:
        heard.bind(KEYS)
        assert heard.wait_for_decision().keys == {
            "hud": "ctrl+alt+h",
            "compare": "ctrl+alt+c",
            "divider_left": "ctrl+alt+comma",
        }
        assert portal.methods[:2] == ["Register", "Get"], "what introduces the program must come first"
        assert portal.calls[0][1] == (APP_ID, {})
        assert portal.wanted["divider_left"] == "CTRL+ALT+comma"
        portal.press("compare")
        portal.press("hud")
        portal.release("hud")
        portal.release("compare")
        until(lambda: len(heard.events) == 4, "the keys are heard")
    assert heard.events == ["compare+", "hud+", "hud-", "compare-"]
    assert heard.problems == []


def test_the_keys_that_the_player_really_has_are_reported(bus: PrivateBus, heard: Heard) -> None:
    with FakePortal(bus.address, words=lambda action, _: {"hud": "Meta+H", "compare": ""}.get(action, "F9")) as portal:
        heard.bind(KEYS)
        assert heard.wait_for_decision() == GrantedKeys({"hud": "Meta+H", "divider_left": "F9"})
        portal.change_keys({"hud": "F7", "unknown": "F8"})
        assert heard.wait_for_decision(2) == GrantedKeys({"hud": "F7"})


def test_a_key_that_is_none_is_a_sentence_and_the_others_work(bus: PrivateBus, heard: Heard) -> None:
    with FakePortal(bus.address):
        heard.bind({"hud": "ctrl+alt+h", "pause": "ctrl+alt+h", "quit": ""})
        assert heard.problems == ["hotkey pause = ctrl+alt+h: hud has these keys already."]
        assert list(heard.wait_for_decision().keys) == ["hud"]


@pytest.mark.parametrize(
    ("portal", "problem"),
    [
        ({"answer": 1}, "you said no"),
        ({"answer": 2}, "the desktop's portal ended BindShortcuts"),
        ({"has_shortcuts": False}, "this desktop gives no program hotkeys over its portal"),
        ({"has_sessions": False}, "the desktop's portal gives an odd answer: KeyError: 'session_handle'"),
    ],
)
def test_what_cannot_be_had_is_a_clause(bus: PrivateBus, heard: Heard, portal: dict[str, int], problem: str) -> None:
    with FakePortal(bus.address, **portal):  # type: ignore[arg-type]
        heard.bind(KEYS)
        assert heard.wait_for_decision() == GrantedKeys(problem=problem)


def test_a_desktop_without_a_portal_is_a_clause(bus: PrivateBus, heard: Heard) -> None:
    heard.bind(KEYS)
    assert heard.wait_for_decision() == GrantedKeys(problem="this desktop gives no program hotkeys over its portal")


def test_no_bus_is_a_clause(heard: Heard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    heard.bind(KEYS)
    assert "the session's D-Bus does not answer" in heard.wait_for_decision().problem
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PortalUnavailable, match="neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR"):
        Portal()


def test_while_the_player_is_asked_nothing_waits_and_the_question_goes_with_the_program(
    bus: PrivateBus, heard: Heard
) -> None:
    with FakePortal(bus.address, answer=None) as portal:
        heard.bind(KEYS)
        until(lambda: "BindShortcuts" in portal.methods, "the question")
        heard.hotkeys.close()
        until(lambda: portal.methods[-1] == "Close", "the question is taken back")
    assert heard.granted == []


def test_a_portal_that_comes_back_is_asked_again(bus: PrivateBus, heard: Heard) -> None:
    with FakePortal(bus.address):
        heard.bind(KEYS)
        heard.wait_for_decision()
    with FakePortal(bus.address) as portal:
        heard.wait_for_decision(2)
        portal.press("hud")
        until(lambda: heard.events == ["hud+"], "the key is heard again")


def test_keys_that_the_desktop_takes_back_are_told(bus: PrivateBus, heard: Heard) -> None:
    with FakePortal(bus.address) as portal:
        heard.bind(KEYS)
        heard.wait_for_decision()
        portal.end_session()
        assert heard.wait_for_decision(2) == GrantedKeys(problem="the desktop has taken the hotkeys back")


def test_the_desktop_knows_the_program_by_a_file_whose_command_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    install_desktop_entry()
    file = tmp_path / "applications" / f"{APP_ID}.desktop"
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    assert lines["Exec"].split() == [sys.executable, "-m", "live_sr", "run"]
    written = file.stat().st_mtime_ns
    install_desktop_entry()
    assert file.stat().st_mtime_ns == written, "what is right already is not written again"


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("/my games/python", '"/my games/python"'),
        ("/100%/python", "/100%%/python"),
        ('/a"b/python', '"/a\\\\"b/python"'),
        ("/a$b/python", '"/a\\\\$b/python"'),
    ],
)
def test_the_command_is_quoted_as_the_specification_wants(word: str, quoted: str) -> None:
    assert quote_for_exec(word) == quoted


@pytest.mark.parametrize(
    ("key", "trigger"),
    [
        ("ctrl+alt+h", "CTRL+ALT+h"),
        ("alt+ctrl+,", "CTRL+ALT+comma"),
        ("super+shift+f8", "SHIFT+LOGO+F8"),
        ("print_screen", "Print"),
        ("ctrl+é", "CTRL+U00E9"),
    ],
)
def test_keys_are_written_as_the_portal_wants(key: str, trigger: str) -> None:
    assert format_trigger(key) == trigger


def test_lines_for_sway_press_and_release() -> None:
    assert format_sway_bindings({"hud": "ctrl+alt+h", "compare": "super+."}, "live-sr") == [
        "bindsym --no-repeat Ctrl+Mod1+h exec live-sr ctl hud",
        "bindsym --no-repeat Mod4+period exec live-sr ctl compare",
        "bindsym --release Mod4+period exec live-sr ctl compare --release",
    ]


@pytest.mark.parametrize(
    ("events", "carried_out"),
    [
        ("0 x+ 0.01 p+ 0.1 x- 0.01 p-", "hud+ hud-"),
        ("0 p+ 0.01 x+ 0.1 x- 0.01 p-", "hud+ hud-"),
        ("0 x+ 0.05 x- 0.2 p+ 0.01 p-", "hud+ hud-"),
        ("0 x+ 0 x- 0.3 x+ 0 x- 0.1 p+ 0 p- 0.1 p+ 0 p-", "hud+ hud- hud+ hud-"),
        ("0 x+ 0.1 x- 5 p+ 0.1 p-", "hud+ hud- hud+ hud-"),
        ("0 x+ 0.1 p+ 30 p- 0 x-", "hud+ hud-"),
    ],
)
def test_a_key_that_is_heard_in_two_ways_counts_once(events: str, carried_out: str) -> None:
    out: list[str] = []
    now = [100.0]
    one = HotkeyMerger(lambda a: out.append(f"{a}+"), lambda a: out.append(f"{a}-"), lambda: now[0])
    for event in events.split():
        if event[0] in "xp":
            (one.press if event[1] == "+" else one.release)(event[0], "hud")
        else:
            now[0] += float(event)
    assert " ".join(out) == carried_out
    assert MERGE_S > 0.5


def test_the_light_commands_do_without_jeepney() -> None:
    script = "import sys, live_sr.cli, live_sr.desktop.open; print('jeepney' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
