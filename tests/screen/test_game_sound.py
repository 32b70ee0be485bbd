"""The sound of a game, through a real PulseAudio: in step with the picture, and from where the game plays to."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import av
import numpy as np
import pytest
from overlay_process import StartOverlay
from patience import until
from screens import Screen
from sound_server import SoundServer

from live_sr.capture.sound_pulse import PulseSound
from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.sound import RATE

TOY = str(Path(__file__).parents[1] / "sound_toy.py")
APART_S = 0.04  # the most that sound and picture may lie apart
FLASHES = 6


@pytest.fixture
def server(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    """Two outputs; what plays on the screen plays to the first by default, and so does what this process hears."""
    with SoundServer("default", "other") as server:
        monkeypatch.setitem(screen.env, "PULSE_SERVER", server.address)
        monkeypatch.setenv("PULSE_SERVER", server.address)
        yield server


def find_flashes(path: Path) -> list[float]:
    """When the picture turns white, in seconds."""
    with av.open(str(path)) as container:
        levels = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    return [time for (_, before), (time, now) in pairwise(levels) if before < 100 <= now]


def find_beeps(path: Path) -> list[float]:
    """When sound begins after silence, in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    sound = np.concatenate([f.to_ndarray()[0] if f.format.is_planar else f.to_ndarray()[0, ::2] for f in frames])
    loud = np.flatnonzero(np.abs(sound) > 0.1) / RATE + frames[0].time
    return [float(at) for before, at in zip([-1.0, *loud], loud, strict=False) if at - before > 0.3]


def test_a_game_that_flashes_and_beeps_does_so_at_once_in_the_recording(
    screen: Screen, server: SoundServer, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = screen.talk(sys.executable, TOY)
    over = start_overlay("--window", "a beeping game", "--model", "nearest", "--record", "a.mkv")
    assert toy.stdout is not None
    until(lambda: "the recording is encoded by" in over.output, "the first picture of the recording")
    begun, late = perf_counter(), []
    while len(late) < FLASHES:
        drawn, due = map(float, toy.stdout.readline().split())
        late += [drawn - due] if drawn > begun else []
    over.process.terminate()
    over.wait_for_exit()
    assert "sound" not in over.output, "nothing is wrong with it"
    flashes, beeps = find_flashes(tmp_path / "a.mkv"), find_beeps(tmp_path / "a.mkv")
    assert len(flashes) >= FLASHES - 1, "the picture is recorded too"
    apart = [flash - min(beeps, key=lambda beep: abs(beep - flash)) for flash in flashes]
    assert abs(statistics.median(apart) - statistics.median(late)) < APART_S, (apart, late)
    print("picture after sound, in ms:", [round(at * 1000) for at in apart])


def test_it_hears_the_output_that_the_game_plays_to(
    screen: Screen, server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(screen.env, "PULSE_SINK", "other")
    toy = screen.talk(sys.executable, TOY, "0.3")

    def hears(pid: int) -> bool:
        """Whether it hears the toy within a second of sound."""
        source = PulseSound(lambda: pid)
        heard: list[float] = []
        try:
            while len(heard) < 50:
                block = until(lambda: source.read(0.1), "a piece of sound")
                heard.append(float(np.abs(block.samples).max()))
                if heard[-1] > 0.1:
                    return True
        finally:
            source.close()
        return False

    until(lambda: hears(toy.pid), "the toy is heard")
    assert not hears(0), "the default output is silent"


def test_a_sound_system_that_ends_is_lost_and_can_be_opened_again(screen: Screen, server: SoundServer) -> None:
    source = PulseSound(lambda: 0)
    until(lambda: source.read(0.1), "a piece of sound")
    server.stop()
    with pytest.raises(SourceLost, match="sound system"):
        until(lambda: source.read(0.1) and None, "its end")
    source.close()
    with pytest.raises(MissingPart, match="PulseAudio"):
        PulseSound(lambda: 0)
    server.start()
    again = PulseSound(lambda: 0)
    until(lambda: again.read(0.1), "a piece of sound")
    again.close()
