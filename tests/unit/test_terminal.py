"""The terminal: nothing that is printed ends the work, and what is printed can be read."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from live_sr import cli, terminal
from live_sr.app.frame_log import FrameLog
from live_sr.errors import UsageError
from live_sr.pipeline.frame import Stamps
from live_sr.terminal import Progress, format_duration, format_table

PACKAGE = Path(terminal.__file__).parent
SPEAK = """
import logging, sys
from live_sr import terminal
terminal.set_up_streams()
with terminal.log_to_stderr(verbose=False):
    for number in range({lines}):
        terminal.print_result("one \\N{{RIGHTWARDS ARROW}} two")
    logging.getLogger("live_sr.test").info("\\N{{HIRAGANA LETTER A}} is a letter")
terminal.flush_streams()
"""


def run(code: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, stderr=subprocess.PIPE, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("encoding", "out", "err"),
    [
        ("cp1252", b"one ? two\n", b"live-sr: ? is a letter\n"),
        ("cp932", b"one \x81\xa8 two\n", b"live-sr: \x82\xa0 is a letter\n"),
        ("ascii:strict", b"one ? two\n", b"live-sr: ? is a letter\n"),
        ("utf-8", "one → two\n".encode(), "live-sr: あ is a letter\n".encode()),
    ],
)
def test_what_an_encoding_lacks_is_replaced(encoding: str, out: bytes, err: bytes) -> None:
    done = run(SPEAK.format(lines=1), stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stdout, done.stderr) == (0, out, err)


@pytest.mark.parametrize("stream", ["pipe", "disk"])
def test_a_lost_output_is_told_once_and_the_work_goes_on(stream: str) -> None:
    if stream == "pipe":
        there, ours = os.pipe()
        os.close(there)
    else:
        ours = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(SPEAK.format(lines=100), stdout=ours)
    finally:
        os.close(ours)
    told = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert [("the output cannot be written any more" in line) for line in told] == [True, False]
    assert "is a letter" in told[1]


def test_nothing_is_told_where_the_notices_themselves_are_lost() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", SPEAK.format(lines=2)], cwd=PACKAGE.parent, stdout=subprocess.PIPE, stderr=full
        )
    assert (done.returncode, done.stdout.decode().count("two")) == (0, 2)


def test_a_pipe_that_is_closed_before_the_help_is_printed_is_no_traceback() -> None:
    there, ours = os.pipe()
    os.close(there)
    try:
        done = run("import sys; from live_sr.cli import main; main(['--help'])", stdout=ours)
    finally:
        os.close(ours)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_a_full_disk_ends_the_frame_log_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    log = FrameLog(Path("/dev/full"), "a game")
    for _ in range(300):
        log.write_row(Stamps(1, 2, 3, 4, 5))
    log.close()
    (record,) = caplog.records
    assert "frames are no longer logged" in record.getMessage()
    assert "No space left" in record.getMessage()


def test_a_frame_log_that_fails_when_it_is_closed_says_so(caplog: pytest.LogCaptureFixture) -> None:
    log = FrameLog(Path("/dev/full"), "a game")
    log.write_row(Stamps(1, 2, 3, 4, 5))
    log.close()
    log.close()
    assert len(caplog.records) == 1


def test_no_module_prints_but_the_terminal() -> None:
    printing = [
        f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "terminal.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "traceback.print_exc", "warnings.warn"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"))
        or (isinstance(node, ast.Name) and node.id == "print" and isinstance(node.ctx, ast.Load))
    ]
    assert printing == []


# Logging


@pytest.mark.parametrize("arguments", [["-v", "doctor", "--json"], ["doctor", "--json", "--verbose"]])
def test_verbose_says_what_was_chosen_and_why_beside_the_result(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    json.loads(told.out)
    assert "engine: " in told.err
    assert cli.main(["doctor", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_an_unexpected_error_is_one_sentence_and_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> int:
        raise ZeroDivisionError("one too many")

    monkeypatch.setattr("live_sr.manage.doctor.run", fail)
    assert cli.main(["doctor"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "live-sr: unexpected error: ZeroDivisionError: one too many"
    assert "report" in second and "--verbose" in second
    assert cli.main(["--verbose", "doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_after_a_command_logging_is_as_it_was() -> None:
    log = logging.getLogger("live_sr")
    before = (log.level, log.propagate, list(log.handlers))
    with terminal.log_to_stderr(verbose=True):
        assert (log.level, log.propagate, list(log.handlers)) != before
    assert (log.level, log.propagate, list(log.handlers)) == before


def test_an_error_is_its_sentence_with_the_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_error(UsageError("it cannot be done", "do something else"), "fast x2")
    terminal.print_error(UsageError("it cannot be done"))
    told = capsys.readouterr()
    assert told.err == "live-sr: fast x2: it cannot be done\n  do something else\nlive-sr: it cannot be done\n"
    assert told.out == ""


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_every_ten_seconds_where_no_bar_can_be_drawn() -> None:
    now, written = [0.0], io.StringIO()
    progress = Progress("film.mkv", 100, 10, stream=written, clock=lambda: now[0])
    for _ in range(25):
        now[0] += 1
        progress.step()
    progress.close()
    assert written.getvalue().splitlines() == [
        "film.mkv: 20 %, 20 of 100 frames, 1.0 fps, 80 s left",
        "film.mkv: 30 %, 30 of 100 frames, 1.0 fps, 70 s left",
    ]


def test_progress_guesses_the_time_that_is_left_until_a_step_is_over() -> None:
    now, written = [0.0], io.StringIO()
    progress = Progress("bench", 4, unit="runs", step_s=30.0, stream=written, clock=lambda: now[0])
    progress.describe("first", at_once=True)
    progress.describe("a part of the first, for which no line is written")
    now[0] = 100.0
    progress.step()
    progress.describe("second", at_once=True)
    progress.close()
    assert written.getvalue().splitlines()[0] == "bench: 0 %, 0 of 4 runs, 2 min left: first"
    assert written.getvalue().splitlines()[-1] == "bench: 25 %, 1 of 4 runs, 5 min left: second"
    assert "for which no line" not in written.getvalue().splitlines()[0]


def test_without_a_total_progress_counts() -> None:
    now, written = [0.0], io.StringIO()
    progress = Progress("evaluate", stream=written, clock=lambda: now[0])
    progress.describe("arena x2")
    now[0] = 20.0
    progress.step(10)
    assert written.getvalue() == "evaluate: 10 frames, 0.5 fps: arena x2\n"


def test_on_a_terminal_one_line_is_written_over_and_wiped_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress("film.mkv", 10)
    progress.step(5)
    progress.describe("building")
    with terminal.log_to_stderr(verbose=False):
        logging.getLogger("live_sr").info("a notice")
    progress.close()
    progress.close()
    text = stream.getvalue()
    lines = text.replace("\r", "\n").splitlines()
    assert any(line.startswith("film.mkv: ") and "5/10" in line and "building" in line for line in lines)
    assert "live-sr: a notice" in lines, "alone in its line"
    assert text.count("\n") == 1
    assert text.endswith("\r") and not lines[-1].strip()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (120, "2 min"), (3600, "60 min"), (11100, "3 h 05")]
)
def test_durations_are_written_as_people_say_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


# Tables


def test_a_table_aligns_each_column() -> None:
    rows = [("name", "ms", "why"), ("a long name", "1.25", "it is slow"), ("b", "10.00")]
    assert format_table(rows, "<><") == [
        "name            ms  why",
        "a long name   1.25  it is slow",
        "b            10.00",
    ]
    assert format_table([("a", "b"), ("cc", "dd")]) == ["a   b", "cc  dd"]
    assert format_table([("n", "1", "22"), ("m", "333", "4")], "<>") == ["n    1  22", "m  333   4"]
    assert format_table([]) == []
