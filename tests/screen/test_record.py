"""Frames of a game are saved as they were, under names that the training understands, and the game never waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeSource
from patience import until, wait
from screens import Screen, ToyWindow

from live_sr import cli
from live_sr.app.recorder import Recorder, StillDetector
from live_sr.app.recording_folder import RecordedFrame, RecordingFolder, format_letters, make_place_name
from live_sr.capture.pattern import PatternSource
from live_sr.errors import LiveSRError, SourceClosed, SourceLost
from live_sr.pipeline.frame import Pixels, Size, make_black

TOY = Size(320, 200)


class RecordProcess:
    """A running `live-sr record --window "a game" --out frames`."""

    def __init__(self, screen: Screen, folder: Path, *arguments: str) -> None:
        self.folder = folder / "frames"
        self._output_file = folder / "output"
        with self._output_file.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "live_sr", "record", "--window", "a game", "--out", "frames", *arguments],
                env={**screen.env, "PYTHONPATH": str(Path(__file__).parents[2])},
                cwd=folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a test run started in the background ignores Ctrl-C, and its children inherit that
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def wait_for_pictures(self, count: int) -> list[Path]:
        """The saved pictures, oldest first, once there are at least `count`."""

        def find() -> list[Path] | None:
            found = sorted(self.folder.glob("*.png"), key=lambda path: path.stem.rsplit("_", 1)[1])
            assert self.process.poll() is None or len(found) >= count, self.output
            return found if len(found) >= count else None

        return until(find, f"{count} pictures")

    def wait_for_exit(self) -> int:
        """Its exit code, once it has ended by itself."""
        return until(self.process.poll, "the end of the recording")

    @property
    def output(self) -> str:
        """All that it has written to stdout and stderr."""
        return self._output_file.read_text()


@pytest.fixture
def record(screen: Screen, tmp_path: Path) -> Iterator[Callable[..., RecordProcess]]:
    made: list[RecordProcess] = []

    def start(*arguments: str) -> RecordProcess:
        made.append(RecordProcess(screen, tmp_path, *arguments))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


def test_every_picture_is_exactly_what_the_game_drew(screen: Screen, record: Callable[..., RecordProcess]) -> None:
    toy = ToyWindow(screen, TOY, title="A game")
    drawn = [toy.draw(1)]
    recording = record("--every", "0.05", "--count", "3")
    for seed in (2, 3):
        recording.wait_for_pictures(len(drawn))
        drawn.append(toy.draw(seed))
    assert recording.wait_for_exit() == 0, recording.output
    files = recording.wait_for_pictures(3)
    assert [file.name for file in files] == ["a-game-a_00001.png", "a-game-a_00002.png", "a-game-a_00003.png"]
    for file, expected in zip(files, drawn, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file)), expected[..., :3])
    lines = [json.loads(line) for line in (recording.folder / "recording.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [file.name for file in files]
    assert [(line["window"], line["width"], line["height"]) for line in lines] == [("A game", *TOY)] * 3
    assert "320x200 is small to learn from" in recording.output
    last = recording.output.splitlines()[-1]
    assert "3 frames saved in frames" in last
    assert "next: live-sr pairs folder frames --out pairs/frames" in last


def test_a_still_picture_is_saved_once_and_ctrl_c_ends_it_cleanly(
    screen: Screen, record: Callable[..., RecordProcess]
) -> None:
    ToyWindow(screen, TOY, title="A game").draw(1)
    recording = record("--every", "0.05")
    recording.wait_for_pictures(1)
    threading.Event().wait(0.5)
    recording.process.send_signal(signal.SIGINT)
    assert recording.wait_for_exit() == 0
    last = recording.output.splitlines()[-1]
    assert last.startswith("live-sr: 1 frames saved")
    assert " 0 skipped" not in last
    assert "it was interrupted" in last
    assert "Traceback" not in recording.output
    assert sorted(path.suffix for path in recording.folder.iterdir()) == [".jsonl", ".png"]


def test_it_follows_a_resize_waits_while_minimised_and_ends_with_the_window(
    screen: Screen, record: Callable[..., RecordProcess]
) -> None:
    toy = ToyWindow(screen, TOY, title="A game")
    toy.draw(1)
    recording = record("--every", "0.05")
    recording.wait_for_pictures(1)
    toy.resize(Size(240, 136))
    toy.draw(2)

    def find_small() -> Path | None:
        found = recording.wait_for_pictures(2)
        return next((file for file in found if cv2.imread(str(file)).shape[:2] == (136, 240)), None)

    file = until(find_small, "a small picture is saved")
    assert file.name.startswith("a-game-b_")
    assert "the picture size changed from 320x200 to 240x136" in recording.output
    toy.minimise()
    until(lambda: "waiting: the game's window is minimised" in recording.output, "it waits")
    before = len(recording.wait_for_pictures(2))
    toy.map()
    after = toy.draw(3)[..., :3]
    until(
        lambda: any(np.array_equal(cv2.imread(str(f)), after) for f in recording.wait_for_pictures(before + 1)),
        "a frame after the window came back",
    )
    assert "recording continues" in recording.output
    toy.destroy()
    assert recording.wait_for_exit() == 0
    assert "the game's window was closed" in recording.output.splitlines()[-1]
    assert "Traceback" not in recording.output


class SlowFolder(RecordingFolder):
    """A disk that takes nothing until `gate` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "A game")
        self.gate = threading.Event()

    def save(self, shot: RecordedFrame) -> None:
        assert wait(self.gate)
        super().save(shot)


