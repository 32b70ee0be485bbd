"""Which of the open windows is meant: by a part of its title, by its process, or by asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from live_sr.contracts import WindowInfo
from live_sr.errors import WindowNotFound, did_you_mean

_REMEDY = "start the game in a window first; `live-sr run` without --window lists what is open"


def find_windows(windows: Sequence[WindowInfo], title: str = "", pid: int = 0) -> list[WindowInfo]:
    """Those whose title has `title` in it, without regard to case, or, where no title has, whose process name has it;
    of process `pid` unless that is 0. Keeps the order."""
    of_process = [w for w in windows if pid in (0, w.pid)]
    part = title.casefold()
    titled = [w for w in of_process if part in w.title.casefold()]
    return titled or [w for w in of_process if part in w.process.casefold()]


def the_window(windows: Sequence[WindowInfo], title: str = "", pid: int = 0) -> WindowInfo:
    """The first that `find_windows` finds: the topmost. Raises WindowNotFound with the nearest name there is."""
    found = find_windows(windows, title, pid)
    if found:
        return found[0]
    of_process = find_windows(windows, pid=pid)
    if not of_process:
        whose = f" of process {pid}" if pid else ""
        raise WindowNotFound(f"there is no window{whose}", _REMEDY)
    names = [name for w in of_process for name in (w.title, w.process, *_runs(w.title, len(title.split())))]
    raise WindowNotFound(f'no window has "{title}" in its title.{did_you_mean(title, filter(None, names))}', _REMEDY)


def pick(windows: Sequence[WindowInfo], ask: Callable[[str], str]) -> WindowInfo:
    """Lists the windows and asks for a number, or a part of a title, until the answer means one of them.

    `ask` shows its argument and returns a line, as `input` does. Raises WindowNotFound when there is nothing to choose
    from, or when the input ends.
    """
    if not windows:
        raise WindowNotFound("there is no window to choose", _REMEDY)
    question = "\n".join(_line(number, w) for number, w in enumerate(windows, 1)) + "\nWhich window? "
    while True:
        try:
            answer = ask(question).strip()
        except EOFError:
            raise WindowNotFound("no window was chosen", "name one: `live-sr run --window TITLE`") from None
        if answer.isdecimal():
            if 1 <= int(answer) <= len(windows):
                return windows[int(answer) - 1]
            question = f"There is no {answer}: give a number from 1 to {len(windows)}. Which window? "
            continue
        found = find_windows(windows, answer) if answer else []
        if len(found) == 1:
            return found[0]
        trouble = f'{len(found)} windows have "{answer}" in their name' if found else f'"{answer}" is none of them'
        question = f"{trouble}: give a number from 1 to {len(windows)}. Which window? "


def _line(number: int, window: WindowInfo) -> str:
    # a title is another program's text: it must not reach the terminal as control codes
    title, process = ("".join(c if c.isprintable() else " " for c in text) for text in (window.title, window.process))
    if len(title) > 60:
        title = title[:57] + "..."
    return f"{number:3}  {title or '(no title)':60}  {window.rect.size!s:>9}  {process} ({window.pid})"


def _runs(title: str, count: int) -> list[str]:
    """Every `count` words of a title that stand together: what somebody mistyped may be one of them."""
    words = title.split()
    return [" ".join(words[i : i + count]) for i in range(len(words) - count + 1)] if count else []
