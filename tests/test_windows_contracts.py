"""The Windows parts, held against what they must fit: our contracts, the libraries' signatures, Windows' headers.

They import everywhere, because what is foreign is imported or loaded when one of them is made; nothing here needs
Windows, and nothing here stands in for it. What the libraries and the headers say is in signatures.toml, which
tools/read_signatures.py writes.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import sys
import tomllib
from ctypes import wintypes
from pathlib import Path
from typing import Any

import pytest
from contract_check import ROOT, attributes_of, class_in, methods_of, parameters, problems

from live_sr import backends, config, win32
from live_sr.errors import MissingPart, UsageError
from live_sr.frame import Rect
from live_sr.overlay import desktop_win32, hotkeys_win32

FACTS = tomllib.loads((ROOT / "tests" / "signatures.toml").read_text("utf-8"))
TABLES = (
    ("FrameSource", backends.CAPTURE),
    ("Desktop", backends.DESKTOPS),
    ("Hotkeys", backends.HOTKEYS),
)
LEAVES = [(b.path, protocol) for protocol, table in TABLES for b in table if b.systems == ("win32",)]


@pytest.mark.parametrize(("path", "protocol"), LEAVES)
def test_a_windows_part_has_the_methods_and_parameters_of_its_contract(path: str, protocol: str) -> None:
    assert problems(path, protocol) == []


@pytest.mark.parametrize("path", [path for path, _ in LEAVES])
def test_a_windows_part_imports_everywhere(path: str) -> None:
    module, name = path.split(":")
    assert hasattr(importlib.import_module(module), name)


# What is used of the libraries is declared in the leaves as Protocols, which mypy holds the code to.
USED = [
    ("dxgi", "Camera", "dxcam", "DXCamera"),
    ("dxgi", "Duplicator", "dxcam", "DXGIDuplicator"),
    ("dxgi", "DxOutput", "dxcam", "Output"),
    ("dxgi", "Factory", "dxcam", "DXFactory"),
    ("wgc", "Arrived", "windows_capture", "Frame"),
    ("wgc", "Control", "windows_capture", "CaptureControl"),
]


@pytest.mark.parametrize(("leaf", "protocol", "library", "real"), USED)
def test_what_a_capture_uses_of_its_library_is_there(leaf: str, protocol: str, library: str, real: str) -> None:
    declared = class_in(ROOT / "live_sr" / "capture" / f"{leaf}.py", protocol)
    assert declared is not None
    methods = FACTS[library][real]["methods"]
    for name, method in methods_of(declared).items():
        if name in methods:
            assert [p.name for p in parameters(method)] == methods[name], name
        else:
            assert name in FACTS[library][real]["attributes"], name
    for name in attributes_of(declared):
        assert name in FACTS[library][real]["attributes"] or name in methods, name


CALLS = [
    ("dxgi", "dxcam.create", FACTS["dxcam"]["functions"]["create"]),
    ("dxgi", "self._camera.grab", FACTS["dxcam"]["DXCamera"]["methods"]["grab"]),
    ("wgc", "windows_capture.WindowsCapture", FACTS["windows_capture"]["WindowsCapture"]["methods"]["__init__"]),
    ("wgc", "capture.event", FACTS["windows_capture"]["WindowsCapture"]["methods"]["event"]),
    (
        "wgc",
        "capture.start_free_threaded",
        FACTS["windows_capture"]["WindowsCapture"]["methods"]["start_free_threaded"],
    ),
]


@pytest.mark.parametrize(("leaf", "function", "known"), CALLS)
def test_a_capture_calls_its_library_with_parameters_that_exist(leaf: str, function: str, known: list[str]) -> None:
    calls = [c for c in calls_in(ROOT / "live_sr" / "capture" / f"{leaf}.py") if ast.unparse(c.func) == function]
    assert calls
    for call in calls:
        assert len(call.args) <= len(known)
        assert {k.arg for k in call.keywords} <= set(known[len(call.args) :])


def test_the_library_knows_the_two_handlers_of_frames_by_their_names() -> None:
    """windows_capture.WindowsCapture.event looks at `__name__`; its own methods are called the same."""
    source = (ROOT / "live_sr" / "capture" / "wgc.py").read_text("utf-8")
    handlers = {n.name: n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)}
    assert len(handlers["on_frame_arrived"].args.args) == 2
    assert len(handlers["on_closed"].args.args) == 0
    assert {"on_frame_arrived", "on_closed"} <= set(FACTS["windows_capture"]["WindowsCapture"]["methods"])


def test_dxcams_list_of_outputs_is_where_it_is_looked_for() -> None:
    assert "__factory" in FACTS["dxcam"]["names"]


def test_the_wheels_read_are_those_that_are_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {d.split(";")[0].strip() for d in project["dependencies"]}
    assert "dxcam>=0.3,<0.4" in asked and FACTS["dxcam"]["version"].startswith("0.3.")
    assert "windows-capture>=2.0.1,<3" in asked and FACTS["windows_capture"]["version"].startswith("2.")


# Windows itself

C_TYPES: dict[str, Any] = {
    "WINBOOL": wintypes.BOOL,
    "BYTE": wintypes.BYTE,
    "COLORREF": wintypes.DWORD,
    "DWORD": wintypes.DWORD,
    "DWORD*": ctypes.POINTER(wintypes.DWORD),
    "HANDLE": wintypes.HANDLE,
    "HDC": wintypes.HDC,
    "HMONITOR": wintypes.HMONITOR,
    "HRESULT": ctypes.c_long,
    "HWND": wintypes.HWND,
    "LONG_PTR": wintypes.LPARAM,
    "LPARAM": wintypes.LPARAM,
    "LPDWORD": ctypes.POINTER(wintypes.DWORD),
    "LPWSTR": wintypes.LPWSTR,
    "MONITORENUMPROC": win32.ENUM_MONITORS,
    "NTSTATUS": ctypes.c_long,
    "PDWORD": ctypes.POINTER(wintypes.DWORD),
    "PROCESS_INFORMATION_CLASS": ctypes.c_int,
    "SHORT": ctypes.c_short,
    "UINT": wintypes.UINT,
    "WCHAR": wintypes.WCHAR,
    "WNDENUMPROC": win32.ENUM_WINDOWS,
    "int": ctypes.c_int,
    **dict.fromkeys(("LPCRECT", "LPMONITORINFO", "LPPOINT", "LPRECT", "LPVOID"), ctypes.c_void_p),
    **dict.fromkeys(("PRTL_OSVERSIONINFOW", "PVOID"), ctypes.c_void_p),
}
SIGNATURES = {name: signature for calls in win32.SIGNATURES.values() for name, signature in calls.items()}
WINDOWS_FILES = [
    ROOT / "live_sr" / "win32.py",
    ROOT / "live_sr" / "overlay" / "desktop_win32.py",
    ROOT / "live_sr" / "overlay" / "hotkeys_win32.py",
]


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_call_of_windows_is_declared_as_in_its_header(name: str) -> None:
    result, *arguments = FACTS["windows"]["functions"][name]
    assert SIGNATURES[name] == (C_TYPES[result], tuple(C_TYPES[a] for a in arguments))


def calls_in(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("file", WINDOWS_FILES, ids=lambda file: file.stem)
def test_every_call_of_windows_is_declared_and_has_that_many_arguments(file: Path) -> None:
    called = set()
    for call in calls_in(file):
        if not isinstance(call.func, ast.Attribute) or not starts_in_a_library(call.func.value):
            continue
        name = call.func.attr
        assert name in SIGNATURES, f"{name} has no types"
        starred = sum(3 for a in call.args if isinstance(a, ast.Starred))  # *rect is four arguments
        assert len(call.args) + starred == len(SIGNATURES[name][1]), name
        called.add(name)
    assert called


def starts_in_a_library(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text in ("user32", "self._user32", "kernel32") or "library(" in text.split(".")[-1]


CONSTANTS = [
    (module.__name__, name, value)
    for module in (win32, desktop_win32, hotkeys_win32)
    for name, value in vars(module).items()
    if name in FACTS["windows"]["constants"]
]


@pytest.mark.parametrize(("module", "name", "value"), CONSTANTS)
def test_a_constant_is_that_of_the_headers(module: str, name: str, value: int) -> None:
    assert value == FACTS["windows"]["constants"][name]


HEADER_NAMES = {
    "backspace": "VK_BACK",
    "enter": "VK_RETURN",
    "esc": "VK_ESCAPE",
    "page_down": "VK_NEXT",
    "page_up": "VK_PRIOR",
    "print_screen": "VK_SNAPSHOT",
    "scroll_lock": "VK_SCROLL",
}


@pytest.mark.parametrize("key", config.NAMED_KEYS)
def test_a_named_key_has_the_virtual_key_of_the_headers(key: str) -> None:
    constant = HEADER_NAMES.get(key, f"VK_{key.upper()}")
    assert hotkeys_win32.VIRTUAL_KEYS[key] == FACTS["windows"]["constants"][constant]


def test_modifiers_have_the_bits_of_the_headers() -> None:
    names = {"alt": "MOD_ALT", "ctrl": "MOD_CONTROL", "shift": "MOD_SHIFT", "super": "MOD_WIN"}
    assert set(names) == set(config.MODIFIERS)
    for word, constant in names.items():
        assert hotkeys_win32.MODIFIER_BITS[word] == FACTS["windows"]["constants"][constant]


def german_layout(character: str) -> int:
    """What VkKeyScanW says on a German keyboard."""
    return {"m": 0x4D, "ö": 0xC0, "?": 0x1DB, "@": 0x651}.get(character, -1)


@pytest.mark.parametrize(
    ("key", "modifiers", "virtual_key"),
    [
        ("ctrl+alt+m", 0x3, 0x4D),
        ("super+shift+f8", 0xC, 0x77),
        ("f24", 0x0, 0x87),
        ("ctrl+ö", 0x2, 0xC0),
        ("ctrl+?", 0x6, 0xDB),  # typed with shift there
        ("@", 0x3, 0x51),  # typed with AltGr there, which is ctrl and alt
    ],
)
def test_a_key_as_spelled_in_the_configuration_becomes_what_windows_registers(
    key: str, modifiers: int, virtual_key: int
) -> None:
    assert hotkeys_win32.register_arguments(key, german_layout) == (modifiers, virtual_key)


def test_a_key_that_the_keyboard_lacks_is_told_in_a_sentence() -> None:
    with pytest.raises(ValueError, match='no key of this keyboard\'s layout types "щ"'):
        hotkeys_win32.register_arguments("ctrl+щ", german_layout)


def test_the_filter_hears_hotkeys_and_lets_everything_else_pass() -> None:
    heard: list[int] = []
    listening = hotkeys_win32.HotkeyFilter(heard.append)
    message = wintypes.MSG()
    message.wParam = 7
    pointer = hotkeys_win32.voidptr(ctypes.addressof(message))
    for number, kind, taken in ((0x100, b"windows_generic_MSG", False), (0x312, b"xcb_generic_event_t", False)):
        message.message = number
        assert listening.nativeEventFilter(kind, pointer)[0] is taken
    message.message = 0x312
    assert listening.nativeEventFilter(b"windows_generic_MSG", pointer)[0] is True
    assert heard == [7]


@pytest.mark.skipif(sys.platform == "win32", reason="there it is")
@pytest.mark.parametrize(
    "make",
    [
        desktop_win32.Win32Desktop,
        hotkeys_win32.RegisteredHotkeys,
        lambda: backends.CAPTURE[1].load()(1234),
        lambda: backends.CAPTURE[0].load()(1234),
    ],
    ids=["desktop", "hotkeys", "wgc", "dxgi"],
)
def test_elsewhere_a_windows_part_says_that_it_is_one(make: Any) -> None:
    with pytest.raises(MissingPart) as told:
        make()
    assert "Windows only" in told.value.remedy


def test_a_source_wants_either_a_window_or_a_region() -> None:
    for arguments in ({}, {"window": 1, "region": Rect(0, 0, 8, 8)}):
        with pytest.raises(UsageError, match="either a window or a region"):
            backends.CAPTURE[0].load()(**arguments)


# The check of contracts itself


@pytest.mark.parametrize(
    ("path", "protocol", "problem"),
    [
        ("live_sr.capture.dxgi:DxgiSource", "Desktop", "DxgiSource has no method windows"),
        ("live_sr.capture.dxgi:Camera", "FrameSource", "Camera has no property size"),
        ("live_sr.capture.dxgi:Nobody", "FrameSource", "no class Nobody"),
        ("live_sr.capture.nowhere:Source", "FrameSource", "does not exist"),
    ],
)
def test_a_class_that_does_not_fit_is_told_apart(path: str, protocol: str, problem: str) -> None:
    assert any(problem in found for found in problems(path, protocol))
