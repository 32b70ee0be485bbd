"""Play real games through `live-sr run` under real window managers, and write the table of docs/games.md.

    python -m tools.game_matrix [--games openttd,dosbox] [--managers openbox,none] [--out docs/games.md]

Each game runs on an Xvfb of its own with one window manager. Its picture on the screen is compared with the game's own
window, clicks are made where the enlarged picture shows things, a dialog over the game and another program are opened,
the game goes to full screen and back, and it is ended and started again. Needs the Debian packages of the games and
managers below, and xvfb and xdotool. Rows of other games or managers in the file stay. Takes about a minute a row.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from matrix_games import GAMES, DesktopGame  # noqa: E402  # after the path is set
from matrix_trial import Trial, TrialFailed  # noqa: E402
from screens import Screen  # noqa: E402

MANAGERS = {
    "openbox": "openbox",
    "xfwm4": "dbus-run-session -- xfwm4",  # its settings come over D-Bus
    "mutter": "mutter --x11",
    "metacity": "metacity",
    "kwin_x11": "kwin_x11",
    "none": "",
}
COLUMNS: dict[str, Callable[[Trial], str]] = {
    "picture": Trial.check_picture,
    "click": Trial.check_click,
    "dialog": Trial.check_dialog,
    "another program": Trial.check_another_program,
    "full screen": Trial.check_full_screen,
    "started again": Trial.check_start_again,
}
BEGIN, END = "<!-- written by tools/game_matrix.py -->", "<!-- end -->"
LIMIT_S = 4.0  # of a quiet machine, for each thing that has to happen
Rows = dict[tuple[str, str], list[str]]


def try_game(game: DesktopGame, manager: str, screenshots: Path | None) -> list[str]:
    """One row: "yes" with a remark, or "no" and why, for each column."""
    cells: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Screen(manager=MANAGERS[manager]) as screen:
        trial = Trial(screen, game, Path(folder), LIMIT_S)
        try:
            trial.start()
            for name, check in COLUMNS.items():
                cells.append(try_column(check, trial))
                print(f"{game.name} under {manager}: {name}: {cells[-1]}", flush=True)
                if screenshots is not None:
                    trial.save_screenshot(screenshots / f"{game.name}-{manager}-{name.replace(' ', '-')}.png")
        except (TrialFailed, TimeoutError) as failure:
            cells += [f"no: {name_failure(failure)}"] * (len(COLUMNS) - len(cells))
            print(f"{game.name} under {manager}: {failure}", flush=True)
        finally:
            trial.close()
    return cells


def try_column(check: Callable[[Trial], str], trial: Trial) -> str:
    try:
        remark = check(trial)
        return f"yes ({remark})" if remark else "yes"
    except (TrialFailed, TimeoutError) as failure:
        return f"no: {name_failure(failure)}"
    except Exception as error:  # a tool that runs for an hour goes on with the next column
        traceback.print_exc()
        return f"not tried: {type(error).__name__}"


def name_failure(failure: Exception) -> str:
    """What did not happen, without the seconds that were waited for it."""
    return str(failure).partition(": not within")[0]


def read_rows(file: Path) -> Rows:
    """The rows that the file has already."""
    rows: Rows = {}
    lines = file.read_text().partition(BEGIN)[2].partition(END)[0].splitlines() if file.exists() else []
    for line in lines[3:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(COLUMNS) + 2:
            rows[cells[0], cells[1]] = cells[2:]
    return rows


def write_rows(file: Path, rows: Rows) -> None:
    """Puts the table into the file, between the two marks."""
    head = ["game", "window manager", *COLUMNS]
    table = [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head))]
    table += [f"| {' | '.join([*key, *cells])} |" for key, cells in rows.items()]
    text = file.read_text() if file.exists() else f"# Games\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    file.write_text(before + BEGIN + "\n\n" + "\n".join(table) + "\n\n" + END + rest.partition(END)[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", default=",".join(game.name for game in GAMES))
    parser.add_argument("--managers", default=",".join(MANAGERS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "games.md")
    parser.add_argument("--screenshots", type=Path, help="a folder for one screenshot after each column")
    options = parser.parse_args()
    if options.screenshots is not None:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    failed = 0
    for game in (game for game in GAMES if game.name in options.games.split(",")):
        for manager in options.managers.split(","):
            cells = try_game(game, manager, options.screenshots)
            failed += sum(not cell.startswith("yes") for cell in cells)
            rows = read_rows(options.out)
            rows[game.name, manager] = cells
            write_rows(options.out, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
