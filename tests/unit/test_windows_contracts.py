"""Compares the Windows parts with our contracts, with the libraries' signatures and with Windows' headers.

The parts can be imported on every system, because they load foreign libraries only when they are opened. So these tests
need neither Windows nor a fake of it. tools/signatures/read.py writes the signatures of the libraries and headers to
signatures.toml.
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
from contract_check import ROOT, attributes_of, class_in, find_problems, methods_of, parameters

from live_sr import backends, config
from live_sr.capture import wasapi_interfaces
from live_sr.desktop import cursor_win32, hotkeys_win32, pointer_guard_win32, pointer_win32, windows
from live_sr.errors import MissingPart, UsageError
from live_sr.pipeline.frame import Rect
from live_sr.system import win32
from live_sr.system.com import Interface

FACTS = tomllib.loads((ROOT / "tests" / "signatures.toml").read_text("utf-8"))
TABLES = (
    ("FrameSource", backends.CAPTURE),
    ("Desktop", backends.DESKTOPS),
    ("Hotkeys", backends.HOTKEYS),
    ("Pointer", backends.POINTERS),
    ("SoundSource", backends.SOUNDS),
)
LEAVES = [(b.path, protocol) for protocol, table in TABLES for b in table if b.systems == ("win32",)]


@pytest.mark.parametrize(("path", "protocol"), LEAVES)
def test_a_windows_part_has_the_methods_and_parameters_of_its_contract(path: str, protocol: str) -> None:
    assert find_problems(path, protocol) == []


@pytest.mark.parametrize("path", [path for path, _ in LEAVES])
def test_a_windows_part_imports_everywhere(path: str) -> None:
    module, name = path.split(":")
    assert hasattr(importlib.import_module(module), name)


# What is used of the libraries is declared in the leaves as Protocols, which mypy holds the code to.
USED = [
    ("dxgi", "DxCamera", "dxcam", "DXCamera"),
    ("dxgi", "DxDuplicator", "dxcam", "DXGIDuplicator"),
    ("dxgi", "DxOutput", "dxcam", "Output"),
    ("dxgi", "DxFactory", "dxcam", "DXFactory"),
    ("wgc", "WgcFrame", "windows_capture", "Frame"),
    ("wgc", "WgcControl", "windows_capture", "CaptureControl"),
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


def test_dxcam_keeps_its_outputs_where_the_capture_reads_them() -> None:
    assert "__factory" in FACTS["dxcam"]["names"]


def test_the_signatures_are_of_the_versions_that_are_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = {d.split(";")[0].strip() for d in project["dependencies"]}
    assert "dxcam>=0.3,<0.4" in required and FACTS["dxcam"]["version"].startswith("0.3.")
    assert "windows-capture>=2.0.1,<3" in required and FACTS["windows_capture"]["version"].startswith("2.")


# Windows itself

C_TYPES: dict[str, Any] = {
    "WINBOOL": wintypes.BOOL,
    "BYTE": wintypes.BYTE,
    "COLORREF": wintypes.DWORD,
    "DWORD": wintypes.DWORD,
    "DWORD*": ctypes.POINTER(wintypes.DWORD),
    "HANDLE": wintypes.HANDLE,
    "HBITMAP": wintypes.HBITMAP,
    "HDC": wintypes.HDC,
    "DPI_AWARENESS_CONTEXT": wintypes.HANDLE,
    "HGDIOBJ": wintypes.HGDIOBJ,
    "HICON": wintypes.HICON,
    "HRGN": wintypes.HRGN,
    "HMONITOR": wintypes.HMONITOR,
    "HRESULT": ctypes.c_long,
    "HKL": wintypes.HKL,
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
    "BYTE*": ctypes.c_void_p,
    **dict.fromkeys(("LPCRECT", "LPMONITORINFO", "LPPOINT", "LPRECT", "LPVOID"), ctypes.c_void_p),
    **dict.fromkeys(("PRTL_OSVERSIONINFOW", "PVOID", "RECT*"), ctypes.c_void_p),
    **dict.fromkeys(("LPBITMAPINFO", "PCURSORINFO", "PICONINFO"), ctypes.c_void_p),
    **dict.fromkeys(("REFCLSID", "REFIID", "LPCGUID", "LPUNKNOWN", "LPVOID*"), ctypes.c_void_p),
    **dict.fromkeys(("EDataFlow", "ERole", "AUDCLNT_SHAREMODE"), ctypes.c_int),
    "REFERENCE_TIME": ctypes.c_longlong,
    "UINT32": ctypes.c_uint32,
    "UINT32*": ctypes.POINTER(ctypes.c_uint32),
    "UINT64*": ctypes.POINTER(ctypes.c_uint64),
    "void": None,
    **dict.fromkeys(("IMMDeviceCollection**", "IMMDevice**", "IPropertyStore**", "void**"), ctypes.c_void_p),
    **dict.fromkeys(("PROPVARIANT*", "LPWSTR*", "WAVEFORMATEX*", "WAVEFORMATEX**"), ctypes.c_void_p),
    **dict.fromkeys(("REFERENCE_TIME*", "BYTE**"), ctypes.c_void_p),
}
SIGNATURES = {name: signature for calls in win32.SIGNATURES.values() for name, signature in calls.items()}
WINDOWS_FILES = [
    ROOT / "live_sr" / "system" / "win32.py",
    ROOT / "live_sr" / "desktop" / "windows.py",
    ROOT / "live_sr" / "desktop" / "hotkeys_win32.py",
    ROOT / "live_sr" / "desktop" / "pointer_win32.py",
    ROOT / "live_sr" / "desktop" / "pointer_guard_win32.py",
    ROOT / "live_sr" / "desktop" / "cursor_win32.py",
    ROOT / "live_sr" / "capture" / "sound_wasapi.py",
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
    libraries = ("user32", "self._user32", "kernel32", "dwmapi", "gdi32", "magnification", "self._ole32")
    return text in libraries or "load_library(" in text.split(".")[-1]


CONSTANTS = [
    (module.__name__, name, value)
    for module in (win32, windows, hotkeys_win32, pointer_win32, pointer_guard_win32, cursor_win32, wasapi_interfaces)
    for name, value in vars(module).items()
    if name in FACTS["windows"]["constants"]
]


@pytest.mark.parametrize(("module", "name", "value"), CONSTANTS)
def test_a_constant_is_that_of_the_headers(module: str, name: str, value: int) -> None:
    assert value == FACTS["windows"]["constants"][name]


INTERFACES = {
    "IMMDeviceEnumerator": wasapi_interfaces.ENUMERATOR,
    "IMMDevice": wasapi_interfaces.DEVICE,
    "IAudioClient": wasapi_interfaces.AUDIO_CLIENT,
    "IAudioCaptureClient": wasapi_interfaces.CAPTURE_CLIENT,
}


@pytest.mark.parametrize(("name", "interface"), INTERFACES.items())
def test_an_interface_has_the_methods_of_its_header_in_their_order(name: str, interface: Interface) -> None:
    facts = dict(FACTS["windows"]["interfaces"][name])
    first, second, third, *last = facts.pop("iid")
    assert interface.iid.fields == (first, second, third, last[0], last[1], int.from_bytes(bytes(last[2:]), "big"))
    declared = [(method, tuple(types)) for method, types in interface.methods]
    real = list(facts.items())[: len(declared)]
    assert declared == [(method, tuple(C_TYPES[a] for a in types)) for method, types in real]


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
        ("alt+shift+q", 0x5, 0x51),  # letters and digits have virtual keys of their own
        ("ctrl+1", 0x2, 0x31),
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
    assert hotkeys_win32.make_register_arguments(key, german_layout) == (modifiers, virtual_key)


def test_a_key_that_the_keyboard_lacks_gives_a_sentence() -> None:
    with pytest.raises(ValueError, match='no key of this keyboard layout types "щ"'):
        hotkeys_win32.make_register_arguments("ctrl+щ", german_layout)


def test_the_filter_takes_hotkeys_and_lets_everything_else_pass() -> None:
    received: list[int] = []
    filtering = hotkeys_win32.HotkeyFilter(received.append)
    message = wintypes.MSG()
    message.wParam = 7
    pointer = hotkeys_win32.voidptr(ctypes.addressof(message))
    for number, kind, taken in ((0x100, b"windows_generic_MSG", False), (0x312, b"xcb_generic_event_t", False)):
        message.message = number
        assert filtering.nativeEventFilter(kind, pointer)[0] is taken
    message.message = 0x312
    assert filtering.nativeEventFilter(b"windows_generic_MSG", pointer)[0] is True
    assert received == [7]


@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
@pytest.mark.parametrize(
    "make",
    [
        windows.Win32Desktop,
        hotkeys_win32.RegisteredHotkeys,
        lambda: backends.CAPTURE[1].load()(1234),
        lambda: backends.CAPTURE[0].load()(1234),
        lambda: backends.SOUNDS[0].load()(lambda: 0),
    ],
    ids=["desktop", "hotkeys", "wgc", "dxgi", "wasapi"],
)
def test_elsewhere_a_windows_part_says_that_it_needs_windows(make: Any) -> None:
    with pytest.raises(MissingPart) as error:
        make()
    assert "Windows only" in error.value.remedy


def test_a_source_wants_either_a_window_or_a_region() -> None:
    for arguments in ({}, {"window": 1, "region": Rect(0, 0, 8, 8)}):
        with pytest.raises(UsageError, match="either a window or a region"):
            backends.CAPTURE[0].load()(**arguments)


# The check of contracts itself


@pytest.mark.parametrize(
    ("path", "protocol", "problem"),
    [
        ("live_sr.capture.dxgi:DxgiSource", "Desktop", "DxgiSource has no method list_windows"),
        ("live_sr.capture.dxgi:DxCamera", "FrameSource", "DxCamera has no property size"),
        ("live_sr.capture.dxgi:Nobody", "FrameSource", "no class Nobody"),
        ("live_sr.capture.nowhere:Source", "FrameSource", "does not exist"),
    ],
)
def test_a_class_that_does_not_fit_its_contract_is_reported(path: str, protocol: str, problem: str) -> None:
    assert any(problem in found for found in find_problems(path, protocol))
