"""A video enlarged, with everything else in it kept: prepared, made segment by segment, joined.

`prepare`, `upscale_segment` and `join` depend on their arguments only, which are plain values and files: whoever has
them, here or on another machine, makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from live_sr import __version__, assembly
from live_sr.contracts import Engine
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Pixels
from live_sr.upscale import colour, footage, join, segmentfile, workshop
from live_sr.upscale.belt import Belt, Watcher
from live_sr.upscale.encode import Recipe, recipe, whole
from live_sr.upscale.footage import Footage
from live_sr.upscale.join import LeftOut
from live_sr.upscale.options import Encoding, Work
from live_sr.upscale.progress import Preview, Progress
from live_sr.upscale.segmentfile import SegmentFile, Tally
from live_sr.upscale.segments import Plan, Segment, plan
from live_sr.upscale.workshop import Workshop

Tell = Callable[[str], None]
"""Is given a sentence for the user."""


@dataclass(frozen=True)
class Prepared:
    """All that is decided before the first picture is enlarged. `form`: FFmpeg's name of the target's container."""

    footage: Footage
    made: Recipe
    plan: Plan
    form: str
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Wishes:
    """What is not about the pictures. See UpscaleOptions."""

    preview: Path | None = None
    resume: bool = False
    discard: bool = False
    overwrite: bool = False


Runner = Callable[[Prepared, Sequence[Segment], Callable[[Segment], Path], Watcher], None]
"""Makes segments of a prepared video, each at its place, and tells the watcher of each that is finished."""


def prepare(source: Path, target: Path, work: Work, encoding: Encoding) -> Prepared:
    """Looks at the source and decides. Raises UsageError, ModelError, MissingPart with what stands in the way."""
    found = footage.read(source.absolute())
    footage.check(found, encoding.allow_8bit)
    container = join.container(target)
    made = recipe(found, work, encoding, header_apart=container.header_apart)
    left_out = join.survey(found, made, container.name)
    cut = plan(found, encoding.segment_s)
    return Prepared(found, made, cut, container.name, tuple(left_out), tuple(_notes(found, made, cut)))


def upscale_segment(
    source: Footage, segment: Segment, made: Recipe, target: Path, *, engine: Engine | None = None
) -> Tally:
    """Makes one segment's file. `engine`: one from `made.work.make_engine`, warmed up, to be used once more."""
    own = engine or ready_engine(source, made)
    try:
        Belt(source, made, lambda _: target).run(own, [segment])
    finally:
        if engine is None:
            own.close()
    done = segmentfile.read(target)
    assert done is not None
    return done.tally


def ready_engine(source: Footage, made: Recipe) -> Engine:
    """An engine for the pictures of that source, warmed up. Raises ModelError, EngineError or MissingPart."""
    engine = made.work.make_engine(source.size)
    engine.warm_up(source.size)
    return engine


def run_here(job: Prepared, segments: Sequence[Segment], place: Callable[[Segment], Path], watcher: Watcher) -> None:
    """The runner of this process: one engine, whose decoder and encoder go on from segment to segment."""
    engine = ready_engine(job.footage, job.made)
    try:
        Belt(job.footage, job.made, place, watcher).run(engine, segments)
    finally:
        engine.close()


def upscale_video(
    source: Path,
    target: Path,
    work: Work,
    encoding: Encoding,
    wishes: Wishes = Wishes(),  # immutable
    *,
    tell: Tell = print,
    run: Runner = run_here,
) -> Tally:
    """Writes `target`, or leaves nothing but what `--resume` can go on with. Raises LiveSRError, KeyboardInterrupt."""
    if target.exists() and not wishes.overwrite and not workshop.unfinished(target):
        if wishes.resume:
            tell(f"{target} is complete already")
            return Tally()
        raise UsageError(f"{target} is there already", "add --overwrite, or name another output")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} would replace what it is made from", "name another output")
    job = prepare(source, target, work, encoding)
    for note in (*job.notes, *(str(stream) for stream in job.left_out if stream.told)):
        tell(f"{source.name}: {note}")
    with Workshop(target, _journal(job), resume=wishes.resume, discard=wishes.discard) as shop:
        try:
            tally = _made(job, shop, wishes, tell, run)
        except (LiveSRError, KeyboardInterrupt):
            if shop.complete():
                done = f"{shop.complete()} of {len(job.plan.segments)} segments are kept"
                tell(f"{target.name} is not finished: {done}, and --resume goes on, --discard begins again")
            raise
    tell(f"{target}: {_result(tally, job)}")
    return tally


