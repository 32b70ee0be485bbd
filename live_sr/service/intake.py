"""Turns an upload into a job, or refuses it before it waits in the queue."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import BinaryIO

from live_sr.errors import UsageError
from live_sr.models.resolve import Model
from live_sr.pipeline.frame import Size
from live_sr.service.jobs import ServiceJob, UploadLimit, clean_name
from live_sr.service.options import ServiceLimits, ServiceOptions
from live_sr.service.worker import ENCODING
from live_sr.upscale import kinds
from live_sr.upscale.command import choose_output_name
from live_sr.upscale.images import load
from live_sr.upscale.options import ScalingOptions
from live_sr.upscale.video import job as video

HEAD_BYTES = 1024
PICTURE_BYTES = 256 << 20  # a picture is read as a whole
FASTEST_FPS = 120  # a file that claims a higher rate has its frames counted as if it had this one
OGG = b"OggS"


class Intake:
    """Makes jobs in folders of their own. Looks at one file at a time, because libraries may need much memory."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._one = threading.Lock()

    def make_job(
        self, data: BinaryIO, name: str, model: Model, model_name: str, scale: int, *, temporary: bool
    ) -> ServiceJob:
        """Keeps the file, and checks it. Raises UploadLimit, UsageError or another LiveSRError; nothing is left then.

        model_name: as it is named in the catalogue. scale: 0 for the model's default.
        """
        job_id, shown = secrets.token_hex(16), clean_name(name)
        folder = self._options.folder / "jobs" / job_id
        folder.mkdir(parents=True)
        try:
            suffix = Path(shown).suffix.lower()
            known = suffix in (*kinds.IMAGE_SUFFIXES, *kinds.VIDEO_SUFFIXES)
            source = folder / f"source{suffix if known else ''}"
            with source.open("wb") as file:
                shutil.copyfileobj(data, file, 1 << 20)
            scaling = ScalingOptions(model, scale or None, engine=self._options.engine)
            with self._one:
                kind, target = self._check_file(source, shown, scaling)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ServiceJob(
            *(job_id, kind, shown, source.name, target.name, model_name, scale, temporary),
            created=time.time(),
        )

    def _check_file(self, source: Path, shown: str, scaling: ScalingOptions) -> tuple[str, Path]:
        """Its kind, and the path of its result."""
        kind = find_kind(source, shown)
        target = source.with_name(f"result{Path(choose_output_name(source, ENCODING.codec)).suffix}")
        try:
            if kind == "picture":
                _check_picture(source, scaling, self._options.limits)
            else:
                _check_video(source, target, scaling, self._options.limits)
        except UsageError as error:
            raise UsageError(error.message.replace(str(source), shown), error.remedy) from None
        return kind, target


def find_kind(path: Path, shown: str) -> str:
    """ "picture" or "video", by the content alone. Raises UsageError for anything else.

    The name is not believed: FFmpeg would open a playlist that is named like a video, and then the files in it.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UsageError(f"{shown} is empty", "choose another file")
    if kinds.detect_image_format(head):
        return "picture"
    if kinds.is_video_head(head) or head.startswith(OGG):
        return "video"
    raise UsageError(f"{shown} is no picture and no video of a kind that is read", "choose another file")


def _check_picture(source: Path, scaling: ScalingOptions, limits: ServiceLimits) -> None:
    if source.stat().st_size > PICTURE_BYTES:
        raise UploadLimit(f"a picture may have {PICTURE_BYTES >> 20} MB", "choose a smaller file")
    size = load.read_size(source) or load.read_image(source).size  # what the first cannot read, the second says why
    _check_pixels(size.times(scaling.choose_scale(size)), limits)


def _check_video(source: Path, target: Path, scaling: ScalingOptions, limits: ServiceLimits) -> None:
    prepared = video.prepare_job(source, target, scaling, ENCODING)
    _check_pixels(prepared.settings.size, limits)
    seconds = prepared.plan.frames / min(float(prepared.info.rate), FASTEST_FPS)
    if seconds > limits.seconds:
        raise UploadLimit(f"it lasts {seconds:.2f} s, and {limits.seconds:g} s is the limit", "cut it into parts")


def _check_pixels(size: Size, limits: ServiceLimits) -> None:
    megapixels = size.width * size.height / 1e6
    if megapixels > limits.megapixels:
        what = f"the result would be {size}, {megapixels:.2f} megapixels, and {limits.megapixels:g} is the limit"
        raise UploadLimit(what, "use a smaller scale or file")
