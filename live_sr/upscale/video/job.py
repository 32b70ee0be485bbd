"""Enlarges a video and keeps everything else in it: prepares the job, makes the segments, and muxes them.

`prepare_job`, `upscale_segment` and `mux_segments` depend only on their arguments, which are plain values and files. So
any process on any machine produces the same bytes from them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av

from live_sr import __version__
from live_sr.engines import factory
from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging import video_colour as colour
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import SequenceEngine
from live_sr.pipeline.frame import Pixels
from live_sr.system.memory import get_free_memory
from live_sr.terminal import Progress, format_duration
from live_sr.upscale.options import SQUARE, EncodingOptions, ScalingOptions
from live_sr.upscale.preview import Preview
from live_sr.upscale.video import finished_videos, job_folder, mux, segment_file, source_info, streams
from live_sr.upscale.video.containers import choose_container
from live_sr.upscale.video.encode import SegmentSettings, choose_settings
from live_sr.upscale.video.job_folder import JobFolder
from live_sr.upscale.video.segment_file import FrameCounts, SegmentFile
from live_sr.upscale.video.segments import Segment, SegmentPlan, plan_segments
from live_sr.upscale.video.sequence_state import SequenceStates, choose_first
from live_sr.upscale.video.source_info import VideoInfo
from live_sr.upscale.video.streams import LeftOutStream
from live_sr.upscale.video.transcode import TranscodeCallbacks, TranscodePipeline

log = logging.getLogger(__name__)

Notify = Callable[[str], None]
"""Is called with a sentence for the user."""


@dataclass(frozen=True)
class TranscodeJob:
    """Everything that is decided before the work begins. container: FFmpeg's name of the target's format."""

    info: VideoInfo
    settings: SegmentSettings
    plan: SegmentPlan
    container: str
    left_out: tuple[LeftOutStream, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OutputOptions:
    """The options that do not change the frames. See UpscaleOptions."""

    preview: Path | None = None
    resume: bool = False
    discard: bool = False
    overwrite: bool = False


SegmentRunner = Callable[[TranscodeJob, Sequence[Segment], Callable[[Segment], Path], TranscodeCallbacks], None]
"""Makes segments of a prepared video, each in its file, and calls the callbacks."""


def prepare_job(source: Path, target: Path, scaling: ScalingOptions, encoding: EncodingOptions) -> TranscodeJob:
    """Reads the source and decides how to process it. Raises UsageError, ModelError or MissingPart."""
    found = source_info.read_info(source.absolute())
    source_info.check_supported(found, encoding.allow_8bit)
    container = choose_container(target)
    settings = choose_settings(found, scaling, encoding, global_header=container.global_header)
    left_out = streams.find_left_out(found, settings, container.name)
    plan = plan_segments(found, encoding.segment_s)
    found = replace(found, clock=plan.clock)
    notes = _list_notes(found, settings, plan, container.name)
    return TranscodeJob(found, settings, plan, container.name, tuple(left_out), tuple(notes))


def upscale_segment(
    info: VideoInfo, segment: Segment, settings: SegmentSettings, target: Path, *, engine: Engine | None = None
) -> FrameCounts:
    """Makes one segment's file. engine: a warm engine from `make_warm_engine` to reuse; it stays open."""
    used = engine or make_warm_engine(info, settings)
    try:
        TranscodePipeline(info, settings, lambda _: target).run(used, [segment])
    finally:
        if engine is None:
            used.close()
    done = segment_file.read_segment(target)
    assert done is not None
    return done.counts


def make_warm_engine(info: VideoInfo, settings: SegmentSettings) -> Engine:
    """An engine for the frames of that video, warmed up. Raises ModelError, EngineError or MissingPart."""
    engine = settings.scaling.make_engine(info.size)
    engine.warm_up(info.size)
    return engine


def run_in_process(
    job: TranscodeJob, segments: Sequence[Segment], get_path: Callable[[Segment], Path], callbacks: TranscodeCallbacks
) -> None:
    """The SegmentRunner that works in this process, with one engine for all segments."""
    engine = make_warm_engine(job.info, job.settings)
    try:
        _report_cost(engine, job, segments)
        TranscodePipeline(job.info, job.settings, get_path, callbacks).run(engine, segments)
    finally:
        engine.close()


