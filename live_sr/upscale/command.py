"""Finds the output of each input file, and runs the jobs one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import __version__
from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging.video_file import printable
from live_sr.terminal import print_error, print_result
from live_sr.upscale import kinds
from live_sr.upscale.images import journal
from live_sr.upscale.images.journal import PictureJournal
from live_sr.upscale.kinds import WRITABLE_SUFFIXES, find_kind
from live_sr.upscale.options import ScalingOptions, UpscaleOptions
from live_sr.upscale.video import job as video
from live_sr.upscale.video.containers import can_hold_codec
from live_sr.upscale.video.job import OutputOptions, SegmentRunner, TranscodeJob
from live_sr.upscale.video.segment_file import FrameCounts
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.transcode import TranscodeCallbacks

if TYPE_CHECKING:
    from live_sr.upscale.images.job import ImageUpscaler

log = logging.getLogger(__name__)

NAMES_SHOWN = 10  # of the files that a folder holds and that are passed over


@dataclass(frozen=True)
class UpscaleJob:
    """One input file and its output file."""

    source: Path
    target: Path

    @property
    def is_image(self) -> bool:
        """An animated picture can become a video."""
        return kinds.find_kind(self.source) == "picture" and self.target.suffix.lower() not in kinds.VIDEO_SUFFIXES


def run(options: UpscaleOptions) -> int:
    """Runs all jobs and returns the exit code. After a failure it continues, and returns the first failure's code.

    Where there is only one job, its LiveSRError is raised.
    """
    _check_options(options)
    jobs = plan_jobs(options.inputs, options.output, options.encoding.codec)
    report_passed_over(options.inputs, options.output)
    code = failed = 0
    with ExitStack() as stack:
        runner = _JobRunner(options, stack)
        for job in jobs:
            try:
                runner.run(job)
            except LiveSRError as error:
                if len(jobs) == 1:
                    raise
                code, failed = code or error.exit_code, failed + 1
                print_error(error)
        if not failed:
            runner.finish()
    if len(jobs) > 1:
        print_result(f"live-sr: {len(jobs) - failed} of {len(jobs)} files are finished")
    return code


class _JobRunner:
    """Runs jobs. What pictures or videos need is created with the first job that needs it, and closed by `stack`."""

    def __init__(self, options: UpscaleOptions, stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._images: ImageUpscaler | None = None
        self._segment_runner: SegmentRunner | None = None
        self._journal = PictureJournal()
        self._unknown = 0  # pictures that were there already

    def run(self, job: UpscaleJob) -> None:
        """Raises LiveSRError."""
        if job.is_image:
            self._upscale_image(job)
            return
        options = self._options
        output = OutputOptions(options.preview, options.resume, options.discard, options.overwrite)
        if self._segment_runner is None:
            self._segment_runner = _make_segment_runner(options, self._stack)
        video.upscale_video(job.source, job.target, options.scaling, options.encoding, output, run=self._segment_runner)

    def finish(self) -> None:
        """All jobs have succeeded."""
        self._journal.delete()
        if self._unknown:
            there = "1 picture was" if self._unknown == 1 else f"{self._unknown} pictures were"
            log.info("%s there already, of the right size, and not made again; --overwrite does that", there)

    def _upscale_image(self, job: UpscaleJob) -> None:
        if self._images is None:
            from live_sr.upscale.images.job import ImageUpscaler  # needs pyvips, which videos do not

            self._images = self._stack.enter_context(closing(ImageUpscaler(self._options.scaling)))
        settings = describe_picture_job(job.source, self._options.scaling)
        if job.target.exists() and not self._options.overwrite:
            if not self._options.resume:
                raise UsageError(f"{job.target} exists already", "add --overwrite, or name another output")
            self._check_finished(job, settings, self._images)
            return
        self._images.upscale(job.source, job.target)
        self._journal.add(job.target, settings)

    def _check_finished(self, job: UpscaleJob, settings: Sequence[object], images: ImageUpscaler) -> None:
        """Raises UsageError unless the interrupted command made the target as it is wanted now."""
        found = self._journal.look_up(job.target, settings)
        if found == journal.FINISHED:
            return
        if found == journal.OTHER_SETTINGS or not images.has_target_size(job.source, job.target):
            raise UsageError(
                f"{job.target} was made with other settings, or of another picture",
                "use the same flags as before, or add --overwrite, or name another output",
            )
        self._unknown += 1


def describe_picture_job(source: Path, scaling: ScalingOptions) -> list[object]:
    """Everything that an enlarged picture depends on. Raises UsageError for a file that is gone."""
    try:
        facts = source.stat()
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}", "correct the path") from None
    card = scaling.model.get_card(scaling.scale or scaling.model.default_scale)
    weights = [card.onnx, card.onnx.stat().st_mtime_ns] if card and card.onnx.is_file() else []
    return [
        *(__version__, str(source.resolve()), facts.st_size, facts.st_mtime_ns, scaling.model.name, weights),
        *(scaling.scale, scaling.size, scaling.lines, scaling.tile, scaling.engine),
    ]


def plan_jobs(inputs: Sequence[Path], output: Path, codec: str = "libx264") -> list[UpscaleJob]:
    """One job for each input file. Raises UsageError.

    A single file becomes `output`, or a file of the same name in `output` where that is a folder or has no suffix.
    Several files and whole folders always go into a folder. Files of a folder keep their subfolders.
    """
    for path in inputs:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}", "correct the path")
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and not output.is_dir() and output.suffix:
        return [UpscaleJob(inputs[0], output)]
    if output.is_file():
        raise UsageError(f"{output} is a file, but there are several inputs", "name a folder with -o")
    found = [job for path in inputs for job in _find_jobs(path, output, codec)]
    if not found:
        raise UsageError(f"there is no picture and no video in {inputs[0]}", "name a folder that contains some")
    sources: dict[Path, Path] = {}
    for job in found:
        if job.target in sources:
            both = f"{sources[job.target]} and {job.source}"
            raise UsageError(f"{both} would both become {job.target}", "upscale one of them in a command of its own")
        sources[job.target] = job.source
    return found


def report_passed_over(inputs: Sequence[Path], output: Path) -> None:
    """Names the files of folders from which nothing can be made."""
    files = [file for path in inputs if path.is_dir() for file in _list_files(path, output)]
    names = [file.name for file in files if not _is_usable(file)]
    if names:
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        log.info("left out, because they are empty, or of no kind that is read: %s", printable(shown))


def _find_jobs(path: Path, output: Path, codec: str) -> Iterator[UpscaleJob]:
    if not path.is_dir():
        yield UpscaleJob(path, output / choose_output_name(path, codec))
        return
    for file in _list_files(path, output):
        if _is_usable(file):
            yield UpscaleJob(file, output / file.relative_to(path).parent / choose_output_name(file, codec))


def _list_files(folder: Path, output: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders, without what is hidden and what is in `output`."""
    output_folder = output.resolve()
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        hidden = hidden or file.name.lower() in kinds.IGNORED_NAMES
        if file.is_file() and not hidden and not file.resolve().is_relative_to(output_folder):
            yield file