def _made(job: Prepared, shop: Workshop, wishes: Wishes, tell: Tell, run: Runner) -> Tally:
    def place(segment: Segment) -> Path:
        return shop.place(segment.number)

    missing = [segment for segment in job.plan.segments if workshop.damaged(place(segment))]
    if len(missing) < len(job.plan.segments):
        tell(f"{len(job.plan.segments) - len(missing)} of {len(job.plan.segments)} segments were done before")
    if missing:
        done = job.plan.frames - sum(segment.frames for segment in missing)
        progress = Progress(job.footage.path.name, job.plan.frames, done)
        preview = Preview(wishes.preview, assembly.resizer("auto"), tell) if wishes.preview else None

        def follow(pixels: Pixels | None) -> None:
            progress.step()
            if preview is not None and pixels is not None:
                preview.show(pixels)

        try:
            run(job, missing, place, Watcher(picture=follow))
        finally:
            progress.end()
    segments = [_read(place(segment)) for segment in job.plan.segments]
    tally = sum((segment.tally for segment in segments), Tally())
    if not tally.frames:
        raise UsageError(f"{job.footage.path} has no picture that can be decoded", "choose another video file")
    join.join(job.footage, job.made, segments, shop.whole, job.form, [stream.index for stream in job.left_out])
    shop.finish()
    return tally


def _read(path: Path) -> SegmentFile:
    found = segmentfile.read(path)
    if found is None:
        raise LiveSRError(f"{path} was changed or deleted while it was needed", "go on with --resume")
    return found


def _journal(job: Prepared) -> dict[str, str]:
    """What the segments depend on, in words that tell what differs."""
    made, source = job.made, job.footage
    engine = made.work.make_engine(source.size)
    try:
        does = str(engine.job)
    finally:
        engine.close()
    card = assembly.about(made.work.model, made.work.factor(source.size))
    weights = f"{card.onnx} of {card.onnx.stat().st_mtime_ns}" if card and card.onnx.is_file() else ""
    return {
        "input": f"{source.path}, {source.bytes} bytes, changed at {source.changed_ns}",
        "model and engine": f"{does}, {made.work.model}, {weights}, tile {made.work.tile}",
        "size": str(made.size),
        "codec": f"{made.codec} {made.pixels} {made.threads} {made.options} {made.colours} {made.aspect}",
        "container": f"header apart: {made.header_apart}",
        "segments": f"{len(job.plan.segments)}, cut at {[segment.begin for segment in job.plan.segments]}",
        "version": f"live-sr {__version__}, PyAV {av.__version__}, {av.library_versions}",
    }


def _notes(source: Footage, made: Recipe, cut: Plan) -> list[str]:
    """What somebody should know before it begins."""
    notes = [cut.ends_early] if cut.ends_early else []
    bits = colour.depth(source.pixels)
    if bits > 8:
        notes.append(f"its {bits} bits a channel become 8")
    if colour.has_alpha(source.pixels):
        notes.append("its transparency is left out")
    if source.interlaced:
        notes.append("it is interlaced and is enlarged as it is; deinterlaced first, it would look better")
    kept, had = colour.chroma(made.pixels), colour.chroma(source.pixels)
    if had != kept and had != "rgb":
        notes.append(f"{made.codec} stores its {had} colours as {kept}")
    wanted = made.work.target(source.size)
    if whole(wanted, made.pixels) != wanted:
        notes.append(f"{wanted} becomes {made.size}: {made.codec} takes no odd sizes in {made.pixels}")
    if len(cut.segments) == 1 and cut.frames > 20 * source.rate:
        notes.append("it cannot be cut into segments, so --resume would begin at its start")
    return notes


def _result(tally: Tally, job: Prepared) -> str:
    words = [f"{tally.frames} frames of {job.made.size}"]
    if tally.duplicates:
        words.append(f"{tally.duplicates} the same as the one before, upscaled once")
    if tally.mended:
        words.append(f"{tally.mended} damaged in the source")
    if tally.broken:
        words.append(f"{tally.broken} broken in the source and left out")
    return ", ".join(words)
