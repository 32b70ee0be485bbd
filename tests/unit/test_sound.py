"""Sound lies at its time in a recording, whatever its source does, and never holds up the picture."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter_ns

import av
import numpy as np
import pytest
from patience import until, wait

from live_sr.app.sound_recorder import SoundRecorder
from live_sr.app.sound_timeline import SoundTimeline
from live_sr.app.video_recorder import VideoRecorder
from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.frame import Frame, Size, make_black
from live_sr.pipeline.sound import RATE, Samples, SoundBlock

SECOND = 10**9


def make_tone(seconds: float) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.repeat(np.sin(2 * np.pi * 440 * t)[:, None], 2, 1).astype(np.float32) * 0.5


@pytest.mark.parametrize(
    ("what", "times_ms", "starts_ms"),
    [
        ("one after the other", [0, 100, 200], [0, 100, 200]),
        ("a gap", [0, 100, 500], [0, 100, 500]),
        ("a late beginning", [700], [700]),
        ("times that are not exact", [0, 103, 198, 301], [0, 100, 200, 300]),
        ("a piece again that was there", [0, 100, 50, 200], [0, 100, None, 200]),
        ("pieces from before the beginning", [-250, -150, -50], [None, None, 0]),
    ],
)
def test_a_piece_lies_at_its_time(what: str, times_ms: list[int], starts_ms: list[int | None]) -> None:
    timeline = SoundTimeline()
    stream = np.empty((0, 2), np.float32)
    for number, (time_ms, start_ms) in enumerate(zip(times_ms, starts_ms, strict=True), 1):
        piece = np.full((RATE // 10, 2), number, np.float32)
        stream = np.concatenate([stream, timeline.place(piece, time_ms * 1_000_000)])
        where = np.flatnonzero(stream[:, 0] == number)
        if start_ms is None:
            assert len(where) <= RATE // 20, what
        else:
            assert where[0] == start_ms * RATE // 1000, what


@pytest.mark.parametrize("seconds", [0.01, 0.02])  # of a piece: as WASAPI gives them, and as PulseAudio does
@pytest.mark.parametrize("speed", [0.9995, 0.9999, 1.0, 1.0001, 1.0005])
def test_a_card_whose_clock_is_not_ours_stays_in_step_without_a_break(speed: float, seconds: float) -> None:
    timeline = SoundTimeline()
    piece = make_tone(seconds)
    length = 0
    for number in range(round(120 / seconds)):  # two minutes
        done = timeline.place(piece, round(number * seconds * speed * SECOND))
        assert abs(len(done) - len(piece)) <= 2, "it is stretched a little, and never cut"
        length += len(done)
        assert abs(length / RATE - (number + 1) * seconds * speed) < 0.02


def test_stretched_sound_is_the_same_sound() -> None:
    timeline = SoundTimeline()
    piece = make_tone(0.1)
    for number in range(20):
        done = timeline.place(piece, number * SECOND // 10 + 15_000_000 * (number > 0))
    assert len(done) > len(piece)
    same = np.interp(np.linspace(0, len(piece) - 1, len(done)), np.arange(len(piece)), piece[:, 1])
    assert np.allclose(done[:, 1], same, atol=1e-5)


def test_silence_fills_what_nobody_plays() -> None:
    timeline = SoundTimeline()
    assert len(timeline.fill(SECOND)) == RATE and not timeline.fill(2 * SECOND).any()
    assert len(timeline.fill(SECOND)) == 0, "that is past"
    assert len(timeline.place(make_tone(1), SECOND)) == 0, "it comes too late"
    assert len(timeline.place(make_tone(1), 2 * SECOND)) == RATE


class Source:
    """A sound source that gives these pieces, and then ends or stays silent."""

    def __init__(self, *pieces: SoundBlock, ends: bool = False) -> None:
        self.pieces, self.ends = list(pieces), ends
        self.heard, self.closed = threading.Event(), threading.Event()

    def read(self, timeout_s: float) -> SoundBlock | None:
        if self.pieces:
            return self.pieces.pop(0)
        self.heard.set()  # and all before are with the recorder
        if self.ends:
            raise SourceLost("it was unplugged")
        self.closed.wait(min(timeout_s, 0.01))
        return None

    def close(self) -> None:
        self.closed.set()


def test_without_a_sound_system_one_sentence_says_so() -> None:
    def fail() -> Source:
        raise MissingPart("no sound system answers")

    told: list[str] = []
    sound = SoundRecorder(fail, told.append)
    assert not sound.is_available(60)
    sound.close()
    assert told == ["the recording has no sound: no sound system answers"]


def test_a_sound_system_that_hangs_does_not_hold_up_the_recording() -> None:
    go_on = threading.Event()
    told: list[str] = []

    def hang() -> Source:
        wait(go_on)
        return Source()

    sound = SoundRecorder(hang, told.append)
    assert not sound.is_available(0.01)
    assert told == ["the recording has no sound: the sound system does not answer"]
    go_on.set()
    sound.close()


def test_a_sound_system_that_ends_is_opened_again() -> None:
    first = Source(SoundBlock(make_tone(0.02), 0), ends=True)
    second = Source(SoundBlock(make_tone(0.02), SECOND))
    coming = [first, second]
    told: list[str] = []
    sound = SoundRecorder(lambda: coming.pop(0), told.append)
    assert sound.is_available(60)
    heard: list[SoundBlock] = []
    until(lambda: heard.extend(sound.take()) or len(heard) == 2, "the sound after the gap")
    sound.close()
    assert first.closed.is_set() and second.closed.is_set()
    assert told == ["the recording goes on without sound: it was unplugged"]


def record(folder: Path, begun_ns: int, source: Source | None, seconds: list[float]) -> tuple[list[str], Path]:
    """A recording with pictures at these times after the first, and what was told."""

    def open_sound() -> Source:
        if source is None:
            raise MissingPart("no sound system answers")
        return source

    told: list[str] = []
    ready = threading.Event()
    recorder = VideoRecorder(folder, told.append, redraw=ready.set, open_sound=open_sound)
    recorder.start(folder / "a.mkv")
    assert wait(ready)
    if source is not None:
        assert wait(source.heard)
    for at in seconds:
        frame: Frame[DisplayPicture] = Frame(HostPicture(make_black(Size(64, 48))))
        frame.stamps.seen = begun_ns + round(at * SECOND)
        recorder.offer(frame)
    recorder.close()
    return told, folder / "a.mkv"


def read_sound(path: Path) -> Samples:
    """The sound of a file, from time 0 on."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    begun = round(frames[0].time * RATE)
    parts = [f.to_ndarray().T if f.format.is_planar else f.to_ndarray().reshape(-1, 2) for f in frames]
    return np.concatenate([np.zeros((begun, 2), np.float32), *parts])


