"""Jobs over HTTP: begin one, watch it, fetch its result, cancel it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.routing import APIRoute

from live_sr.service.gate import FORM_BYTES, PLACE, UPLOAD_PATHS
from live_sr.service.jobs import ServiceJob
from live_sr.service.options import SCALES
from live_sr.service.replies import JobReply, Refusal
from live_sr.service.service import Service

REFUSALS: dict[int | str, dict[str, object]] = {
    code: {"model": Refusal, "description": meaning}
    for code, meaning in (
        (400, "the form cannot be read"),
        (401, "the token is missing or wrong"),
        (403, "a page of another site"),
        (404, "there is no such job"),
        (409, "the job is not finished"),
        (413, "too many bytes, pixels or seconds"),
        (415, "no form that can hold a file"),
        (421, "another host's name"),
        (422, "the file, model or scale cannot be used"),
        (429, "the queue is full"),
        (503, "a package is missing here, or the service is being stopped"),
        (507, "the disk is full"),
    )
}


class _UploadRequest(Request):
    """A request whose form has one file and a few words. Only the file is written to the disk."""

    async def form(self, **limits: Any) -> Any:  # type: ignore[override]  # FastAPI only awaits it
        is_multipart = self.headers.get("content-type", "").lower().startswith("multipart/form-data")
        if self.scope["path"] in UPLOAD_PATHS and not is_multipart:
            raise HTTPException(415, "a file is sent in a form of the type multipart/form-data")
        try:
            return await super().form(max_files=1, max_fields=8, max_part_size=FORM_BYTES)
        except OSError as error:
            raise HTTPException(507, f"the file cannot be kept: {error.strerror}") from None


class UploadRoute(APIRoute):
    """A route whose form, if it has one, is limited: parts without a file name would be kept in memory."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            return await handle(_UploadRequest(request.scope, request.receive))

        return handle_limited


router = APIRouter(responses=REFUSALS, tags=["jobs"], route_class=UploadRoute)


def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(get_service)]
JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
Upload = Annotated[UploadFile, File(description="a picture or a video")]
ModelName = Annotated[str, Form(max_length=200, description="empty: the current model")]
Scale = Annotated[int, Form(ge=0, le=max(SCALES), description="0: the current scale, or the model's own")]


async def accept_upload(
    request: Request, service: Service, file: UploadFile, model: str, scale: int, *, temporary: bool
) -> ServiceJob:
    """Puts the uploaded file into the queue, in the place that its request has taken. Raises LiveSRError."""
    place = request.scope[PLACE]

    def accept() -> ServiceJob:
        return service.accept(file.file, file.filename or "", model, scale, temporary=temporary, place=place)

    return await run_in_threadpool(accept)


def make_file_response(service: Service, job: ServiceJob) -> FileResponse:
    """The result as a download. Raises JobNotFinished."""
    path = service.get_result_path(job)
    name = Path(job.name)
    shown = f"{name.stem}-{job.model}{f'-x{job.scale}' if job.scale else ''}{path.suffix}"
    return FileResponse(path, filename=shown.replace("/", "_").replace("\\", "_"))


@router.post("/jobs", status_code=202)
async def begin_job(request: Request, service: Here, file: Upload, model: ModelName = "", scale: Scale = 0) -> JobReply:
    """Takes a picture or video, and answers at once."""
    return JobReply.from_job(await accept_upload(request, service, file, model, scale, temporary=False))


@router.get("/jobs/{job_id}")
async def show_job(service: Here, job_id: JobId) -> JobReply:
    """State and progress."""
    return JobReply.from_job(service.store.get(job_id))


@router.get("/jobs/{job_id}/result", response_class=FileResponse)
async def fetch_result(service: Here, job_id: JobId) -> FileResponse:
    """The finished picture or video."""
    return make_file_response(service, service.store.get(job_id))


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(service: Here, job_id: JobId) -> JobReply:
    """Stops a job that has not ended, after its current frame or picture."""
    await run_in_threadpool(service.worker.cancel, job_id)
    return JobReply.from_job(service.store.get(job_id))


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def stream_events(service: Here, job_id: JobId) -> StreamingResponse:
    """Server-sent events: the job, now and after each change, until it has ended."""
    service.store.get(job_id)  # raises before the answer begins

    async def stream() -> AsyncIterator[str]:
        async for job in service.watch(job_id):
            yield f"data: {JobReply.from_job(job).model_dump_json()}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
