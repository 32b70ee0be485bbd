"""Draws in a child process: engines keep state for as long as their process lives, and one that crashes ends only it.

The child is the same Python, so that it has the wheels that the user installed. It gets a ChildJob as its arguments and
writes each picture into a pipe: the frame number in four bytes, then BGR bytes.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

import live_sr
from live_sr.errors import LiveSRError, MissingPart
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import end_process, open_display
from live_sr.training.pairs.renderers.game_engine import FrameTimes, NumberedFrames

PROGRAMS = f"{__package__}.programs"
NUMBER = struct.Struct("<i")
CLOSING_S = 10  # that an engine may need to end by itself


@dataclass(frozen=True)
class Wheel:
    """A package that pip installs: the module to import, and what to give to pip, with its version."""

    module: str
    requirement: str

    def check(self) -> None:
        """Raises MissingPart."""
        if importlib.util.find_spec(self.module) is None:
            raise MissingPart(f"{self.module} is not installed", f'pip install "{self.requirement}"')


@dataclass(frozen=True)
class ChildProgram:
    """A module of `programs`, and what it needs: wheels, an X display, variables of the environment."""

    name: str
    wheels: tuple[Wheel, ...]
    display: bool = False
    environment: Mapping[str, str] | None = None

    def check(self) -> None:
        """Raises MissingPart."""
        for wheel in self.wheels:
            wheel.check()

    def draw(self, scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
        """Raises LiveSRError, also where the child ends before its last picture."""
        self.check()
        display: AbstractContextManager[str] = open_display() if self.display else nullcontext("")
        with display as name, tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
            places = [str(Path(live_sr.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {**os.environ, "SDL_AUDIODRIVER": "dummy", "PYTHONPATH": os.pathsep.join(places)}
            environment |= {"DISPLAY": name} if name else {}
            read, write = os.pipe()
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    f"{PROGRAMS}.{self.name}",
                    *ChildJob(scene, size, times, scale, write).to_arguments(),
                ],
                cwd=folder,  # some engines write settings there
                env=environment | dict(self.environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write,),
                start_new_session=True,
            )
            os.close(write)
            try:
                with os.fdopen(read, "rb") as pipe:
                    yield from _read_frames(pipe, size, times.most)
                with suppress(subprocess.TimeoutExpired):  # ViZDoom's own child outlives a process that is killed
                    process.wait(CLOSING_S)
            except EOFError:
                log.seek(0)
                said = " ".join(log.read()[-300:].decode(errors="replace").split())
                raise LiveSRError(f"{self.name} drew too little of {scene}; it said: {said}", "leave it out") from None
            finally:
                end_process(process)


def name_scenes(kinds: Mapping[str, int]) -> list[str]:
    """KIND-1, KIND-2 and so on, as many of each kind as it says."""
    return [f"{kind}-{number}" for kind, count in kinds.items() for number in range(1, count + 1)]


def _read_frames(pipe: BinaryIO, size: Size, count: int) -> NumberedFrames:
    length = size.width * size.height * 3
    for _ in range(count):
        head, body = pipe.read(NUMBER.size), pipe.read(length)
        if len(body) < length:
            raise EOFError
        (number,) = NUMBER.unpack(head)
        yield number, np.frombuffer(body, np.uint8).reshape(size.height, size.width, 3).copy()


@dataclass(frozen=True)
class ChildJob:
    """What a child draws. pipe: the file descriptor that it writes into."""

    scene: str
    size: Size
    times: FrameTimes
    scale: int
    pipe: int

    def to_arguments(self) -> list[str]:
        times = (self.times.first, self.times.every, self.times.most)
        return [self.scene, *map(str, (*self.size, *times, self.scale, self.pipe))]

    @classmethod
    def from_arguments(cls) -> ChildJob:
        scene, *numbers = sys.argv[1:]
        width, height, first, every, most, scale, pipe = map(int, numbers)
        return cls(scene, Size(width, height), FrameTimes(first, every, most), scale, pipe)

    def iterate_numbers(self) -> Iterator[tuple[int, bool]]:
        """Every frame number until the last one that is kept, and whether it is kept."""
        first, every, most = self.times.first, self.times.every, self.times.most
        for number in range(first + (most - 1) * every + 1):
            yield number, number >= first and (number - first) % every == 0

    def write(self, number: int, picture: Picture) -> None:
        """picture: BGR uint8, exactly of `size`."""
        if picture.shape != (self.size.height, self.size.width, 3):
            raise ValueError(f"{picture.shape} is not {self.size}")
        with os.fdopen(os.dup(self.pipe), "wb") as pipe:
            pipe.write(NUMBER.pack(number) + np.ascontiguousarray(picture).tobytes())