def test_a_recording_has_the_sound_at_its_time(tmp_path: Path) -> None:
    begun_ns = perf_counter_ns()
    pieces = [SoundBlock(make_tone(0.5), begun_ns + round(at * SECOND)) for at in (1.0, 1.5, 3.0)]
    told, path = record(tmp_path, begun_ns, Source(*pieces), [0.0, 1.0, 2.0, 3.5])
    assert told[-1].startswith("recorded 4 pictures")
    loud = np.abs(read_sound(path)).reshape(-1, 2)[:, 1] > 0.2
    heard = np.array([loud[round(at * RATE) : round((at + 0.1) * RATE)].any() for at in np.arange(0, 3.5, 0.1)])
    expected = [1.0 <= at < 1.95 or at >= 3.0 for at in np.arange(0, 3.5, 0.1)]
    assert heard.tolist() == expected
    assert abs(np.flatnonzero(loud)[0] / RATE - 1.0) < 0.02


def test_a_recording_goes_on_silent_where_there_is_no_sound(tmp_path: Path) -> None:
    told, path = record(tmp_path, perf_counter_ns(), None, [0.0, 0.1])
    assert "the recording has no sound: no sound system answers" in told
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 0 and len(list(container.decode(video=0))) >= 2


def test_sound_that_goes_away_leaves_silence_and_every_picture(tmp_path: Path) -> None:
    begun_ns = perf_counter_ns()
    source = Source(SoundBlock(make_tone(0.5), begun_ns), ends=True)
    told, path = record(tmp_path, begun_ns, source, [0.0, 0.4, 0.8])
    assert "the recording goes on without sound: it was unplugged" in told
    assert told[-1].startswith("recorded 3 pictures")
    assert 0.45 < np.flatnonzero(np.abs(read_sound(path))[:, 0] > 0.2)[-1] / RATE < 0.55
