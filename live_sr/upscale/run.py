"""Which input becomes which file, and who makes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.errors import LiveSRError, UsageError
from live_sr.upscale import video
from live_sr.upscale.belt import Watcher
from live_sr.upscale.options import UpscaleOptions
from live_sr.upscale.segmentfile import Tally
from live_sr.upscale.segments import Segment
from live_sr.upscale.video import Prepared, Runner, Wishes

if TYPE_CHECKING:
    from live_sr.upscale.stills import Stills

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff")
VIDEOS = (".mkv", ".mp4", ".mov", ".m4v", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv")
WRITTEN = (".mkv", ".mp4", ".mov", ".m4v", ".webm", ".ts", ".m2ts", ".mts")  # of these; others become .mkv


@dataclass(frozen=True)
class Errand:
    """One file that becomes another."""

    source: Path
    target: Path

    @property
    def is_still(self) -> bool:
        return self.source.suffix.lower() in PICTURES


def run(options: UpscaleOptions) -> int:
    """Makes every file, and goes on after one that fails; the exit code is then the first failure's.

    A single input that fails raises its LiveSRError.
    """
    _check(options)
    work = errands(options.inputs, options.output)
    code = failed = 0
    with ExitStack() as stack:
        makers = _Makers(options, stack)
        for errand in work:
            try:
                makers.make(errand)
            except LiveSRError as error:
                if len(work) == 1:
                    raise
                code, failed = code or error.exit_code, failed + 1
                print(f"live-sr: {error.message}", file=sys.stderr)
                if error.remedy:
                    print(f"  {error.remedy}", file=sys.stderr)
    if len(work) > 1:
        print(f"live-sr: {len(work) - failed} of {len(work)} files made")
    return code


class _Makers:
    """What makes stills and videos, each begun with the first that needs it and ended with `stack`."""

    def __init__(self, options: UpscaleOptions, stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._stills: Stills | None = None
        self._runner: Runner | None = None

    def make(self, errand: Errand) -> None:
        """Raises LiveSRError."""
        if errand.is_still:
            self._still(errand)
            return
        options = self._options
        wishes = Wishes(options.preview, options.resume, options.discard, options.overwrite)
        if self._runner is None:
            self._runner = _runner(options, self._stack)
        video.upscale_video(errand.source, errand.target, options.work, options.encoding, wishes, run=self._runner)

    def _still(self, errand: Errand) -> None:
        if errand.target.exists() and not self._options.overwrite:
            if self._options.resume:
                return  # made by the command that was interrupted
            raise UsageError(f"{errand.target} is there already", "add --overwrite, or name another output")
        if self._stills is None:
            from live_sr.upscale.stills import Stills  # which needs a library that videos do without

            self._stills = self._stack.enter_context(closing(Stills(self._options.work)))
        self._stills.upscale(errand.source, errand.target)


def errands(inputs: Sequence[Path], output: Path) -> list[Errand]:
    """Every input file with what it becomes. Raises UsageError.

    One file becomes `output`, or a file of its own name in `output` where that is a folder or has no suffix. Several
    files and whole folders always go into a folder, a folder's with the folders they are in.
    """
    for path in inputs:
        if not path.exists():
            raise UsageError(f"there is no {path}", "correct the path")
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and not output.is_dir() and output.suffix:
        return [Errand(inputs[0], output)]
    if output.is_file():
        raise UsageError(f"{output} is a file, and several go into it", "name a folder as -o")
    found = [errand for path in inputs for errand in _inside(path, output)]
    if not found:
        raise UsageError(f"there is no picture and no video in {inputs[0]}", "name a folder with some in it")
    made: dict[Path, Path] = {}
    for errand in found:
        if errand.target in made:
            both = f"{made[errand.target]} and {errand.source}"
            raise UsageError(f"{both} would both become {errand.target}", "do one of them by itself")
        made[errand.target] = errand.source
    return found


def _inside(path: Path, output: Path) -> Iterator[Errand]:
    if not path.is_dir():
        yield Errand(path, output / _named(path))
        return
    into = output.resolve()
    for file in sorted(path.rglob("*")):
        known = file.suffix.lower() in (*PICTURES, *VIDEOS) and not file.name.startswith(".")
        if known and file.is_file() and not file.resolve().is_relative_to(into):
            yield Errand(file, output / file.relative_to(path).parent / _named(file))


def _named(path: Path) -> str:
    suffix = path.suffix.lower()
    return path.name if suffix in (*PICTURES, *WRITTEN) else f"{path.stem}.mkv"


def _check(options: UpscaleOptions) -> None:
    work = options.work
    if sum(one is not None for one in (work.scale, work.size, work.lines)) > 1:
        raise UsageError("--scale, --size and --to each say how large it becomes", "use one of them")
    if options.resume and options.discard:
        raise UsageError("--resume goes on with what --discard throws away", "use one of them")


def _runner(options: UpscaleOptions, stack: ExitStack) -> Runner:
    """What makes segments: this process, or a cluster that lives as long as `stack`."""
    if options.ray is None:
        return video.run_here
    from live_sr.upscale import cluster

    machines = stack.enter_context(cluster.cluster(options.ray, options.work.engine, options.workers))

    def run_there(
        job: Prepared, segments: Sequence[Segment], place: Callable[[Segment], Path], watcher: Watcher
    ) -> None:
        def finished(segment: Segment, tally: Tally) -> None:
            for _ in range(tally.frames):
                watcher.picture(None)
            watcher.finished(segment, tally)

        machines.run(job.footage, job.made, segments, place, finished)

    return run_there
