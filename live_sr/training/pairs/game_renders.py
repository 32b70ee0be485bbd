"""Renders the same instants of a game at any size, from recorded input: Doom and OpenArena."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import av
import numpy as np

from live_sr.errors import LiveSRError, MissingPart, UsageError
from live_sr.training.pairs.doom import TICS, DoomPlayback, play
from live_sr.training.pairs.game_process import compile_preload, end_process, find_program
from live_sr.training.pairs.renderers.game_engine import NumberedFrames

WALK_S = 13
MATCH_TICS = 200  # game frames, at 25 a second, for which the recording follows each of three players
BOTS = ("sarge", "grism", "liz", "penguin", "assassin")
TIMEOUT_S = 550  # of one run; software rendering draws about one frame of 1920x1080 a second


def check_display() -> None:
    """Raises MissingPart."""
    if not os.environ.get("DISPLAY"):
        raise MissingPart(
            "a game needs a DISPLAY to draw on",
            'start this in xvfb-run -s "-screen 0 1920x1080x24" (Debian: apt install xvfb)',
        )


@dataclass(frozen=True)
class DoomRenderer:
    """dsda-doom's OpenGL renderer: one frame a tic, which depends on the demo alone.

    Its software renderer is not used: it samples pixels at their corner, which shifts one size against the other.
    """

    wads: Path
    first: int
    every: int
    most: int
    gamma: int

    def place(self, level: str) -> str:
        """The place that pairs of a walk in this map belong to. Raises UsageError."""
        _, _, wad = _parse_level(level)
        return f"{'syn1' if wad == 'freedoom1.wad' else 'syn2'}_{level.lower()}"

    def walk(self, level: str, seed: int, size: tuple[int, int]) -> NumberedFrames:
        """Frames of a random walk through a map: e1m1 to e4m9 of Freedoom's Phase 1, map01 to map32 of Phase 2."""
        episode, number, wad = _parse_level(level)
        with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
            demo = Path(folder, "walk.lmp")
            demo.write_bytes(make_walk_demo(episode, number, seed))
            yield from self.demo(demo, wad, size)

    def demo(self, demo: Path, wad: str, size: tuple[int, int]) -> NumberedFrames:
        levels = self.wads / wad
        for path in (demo, levels):
            if not path.is_file():
                raise UsageError(
                    f"there is no {path}", "give a demo, and --wads and --wad (Debian: apt install freedoom)"
                )
        width, height = size
        playback = DoomPlayback(str(demo), levels, size, blocks=11, gamma=self.gamma, first=self.first)
        kept = 0
        with play(playback, os.environ["DISPLAY"]) as frames:
            for number in itertools.count():
                raw = frames.read(width * height * 3)
                if len(raw) < width * height * 3 or kept == self.most:
                    break
                if number >= self.first and (number - self.first) % self.every == 0:
                    kept += 1
                    yield number, np.frombuffer(raw, np.uint8).reshape(height, width, 3)[..., ::-1].copy()
            if not kept:
                raise EOFError  # `play` adds what the game wrote


def _parse_level(name: str) -> tuple[int, int, str]:
    """Episode, map number and WAD file of a map's name. Raises UsageError."""
    if found := re.fullmatch(r"e([1-4])m([1-9])", name.lower()):
        return int(found[1]), int(found[2]), "freedoom1.wad"
    if (found := re.fullmatch(r"map(\d\d)", name.lower())) and 1 <= int(found[1]) <= 32:
        return 1, int(found[1]), "freedoom2.wad"
    raise UsageError(f'Freedoom has no map "{name}"', "name maps like e1m1 (to e4m9) or map01 (to map32)")