def _report_cost(engine: Engine, job: TranscodeJob, segments: Sequence[Segment]) -> None:
    """Says how long a network that needs several frames at once will take, and how much memory. Raises EngineError."""
    sequence = engine.open_sequence(job.settings.scaling.tile) if isinstance(engine, SequenceEngine) else None
    if sequence is None:
        return
    cost = sequence.measure_cost(job.info.size)
    length = format_duration(cost.seconds * sum(segment.frames for segment in segments))
    log.info(
        "%s: about %.2g s a frame on this machine, %s in all, and %.1f GB of memory",
        *(job.info.path.name, cost.seconds, length, cost.bytes / 1e9),
    )
    free = get_free_memory()
    if cost.bytes > free:
        log.warning("only %.1f GB are free: use smaller tiles (--tile 64), or a smaller video", free / 1e9)


def upscale_video(
    source: Path,
    target: Path,
    scaling: ScalingOptions,
    encoding: EncodingOptions,
    output: OutputOptions = OutputOptions(),  # immutable
    *,
    notify: Notify = log.info,
    run: SegmentRunner = run_in_process,
) -> FrameCounts:
    """Writes `target`, or leaves only what `--resume` can continue with. Raises LiveSRError, KeyboardInterrupt."""
    if target.exists() and not output.overwrite and not job_folder.has_unfinished_job(target):
        if not output.resume:
            raise UsageError(f"{target} exists already", "add --overwrite, or name another output")
        notify(_describe_finished(target, prepare_job(source, target, scaling, encoding)))
        return FrameCounts()
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} would overwrite its input", "name another output")
    job = prepare_job(source, target, scaling, encoding)
    journal = _describe_job(job)
    for note in (*job.notes, *(str(stream) for stream in job.left_out if stream.reported)):
        notify(f"{source.name}: {note}")
    with JobFolder(target, journal, resume=output.resume, discard=output.discard) as folder:
        try:
            counts = _make_target(job, folder, output, notify, run)
        except (LiveSRError, KeyboardInterrupt):
            if folder.count_complete():
                done = f"{folder.count_complete()} of {len(job.plan.segments)} segments are kept"
                notify(f"{target.name} is not finished: {done}; --resume continues, --discard starts again")
            raise
    finished_videos.remember(target, journal)
    notify(f"{target}: {_describe_result(counts, job)}")
    return counts


def _describe_finished(target: Path, job: TranscodeJob) -> str:
    """A sentence about a finished file. Raises UsageError if it is not the result of that job."""
    changed = finished_videos.find_changes(target, _describe_job(job))
    if changed == []:
        return f"{target} is already complete"
    made, codec = source_info.read_info(target.absolute()), av.Codec(job.settings.codec, "w").canonical_name
    if changed is None and (made.size, made.codec) == (job.settings.size, codec):
        return f"{target} is there already, of the right size and codec, and not made again; --overwrite does that"
    what = f": {', '.join(changed)}" if changed else ", or of another video"
    raise UsageError(
        f"{target} was made with other settings{what}",
        "use the same flags as before, or add --overwrite, or name another output",
    )


def _make_target(
    job: TranscodeJob, folder: JobFolder, output: OutputOptions, notify: Notify, run: SegmentRunner
) -> FrameCounts:
    def get_path(segment: Segment) -> Path:
        return folder.get_segment_path(segment.number)

    missing: Sequence[Segment]
    missing = [segment for segment in job.plan.segments if job_folder.must_be_made(get_path(segment))]
    if job.settings.scaling.is_recurrent(job.info.size):
        missing = choose_first(job.plan.segments, missing, SequenceStates(get_path))
    if len(missing) < len(job.plan.segments):
        notify(f"{len(job.plan.segments) - len(missing)} of {len(job.plan.segments)} segments were finished before")
    if missing:
        done = job.plan.frames - sum(segment.frames for segment in missing)
        progress = Progress(job.info.path.name, job.plan.frames, done)
        preview = Preview(output.preview, factory.make_resizer("auto"), notify) if output.preview else None

        def show_progress(pixels: Pixels | None) -> None:
            progress.step()
            if preview is not None and pixels is not None:
                preview.show(pixels)

        try:
            run(job, missing, get_path, TranscodeCallbacks(on_frame=show_progress))
        finally:
            progress.close()
    segments = [_read_finished(get_path(segment)) for segment in job.plan.segments]
    counts = sum((segment.counts for segment in segments), FrameCounts())
    if not counts.frames:
        raise UsageError(f"{job.info.path} has no frame that can be decoded", "choose another video file")
    mux.mux_segments(
        job.info, job.settings, segments, folder.muxed_path, job.container, [stream.index for stream in job.left_out]
    )
    folder.finish()
    return counts


