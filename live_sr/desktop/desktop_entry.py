"""The file by which desktops on Linux know this program, and which the portal asks for before it gives out hotkeys."""

from __future__ import annotations

import re
import sys

from live_sr.system import atomic_file, paths

APP_ID = "live_sr.LiveSR"
"""The name of the file, without .desktop. The portal wants at least one point in it."""

ENTRY = """\
[Desktop Entry]
Type=Application
Name=live-sr
Comment=Upscales a game's window while it runs
Exec={command}
Terminal=true
NoDisplay=true
Categories=Utility;
"""


def install_desktop_entry() -> None:
    """Writes the file for this user, unless it is there. Raises LiveSRError if it cannot be written.

    Its command names the Python that runs now: a portal does not find a file whose command does not exist.
    """
    folder = paths.require_folder(paths.get_desktop_entries_folder(), "the file that names live-sr to the desktop")
    file = folder / f"{APP_ID}.desktop"
    words = (sys.executable, "-m", "live_sr", "run")
    data = ENTRY.format(command=" ".join(map(quote_for_exec, words))).encode()
    if not file.is_file() or file.read_bytes() != data:
        atomic_file.write(file, data)


def quote_for_exec(word: str) -> str:
    """A word of the key Exec: quoted where that is needed, by the rules of the Desktop Entry Specification."""
    doubled = word.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", doubled, re.ASCII):
        return doubled
    quoted = re.sub(r'(["`$\\])', r"\\\1", doubled)
    # the value of a key is a string, in which a backslash is written as two
    return f'"{quoted}"'.replace("\\", "\\\\")