def make_walk_demo(episode: int, level: int, seed: int) -> bytes:
    """A demo as Doom 1.9 records it: a header, then four bytes a tic (ahead, aside, turn, buttons), then 0x80.

    The header: version 109, skill (from 0), episode, map, four switches, whose view, and who plays.
    """
    rng = random.Random(f"{episode} {level} {seed}")
    demo = bytearray([109, 1, episode, level, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    while len(demo) < 13 + 4 * TICS * WALK_S:
        turning = rng.random() < 0.4  # else straight on, and rarely backwards out of a corner
        turn = rng.choice((-7, -4, -2, -1, 1, 2, 4, 7)) if turning else 0
        ahead = rng.choices((50, 25, 0, -40), (6, 2, 1, 1))[0]
        aside = rng.choices((0, 40, -40), (6, 1, 1))[0]
        shoots = rng.random() < 0.25
        for tic in range(rng.randint(8, 30)):
            opens = 2 if tic == 0 else 0  # doors and switches; the button has to be let go in between
            demo += bytes((ahead & 255, aside & 255, turn & 255, opens | shoots))
    return bytes(demo) + b"\x80"


class OpenArenaRenderer:
    """OpenArena's OpenGL renderer, with a temporary home folder. It writes a video at a fixed rate of game time.

    repeatable.c makes its random numbers the same at every size.
    """

    def __init__(self, first: int, every: int, most: int) -> None:
        self.first, self.every, self.most = first, every, most

    def __enter__(self) -> Self:
        self._program = find_program("openarena", "openarena")
        self._folder = tempfile.TemporaryDirectory(prefix="make-pairs-")
        self._home = Path(self._folder.name)
        for name in ("demos", "videos"):
            self._files(name).mkdir(parents=True)
        self._library = self._home / "repeatable.so"
        compile_preload(self._library, Path(__file__).with_name("repeatable.c"))
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def match(self, level: str) -> Path:
        """Records the demo auto_MAP: bots that fight there, seen from behind. Raises LiveSRError."""
        name = f"auto_{level}"
        follow = f"cmd follownext\nwait {MATCH_TICS}\n"
        console = [
            *("set bot_enable 1", "set sv_pure 0", "set g_gametype 0", "set g_doWarmup 0", "set fraglimit 0"),
            *("set timelimit 0", "set com_maxfps 25", f"map {level}", "wait 50"),
            *(f"addbot {bot} 3" for bot in BOTS),
            *("wait 50", "cmd team spectator", f"wait {MATCH_TICS}", "cmd follownext", "wait 10", f"record {name}"),
            *(follow * 3, "stoprecord", "quit"),
        ]
        self._files("match.cfg").write_text("\n".join(console) + "\n")
        self._play((320, 180), "+set", "r_picmip", "4", "+exec", "match.cfg")
        demo = self._files("demos") / f"{name}.dm_71"
        if not demo.is_file():
            raise LiveSRError(
                f"OpenArena recorded no match in {level}; it said: {self._read_output()}", "name another map"
            )
        return demo

    def demo(self, demo: Path, size: tuple[int, int]) -> NumberedFrames:
        """Two frames of the demo for each second of the game. Raises LiveSRError."""
        if not demo.is_file():
            raise UsageError(f"there is no {demo}", "give a demo (.dm_71), or a map to --match")
        ours = self._files("demos") / demo.name
        if demo != ours:
            shutil.copyfile(demo, ours)
        # without what is drawn at a fixed size
        seen = ("+set", "con_notifytime", "-1", "+set", "cg_drawFPS", "0", "+set", "cg_lagometer", "0")
        film = ("+set", "cl_aviFrameRate", "2", "+set", "cl_aviMotionJpeg", "0", "+set", "nextdemo", "quit")
        frames = self.first + (self.most - 1) * self.every + 2
        self._play(size, *seen, *film, "+demo", demo.stem, "+video", demo.stem, most=frames * size[0] * size[1] * 3)
        parts = sorted(self._files("videos").glob("*.avi"), key=lambda path: (len(path.name), path.name))
        if not parts:
            raise LiveSRError(f"OpenArena drew nothing of {demo}; it said: {self._read_output()}", "give another demo")
        number = kept = 0
        for part in parts:  # it starts a new file at two gigabytes
            with av.open(str(part)) as container:
                for frame in container.decode(video=0):
                    if kept < self.most and number >= self.first and (number - self.first) % self.every == 0:
                        kept += 1
                        yield number, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    number += 1
            part.unlink()

    def _files(self, name: str) -> Path:
        return self._home / ".openarena" / "baseoa" / name

    def _read_output(self) -> str:
        return (self._home / "log").read_text(errors="replace")[-300:].strip()

    def _play(self, size: tuple[int, int], *arguments: str, most: int = 0) -> None:
        """Runs the game until it ends, its video has `most` bytes, or TIMEOUT_S seconds have passed."""
        settings = f"r_fullscreen 0 r_mode -1 r_customwidth {size[0]} r_customheight {size[1]} r_picmip 0"
        settings += " cl_renderer opengl1 s_initsound 0 com_introplayed 1"
        words = settings.split()
        always = [word for pair in zip(words[::2], words[1::2], strict=True) for word in ("+set", *pair)]
        environment = {"HOME": str(self._home), "XDG_RUNTIME_DIR": str(self._home), "LD_PRELOAD": str(self._library)}
        with (self._home / "log").open("wb") as log:
            process = subprocess.Popen(
                [self._program, *always, *arguments],
                env={**os.environ, **environment, "SDL_AUDIODRIVER": "dummy"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
                if most and sum(path.stat().st_size for path in self._files("videos").glob("*.avi")) >= most:
                    break
        finally:
            end_process(process)