def finish(recorder: Recorder) -> None:
    until(lambda: recorder.wait(0.05), "the recording ends")
    recorder.stop()


def test_a_slow_disk_loses_frames_that_are_counted_and_never_holds_up_the_capture(tmp_path: Path) -> None:
    folder = SlowFolder(tmp_path / "frames")
    recorder = Recorder(partial(PatternSource, Size(64, 48), fps=None, frames=60), folder, every_s=0.001)
    recorder.start()
    until(lambda: bool(recorder.end), "all 60 frames are captured while nothing is written")
    assert folder.saved == 0
    folder.gate.set()
    finish(recorder)
    assert recorder.dropped >= 50
    assert folder.saved == recorder.taken == 60 - recorder.dropped - recorder.still


def test_frames_of_another_stretch_of_time_get_another_place(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path, "Doom")
    recorder = Recorder(partial(PatternSource, Size(64, 48), fps=None), folder, every_s=0.01, count=3, stretch_s=0.0)
    recorder.start()
    finish(recorder)
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["doom-a_00001.png", "doom-b_00002.png", "doom-c_00003.png"]


def test_a_second_recording_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = Recorder(
            partial(PatternSource, Size(64, 48), fps=None), RecordingFolder(tmp_path, "Doom"), 0.01, count=2
        )
        recorder.start()
        finish(recorder)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == [
        "doom-a_00001.png", "doom-a_00002.png", "doom-b_00003.png", "doom-b_00004.png",
    ]  # fmt: skip
    assert len((tmp_path / "recording.jsonl").read_text().splitlines()) == 4


def test_a_loss_is_told_once_and_mended(tmp_path: Path) -> None:
    scripts = iter([[SourceLost("it is hidden")], [SourceLost("it is hidden")], [200, SourceClosed("closed")]])
    told: list[str] = []
    recorder = Recorder(lambda: FakeSource(next(scripts)), RecordingFolder(tmp_path, "x"), 0.01, report=told.append)
    recorder.start()
    finish(recorder)
    assert told[:2] == ["waiting: it is hidden", "recording continues"]
    assert recorder.end == "closed"
    assert recorder.taken == 1


def test_a_folder_that_cannot_be_written_ends_it_with_a_sentence_and_no_half_picture(tmp_path: Path) -> None:
    (tmp_path / "recording.jsonl").mkdir()
    recorder = Recorder(partial(PatternSource, Size(64, 48), fps=None), RecordingFolder(tmp_path, "x"), 0.01)
    recorder.start()
    with pytest.raises(LiveSRError, match="cannot be written") as caught:
        until(lambda: recorder.wait(0.05), "it fails")
    assert caught.value.remedy
    recorder.stop()
    assert not list(tmp_path.glob("*.part"))
    (tmp_path / "file").touch()
    with pytest.raises(LiveSRError, match="cannot be created"):
        RecordingFolder(tmp_path / "file", "x")


def changed(pixels: Pixels, side: int, by: int) -> Pixels:
    """The picture with a square of that side in other levels."""
    other = pixels.copy()
    other[:side, :side, :3] += np.uint8(by)
    return other


@pytest.mark.parametrize(
    ("side", "by", "still"),
    [(0, 0, True), (8, 200, True), (200, 5, True), (40, 200, False), (200, 20, False)],
)
def test_what_hardly_differs_is_still(side: int, by: int, still: bool) -> None:
    first = make_black(TOY)
    detector = StillDetector()
    assert not detector.is_still(first)
    assert detector.is_still(changed(first, side, by)) is still


def test_a_slow_change_is_noticed_once_it_has_added_up() -> None:
    detector = StillDetector()
    seen = [detector.is_still(changed(make_black(TOY), 200, level)) for level in range(0, 30, 3)]
    assert seen == [False, True, True, False, True, True, False, True, True, False]


@pytest.mark.parametrize(("number", "name"), [(1, "a"), (26, "z"), (27, "aa"), (52, "az"), (53, "ba"), (703, "aaa")])
def test_stretches_are_counted_in_letters(number: int, name: str) -> None:
    assert format_letters(number) == name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Chocolate Doom 3.0", "chocolate-doom"),
        ("region 640x400+0+0", "region"),
        ("ゲーム", "game"),
        ("1942", "game"),
        ("Half_Life: Source / [DX9]", "half-life-source-dx9"),
        ("The Quite Long Title of a Game", "the-quite-long-title-of"),
    ],
)
def test_a_place_is_named_after_the_window_without_an_underscore(title: str, name: str) -> None:
    assert make_place_name(title) == name


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--window", "no such game"], "there is no window", 3),
        (["--monitor", "9"], "there is no monitor 9", 2),
    ],
)
def test_a_mistake_is_a_sentence(
    arguments: list[str], words: str, code: int, screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["record", *arguments, "--out", str(tmp_path / "frames")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "frames").exists()
