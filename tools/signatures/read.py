"""Read the signatures of the libraries that cannot run everywhere, and write them down for the tests.

    python -m tools.signatures.read                         Windows' two capture libraries: tests/signatures.toml
    python -m tools.signatures.read --headers FOLDER        and the calls of Windows, from its headers
    python -m tools.signatures.read --nvidia                what the NVIDIA path uses: tests/signatures_nvidia.toml

It downloads wheels and installs nothing; the tests read the written files and need no network. FOLDER is where
mingw-w64's headers are, for example /usr/share/mingw-w64/include of Debian's package mingw-w64-common. Without it what
the file says of them stays. How the NVIDIA libraries are read: tools/signatures/nvidia.py.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from tools.signatures import nvidia as nvidia_signatures

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "signatures.toml"
NVIDIA = ROOT / "tests" / "signatures_nvidia.toml"

# wheel: (what pip is asked for, module name, {module file: classes of it})
WHEELS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "dxcam": (
        "dxcam>=0.3,<0.4",
        {
            "dxcam/__init__.py": ("DXFactory",),
            "dxcam/dxcam.py": ("DXCamera",),
            "dxcam/core/output.py": ("Output",),
            "dxcam/core/dxgi_duplicator.py": ("DXGIDuplicator",),
        },
    ),
    "windows_capture": (
        "windows-capture>=2.0.1,<3",
        {"windows_capture/__init__.py": ("WindowsCapture", "CaptureControl", "Frame")},
    ),
}
HEADERS = (
    "wingdi.h",
    "windef.h",
    "winuser.h",
    "dwmapi.h",
    "winbase.h",
    "processthreadsapi.h",
    "handleapi.h",
    "winnt.h",
    "ddk/ntddk.h",
)
# mingw-w64's magnification.h lacks the functions, and its combaseapi.h hides the types of its own behind macros. These
# are of Microsoft's documentation of the two headers.
DOCUMENTED = {
    "CoCreateInstance": ["HRESULT", "REFCLSID", "LPUNKNOWN", "DWORD", "REFIID", "LPVOID*"],
    "CoInitializeEx": ["HRESULT", "LPVOID", "DWORD"],
    "CoTaskMemFree": ["void", "LPVOID"],
    "CoUninitialize": ["void"],
    "MagInitialize": ["WINBOOL"],
    "MagShowSystemCursor": ["WINBOOL", "WINBOOL"],
    "MagUninitialize": ["WINBOOL"],
}
INTERFACES = {
    "mmdeviceapi.h": ("IMMDeviceEnumerator", "IMMDevice"),
    "audioclient.h": ("IAudioClient", "IAudioCaptureClient"),
}
SOUND_CONSTANTS = re.compile(r"(?:#define )?(AUDCLNT_(?:STREAMFLAGS|BUFFERFLAGS)_\w+) =? ?(0x[0-9a-fA-F]+)")
CONSTANTS = re.compile(
    r"#define ((?:VK|MOD|WDA|SWP|LWA|GWL|GW_|WS_EX|WM_HOTKEY|PROCESS_QUERY|PROCESS_POWER|MONITORINFOF|DPI_AWARENESS"
    r"|SPI_[GS]ETMOUSE|SM_C?[XY]VIRTUAL|CURSOR_SHOW|CREATE_N|RGN|DIB_RGB)_?\w*)"
    r" +(?:__MSABI_LONG)?\(*(?:\w+\))?(-?\w+)\)*\s"
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write tests/signatures.toml, or tests/signatures_nvidia.toml.")
    parser.add_argument("--headers", type=Path, metavar="FOLDER", help="mingw-w64's header files")
    parser.add_argument("--nvidia", action="store_true", help="of the NVIDIA path's libraries")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.nvidia:
            return write(NVIDIA, nvidia_signatures.read_signatures(Path(folder)))
        parts = [read_wheel(name, *WHEELS[name], Path(folder)) for name in WHEELS]
    parts.append(read_headers(options.headers) if options.headers else read_kept_headers())
    return write(OUT, parts)


def write(path: Path, parts: list[str]) -> int:
    path.write_text("# Written by tools/signatures/read.py: change nothing here.\n\n" + "\n".join(parts), "utf-8")
    print(f"{path.relative_to(ROOT)} written")
    return 0


def read_wheel(name: str, wanted: str, files: dict[str, tuple[str, ...]], folder: Path) -> str:
    """One library's part of the file, from its wheel for Windows."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--platform=win_amd64", "--python-version=3.12", f"--dest={folder}", wanted], check=True)
    wheel = next(folder.glob(f"{name}-*.whl"))
    lines = [f"[{name}]", f'version = "{wheel.name.split("-")[1]}"', f"read = {datetime.date.today()}"]
    tables: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        for file, classes in files.items():
            tree = ast.parse(archive.read(file))
            if file.endswith("__init__.py"):
                lines.append(f"names = {list_names(tree)}")
                tables += [f"\n[{name}.functions]", *describe_functions(tree)]
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name in classes:
                    tables += [f"\n[{name}.{node.name}]", f"attributes = {list_attributes(node)}"]
                    tables += [f"\n[{name}.{node.name}.methods]", *describe_functions(node)]
    return "\n".join([*lines, *tables, ""]).replace("'", '"')