def _is_usable(file: Path) -> bool:
    return bool(find_kind(file)) and file.stat().st_size > 0 and not kinds.is_unread_image(file)


def choose_output_name(path: Path, codec: str) -> str:
    """The same name, with another suffix where the format cannot be written, or cannot hold that codec."""
    suffix = path.suffix.lower()
    if find_kind(path) == "picture":
        return path.name if suffix in WRITABLE_SUFFIXES else f"{path.stem}.png"
    return path.name if can_hold_codec(suffix, codec) else f"{path.stem}.mkv"


def _check_options(options: UpscaleOptions) -> None:
    scaling = options.scaling
    if sum(one is not None for one in (scaling.scale, scaling.size, scaling.lines)) > 1:
        raise UsageError("--scale, --size and --to each set the size of the result", "use one of them")
    if options.resume and options.discard:
        raise UsageError("--resume continues what --discard deletes", "use one of them")


def _make_segment_runner(options: UpscaleOptions, stack: ExitStack) -> SegmentRunner:
    """A function that makes segments: in this process, or on a cluster that `stack` shuts down."""
    if options.ray is None:
        return video.run_in_process
    from live_sr.upscale.video import ray_cluster

    cluster = stack.enter_context(ray_cluster.open_cluster(options.ray, options.scaling.engine, options.workers))

    def run_on_cluster(
        job: TranscodeJob,
        segments: Sequence[Segment],
        get_path: Callable[[Segment], Path],
        callbacks: TranscodeCallbacks,
    ) -> None:
        if job.settings.scaling.is_recurrent(job.info.size):
            log.info("%s needs the frames in order, so it is not shared among workers", options.scaling.model.name)
            video.run_in_process(job, segments, get_path, callbacks)
            return

        def report(segment: Segment, counts: FrameCounts) -> None:
            for _ in range(counts.frames):
                callbacks.on_frame(None)
            callbacks.on_segment(segment, counts)

        cluster.run(job.info, job.settings, segments, get_path, report)

    return run_on_cluster
