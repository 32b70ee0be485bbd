"""The bodies of requests and answers, as the OpenAPI document describes them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from live_sr.service.jobs import MEASUREMENT, JobState, ServiceJob


class Refusal(BaseModel):
    """Why a request was refused, and what helps."""

    detail: str
    remedy: str = ""


class ModelReply(BaseModel):
    name: str
    scales: list[int]
    kind: str = Field(description="network, filter, chain or published")


class CurrentModel(BaseModel):
    """The model for requests that name none; scale 0 is the model's default."""

    model: str
    scale: int


class LimitsReply(BaseModel):
    upload_bytes: int
    megapixels: float = Field(description="of a result, or of each frame of it")
    seconds: float
    queue: int


class Info(BaseModel):
    version: str
    engine: str
    current: CurrentModel
    models: list[ModelReply]
    scales: list[int] = Field(description="that a filter has")
    limits: LimitsReply
    queued: int
    running: int


class ModelByName(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    scale: int = Field(0, ge=0, le=8)


class ScoresReply(BaseModel):
    """PSNR of the luma in dB."""

    model: float
    bicubic: float
    lanczos: float


class Figure(BaseModel):
    """What is known of a network."""

    model: str
    scale: int
    psnr_y: dict[str, ScoresReply] = Field(description="on frames that it was not trained with, by game")
    fps: float | None = Field(description="frames of 480x270 a second on this machine; null: not measured")
    engine: str = Field(description="that was measured")
    left_out: str = Field(description="why the last measurement has no speed of it")


class JobReply(BaseModel):
    id: str
    name: str
    kind: str = Field(description="picture, video or measurement")
    state: JobState
    done: int = Field(description="frames, or networks that were measured")
    total: int = Field(description="frames; 0 until they are counted")
    model: str
    scale: int
    message: str = Field(description="why it failed, or what a measurement left out")
    result: str | None = Field(description="where the result is, once the job is finished")

    @classmethod
    def from_job(cls, job: ServiceJob) -> JobReply:
        return cls(
            **{name: getattr(job, name) for name in cls.model_fields if name != "result"},
            result=f"/jobs/{job.id}/result" if job.state is JobState.FINISHED and job.kind != MEASUREMENT else None,
        )