def _read_finished(path: Path) -> SegmentFile:
    found = segment_file.read_segment(path)
    if found is None:
        raise LiveSRError(f"{path} was changed or deleted while it was in use", "continue with --resume")
    return found


def _describe_job(job: TranscodeJob) -> dict[str, str]:
    """Everything that the segments depend on, by name, so that a resumed job can name what differs."""
    settings, info = job.settings, job.info
    engine = settings.scaling.make_engine(info.size)
    try:
        engine_name = str(engine.info)
    finally:
        engine.close()
    card = settings.scaling.model.get_card(settings.scaling.choose_scale(info.size))
    weights = f"{card.onnx} of {card.onnx.stat().st_mtime_ns}" if card and card.onnx.is_file() else ""
    return {
        "input": f"{info.path}, {info.file_bytes} bytes, changed at {info.mtime_ns}",
        "model and engine": f"{engine_name}, {settings.scaling.model.name}, {weights}, tile {settings.scaling.tile}",
        "size": str(settings.size),
        "codec": f"{settings.codec} {settings.pixel_format} {settings.threads} {settings.options} "
        f"{settings.colours} {settings.pixel_aspect}",
        "container": f"header apart: {settings.global_header}",
        "segments": f"{len(job.plan.segments)}, cut at {[segment.begin for segment in job.plan.segments]}",
        "version": f"live-sr {__version__}, PyAV {av.__version__}, {av.library_versions}",
    }


def _list_notes(info: VideoInfo, settings: SegmentSettings, plan: SegmentPlan, container: str) -> list[str]:
    """Notes for the user, shown before the work begins."""
    notes = [plan.ends_early] if plan.ends_early else []
    if plan.missing:
        notes.append(f"{plan.missing} frames are missing: the file is damaged, or the recorder dropped them")
    bits = colour.get_bit_depth(info.pixel_format)
    if bits > 8:
        notes.append(f"its {bits} bits a channel are reduced to 8")
    if info.transparent:
        notes.append("its transparency is not kept")
    if info.geometry.tilt and container not in streams.TILT_FORMATS:
        notes.append(f"{container} files cannot keep the angle at which players show it")
    if info.interlaced:
        notes.append("it is interlaced and is enlarged as it is; it would look better if it were deinterlaced first")
    kept, had = colour.get_chroma_subsampling(settings.pixel_format), colour.get_chroma_subsampling(info.pixel_format)
    if had != kept and had != "rgb":
        notes.append(f"{settings.codec} stores its {had} chroma as {kept}")
    wanted = settings.scaling.compute_target_size(info.size, info.pixel_aspect or SQUARE)
    if settings.size != wanted:
        notes.append(
            f"{wanted} becomes {settings.size}: {settings.codec} cannot use odd sizes in {settings.pixel_format}"
        )
    if len(plan.segments) == 1 and plan.frames > 20 * info.rate:
        notes.append("it cannot be cut into segments, so --resume would start from the beginning")
    return notes


def _describe_result(counts: FrameCounts, job: TranscodeJob) -> str:
    words = [f"{counts.frames} frames of {job.settings.size}"]
    if counts.duplicates:
        words.append(f"{counts.duplicates} equal to the frame before, upscaled once")
    if counts.mended:
        words.append(f"{counts.mended} damaged in the source")
    if counts.broken:
        words.append(f"{counts.broken} broken in the source and skipped")
    return ", ".join(words)
