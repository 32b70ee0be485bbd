"""The games that `tools/game_matrix.py` plays: how each starts, and what a click in it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from screens import find_program

from live_sr.pipeline.frame import Rect, Size

# A DOS program that fills the screen with colours and draws a white point where the mouse's button is pressed.
POINTS_COM = bytes.fromhex(
    "b81300 cd10 31c0 cd33"  # mov ax,13h; int 10h; xor ax,ax; int 33h
    "b800a0 8ec0 31ff b9007d"  # mov ax,A000h; mov es,ax; xor di,di; mov cx,32000
    "89f8 88e0 ab e2f9"  # fill: mov ax,di; mov al,ah; stosw; loop fill
    "b80300 cd33 f6c301 74f6"  # again: mov ax,3; int 33h; test bl,1; jz again
    "d1e9 b80f0c 31db cd10 ebeb"  # shr cx,1; mov ax,0C0Fh; xor bx,bx; int 10h; jmp again
)


@dataclass(frozen=True)
class DesktopGame:
    """`command`: its arguments, given a folder for its files.

    `click`: a place in its window, and `effect`: the part of the window that this changes, `portion` of its pixels at
    least. None: the game takes the mouse to steer. `full_screen`: the key for it; "": none works here.
    """

    name: str
    title: str
    size: Size
    command: Callable[[Path], list[str]]
    full_screen: str
    click: tuple[int, int] = (0, 0)
    effect: Rect | None = None
    portion: float = 0.2


def _start_openttd(folder: Path) -> list[str]:
    drivers = ("-v", "sdl", "-s", "null", "-m", "null")
    return [find_program("openttd", "openttd"), "-r", "640x480", *drivers, "-c", str(folder / "openttd.cfg")]


def _start_pingus(folder: Path) -> list[str]:
    return [find_program("pingus", "pingus"), "-w", "-g", "640x480", "-m", "-s", "-u", str(folder)]


def _start_supertux(folder: Path) -> list[str]:
    switches = ["-w", "-g", "640x480", "--disable-sound", "--disable-music", "--renderer", "sdl", "--userdir"]
    return [find_program("supertux2", "supertux"), *switches, str(folder)]


def _start_dosbox(folder: Path) -> list[str]:
    (folder / "points.com").write_bytes(POINTS_COM)
    (folder / "dosbox.conf").write_text(
        f"[sdl]\nautolock=false\noutput=surface\nfullresolution=desktop\n[render]\nscaler=normal2x\n"
        f"[mixer]\nnosound=true\n[autoexec]\nmount c {folder}\nc:\npoints.com\n"
    )
    return [find_program("dosbox", "dosbox"), "-conf", str(folder / "dosbox.conf")]


def _start_doom(folder: Path) -> list[str]:
    (folder / "doom.cfg").write_text("aspect_ratio_correct 0\n")
    switches = ["-window", "-nosound", "-nogui", "-geometry", "640x400", "-warp", "1", "1", "-nomonsters", "-iwad"]
    program, levels = find_program("chocolate-doom", "chocolate-doom"), "/usr/share/games/doom/freedoom1.wad"
    return [program, *switches, levels, "-extraconfig", str(folder / "doom.cfg")]


VGA, DOS = Size(640, 480), Size(640, 400)
GAMES = (
    DesktopGame("openttd", "OpenTTD", VGA, _start_openttd, "alt+Return", (165, 151), Rect(195, 360, 9, 9)),
    DesktopGame("pingus", "Pingus", VGA, _start_pingus, "", (195, 289), Rect(80, 190, 480, 190)),
    DesktopGame("supertux", "SuperTux", VGA, _start_supertux, "F11", (318, 250), Rect(235, 185, 175, 180), 0.1),
    DesktopGame("dosbox", "DOSBox", DOS, _start_dosbox, "alt+Return", (400, 300), Rect(398, 296, 5, 5), 0.15),
    DesktopGame("chocolate-doom", "Chocolate Doom", DOS, _start_doom, "alt+Return"),
)
