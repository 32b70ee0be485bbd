"""The frame log on disks and pipes that fail: what was written before is kept, and the writing never waits."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
from patience import until

from live_sr.app import frame_log
from live_sr.app.frame_log import COLUMNS, FrameLog
from live_sr.pipeline.frame import Stamps

ROW = Stamps(1, 2, 3, 4, 5)


def read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_every_row_is_in_the_file_at_once_and_none_is_lost_at_the_end(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "frames.csv", 'a "game", with a comma')
    log.write_row(ROW)
    until(lambda: len(read_rows(tmp_path / "frames.csv")) == 2, "the first row, without a flush")
    for _ in range(500):
        log.write_row(ROW)
    log.close()
    rows = read_rows(tmp_path / "frames.csv")
    assert rows[0] == list(COLUMNS)
    assert len(rows) == 502
    assert {(len(row), row[0]) for row in rows[1:]} == {(len(COLUMNS), 'a "game", with a comma')}


def test_a_row_has_the_share_of_the_picture_that_was_drawn(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "frames.csv", "a game")
    log.write_row(ROW)
    log.write_row(Stamps(1, 2, 3, 4, 5, drawn=0.25))
    log.close()
    header, *rows = read_rows(tmp_path / "frames.csv")
    assert [row[header.index("ShareDrawn")] for row in rows] == ["1.000", "0.250"]


FILLS_A_DISK = """
import resource, signal, sys
from pathlib import Path
from live_sr.app.frame_log import FrameLog
from live_sr.pipeline.frame import Stamps
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
log = FrameLog(Path(sys.argv[1]), "a game")
log.on_lost = print
for _ in range(100):
    log.write_row(Stamps(1, 2, 3, 4, 5))
log.close()
"""


def test_a_disk_that_fills_up_keeps_whole_rows_and_the_player_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    done = subprocess.run(
        [sys.executable, "-c", FILLS_A_DISK, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    (sentence,) = done.stdout.splitlines()
    assert "frames.csv cannot be written any more (File too large): frames are no longer logged" in sentence
    rows = read_rows(path)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    size = path.stat().st_size
    assert 1000 - size < size / len(rows) * 2, "as many rows as fit"
    assert path.read_bytes().endswith(b"\r\n")


def test_a_reader_that_goes_away_has_received_every_row_before(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    log = FrameLog(pipe, "a game")
    told: list[str] = []
    log.on_lost = told.append
    for _ in range(40):
        log.write_row(ROW)
    with pipe.open(newline="") as reader:
        lines = [reader.readline() for _ in range(41)]
        assert lines[0].startswith("Application,Engine") and all(line.endswith("\n") for line in lines)
        assert told == []
    log.write_row(ROW)
    until(lambda: bool(told), "it is told")
    log.close()
    assert len(told) == 1 and "Broken pipe" in told[0]


def test_a_pipe_that_nobody_reads_delays_neither_the_picture_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_log, "WAITING", 100)
    monkeypatch.setattr(frame_log, "CLOSE_S", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # a reader that never reads
    try:
        log = FrameLog(pipe, "a game")
        told: list[str] = []
        log.on_lost = told.append
        slowest = 0.0
        for _ in range(3000):
            begun = monotonic()
            log.write_row(ROW)
            slowest = max(slowest, monotonic() - begun)
        log.close()
        assert len(told) == 1 and "rows: it did not take them in time" in told[0]
        lacking = int(told[0].split(" lacks ")[1].split()[0])
        taken = os.read(held, 1 << 20).count(b"\n")
        assert 0 <= 3001 - lacking - taken <= 1, "one row may be on its way"
    finally:
        os.close(held)