def list_names(tree: ast.Module) -> list[str]:
    """What a module defines at its top by assignment."""
    return sorted(
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def describe_functions(node: ast.Module | ast.ClassDef) -> list[str]:
    """One line a function: its parameters without self, in their order. Overloads are passed over."""
    found = {}
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and not is_property(child):
            parameters = [a.arg for a in [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]]
            found[child.name] = [p for p in parameters if p != "self"]
    return [f"{name} = {parameters}" for name, parameters in sorted(found.items())]


def list_attributes(node: ast.ClassDef) -> list[str]:
    """Properties, and what is assigned in the class or to self."""
    found = {child.name for child in node.body if isinstance(child, ast.FunctionDef) and is_property(child)}
    for child in ast.walk(node):
        targets = child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and child in node.body:
                found.add(target.id)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                found.add(target.attr)
    return sorted(found)


def is_property(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)


def read_headers(folder: Path) -> str:
    """The calls that live_sr.system.win32 declares (result, then arguments), and the constants of the same families."""
    from live_sr.system.win32 import SIGNATURES

    text = "\n".join((folder / header).read_text("utf-8", "replace") for header in HEADERS)
    lines = ["[windows]", 'source = "the headers of mingw-w64"', f"read = {datetime.date.today()}"]
    lines.append("\n[windows.functions]")
    for name in sorted(call for calls in SIGNATURES.values() for call in calls):
        if name in DOCUMENTED:
            lines.append(f"{name} = {DOCUMENTED[name]}")
            continue
        found = re.search(rf"(\w+)\s+(?:WINAPI|NTAPI)\s+{name}\s*\(([^)]*)\)", text)
        if found is None:
            raise SystemExit(f"{name} is not in the headers under {folder}")
        arguments = [] if found[2].strip() == "VOID" else [parse_argument_type(a) for a in found[2].split(",")]
        lines.append(f"{name} = {[found[1], *arguments]}")
    lines.append("\n[windows.constants]")
    values = {name: value for name, value in CONSTANTS.findall(text) if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", value)}
    sound = "".join((folder / name).read_text("utf-8", "replace") for name in ("audioclient.h", "audiosessiontypes.h"))
    values.update(SOUND_CONSTANTS.findall(sound))
    lines += [f"{name} = {value}" for name, value in sorted(values.items())]
    for header, interfaces in INTERFACES.items():
        lines += read_interfaces((folder / header).read_text("utf-8", "replace"), interfaces)
    return "\n".join([*lines, ""]).replace("'", '"')


def read_interfaces(text: str, names: tuple[str, ...]) -> list[str]:
    """COM interfaces: the identifier, and for each method after those of IUnknown its name and argument types."""
    lines = []
    for name in names:
        guid = re.search(rf"DEFINE_GUID\(IID_{name}, ([^)]*)\)", text)
        table = re.search(rf"typedef struct {name}Vtbl \{{(.*?)END_INTERFACE", text, re.DOTALL)
        if guid is None or table is None:
            raise SystemExit(f"{name} is not in its header")
        methods = re.findall(r"STDMETHODCALLTYPE \*(\w+)\)\((.*?)\);", table[1], re.DOTALL)
        lines.append(f"\n[windows.interfaces.{name}]")
        lines.append(f"iid = {[int(part, 16) for part in guid[1].replace(' ', '').split(',')]}")
        lines += [f"{m} = {[parse_argument_type(a) for a in arguments.split(',')[1:]]}" for m, arguments in methods[3:]]
    return lines


def parse_argument_type(argument: str) -> str:
    """ "DWORD *pdwAffinity" -> "DWORD*": the type, without the name and without what marks the direction."""
    words = argument.replace("*", " * ").split()
    words = [w for w in words if w not in ("IN", "OUT", "CONST", "const")]
    return "".join(words[:-1])


def read_kept_headers() -> str:
    """What the file says of Windows now."""
    text = OUT.read_text("utf-8") if OUT.is_file() else ""
    return text[text.index("[windows]") :] if "windows" in tomllib.loads(text) else ""


if __name__ == "__main__":
    sys.exit(main())
