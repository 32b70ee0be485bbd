"""The interface over HTTP: the application with its routes, its page and its answers to errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException

from live_sr import __version__
from live_sr.engines import engine_choice
from live_sr.errors import LiveSRError, MissingPart
from live_sr.service import figures, job_routes
from live_sr.service.gate import RequestGate, describe
from live_sr.service.job_routes import (
    REFUSALS,
    Here,
    ModelName,
    Scale,
    Upload,
    UploadRoute,
    accept_upload,
    get_service,
    make_file_response,
)
from live_sr.service.jobs import (
    JobNotFinished,
    JobState,
    JobWithoutFile,
    QueueFull,
    ServiceStopped,
    StoreFailed,
    UnknownJob,
    UploadLimit,
)
from live_sr.service.metrics import CONTENT_TYPE
from live_sr.service.options import SCALES
from live_sr.service.replies import CurrentModel, Figure, Info, JobReply, LimitsReply, ModelByName, ModelReply
from live_sr.service.service import Service

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/docs": "docs.html",
    "/docs.js": "docs.js",
    "/example.png": "example.png",
}
STATUS_CODES: tuple[tuple[type[LiveSRError], int], ...] = (
    (QueueFull, 429),
    (UnknownJob, 404),
    (JobNotFinished, 409),
    (JobWithoutFile, 409),
    (UploadLimit, 413),
    (MissingPart, 503),
    (ServiceStopped, 503),
    (StoreFailed, 507),
    (LiveSRError, 422),
)
router = APIRouter(responses=REFUSALS, route_class=UploadRoute)


def make_app(service: Service) -> FastAPI:
    """The application. `service` is opened and closed with it."""

    @asynccontextmanager
    async def run_service(app: FastAPI) -> AsyncIterator[None]:
        service.open()
        deleting = asyncio.create_task(service.delete_old_jobs())
        try:
            yield
        finally:
            deleting.cancel()
            with suppress(asyncio.CancelledError):
                await deleting
            await run_in_threadpool(service.close)

    app = FastAPI(
        title="live-sr", version=__version__, lifespan=run_service, docs_url=None, redoc_url=None, license_info=None
    )
    app.state.service = service
    app.include_router(router)
    app.include_router(job_routes.router)
    for path, name in PAGE_FILES.items():
        app.add_api_route(path, _make_page_route(PAGE / name), include_in_schema=False)
    app.add_exception_handler(LiveSRError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(StarletteHTTPException, _answer_http)
    app.add_exception_handler(OSError, _answer_disk)
    app.add_middleware(RequestGate, options=service.options, worker=service.worker)
    return app


@router.get("/info")
def show_info(service: Here) -> Info:
    """Models, limits and how busy it is."""
    options, (model, scale) = service.options, service.get_current()
    return Info(
        version=__version__,
        engine=engine_choice.choose_engine(options.engine)[0].name,
        current=CurrentModel(model=model, scale=scale),
        models=[ModelReply(name=n, scales=list(s), kind=k) for n, s, k in service.catalogue.list()],
        scales=list(SCALES),
        limits=LimitsReply.model_validate(options.limits, from_attributes=True),
        queued=service.store.count(JobState.QUEUED),
        running=service.store.count(JobState.RUNNING),
    )


@router.post("/configure_model/name")
async def configure_model_by_name(service: Here, wanted: ModelByName) -> CurrentModel:
    """Makes a model the current one, after a trial with the example picture."""
    await service.configure(wanted.name, wanted.scale)
    return CurrentModel(model=wanted.name, scale=wanted.scale)


@router.post("/configure_model/file")
async def configure_model_by_file(
    service: Here,
    file: Annotated[UploadFile, File(description=".onnx, .safetensors, .pth or .pt")],
    scale: Annotated[int, Form(ge=0, le=8)] = 0,
) -> CurrentModel:
    """Adds a model file, and makes it the current model after a trial; its name in the answer can be used later."""

    def write(path: Path) -> None:
        with path.open("wb") as target:
            while block := file.file.read(1 << 20):
                target.write(block)

    name = await run_in_threadpool(service.catalogue.add, file.filename or "", write)
    try:
        await service.configure(name, scale)
    except BaseException:
        service.catalogue.remove(name)
        raise
    return CurrentModel(model=name, scale=scale)


@router.post("/upscale/example", response_class=FileResponse)
async def upscale_example(service: Here, model: ModelName = "", scale: Scale = 0) -> Response:
    """The example picture, enlarged."""
    job = await service.upscale_example(model, scale)
    response = make_file_response(service, job)
    response.background = BackgroundTask(service.delete, job.id)
    return response


@router.post("/upscale/file", response_class=FileResponse)
async def upscale_file(
    request: Request, service: Here, file: Upload, model: ModelName = "", scale: Scale = 0
) -> Response:
    """Enlarges a picture, and answers with it. Videos take too long for one answer: use POST /jobs."""
    job = await accept_upload(request, service, file, model, scale, temporary=True)
    job = await service.wait(job.id)
    response = make_file_response(service, job)
    response.background = BackgroundTask(service.delete, job.id)
    return response


@router.get("/figures")
def show_figures(service: Here) -> list[Figure]:
    """How good and how fast the networks are."""
    return figures.list_figures(service.store)


@router.post("/figures/measure", status_code=202)
def measure_figures(service: Here) -> JobReply:
    """Begins a job that measures the speed of every network on this machine, or shows the one that has begun."""
    return JobReply.from_job(service.begin_measurement())


@router.get("/healthz")
async def check_health(service: Here) -> dict[str, str]:
    """Whether jobs are being done."""
    if not service.worker.is_alive:
        raise HTTPException(503, "the thread that does the jobs has ended: restart the service")
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse)
def show_metrics(service: Here) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.format(), media_type=CONTENT_TYPE)


def _make_page_route(path: Path):  # type: ignore[no-untyped-def]  # FastAPI reads the types of what it returns
    def show_page() -> Response:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return show_page


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LiveSRError)
    code = next(code for kind, code in STATUS_CODES if isinstance(error, kind))
    headers = {"Retry-After": "2"} if code == 429 else None
    message = get_service(request).options.hide_folder(error.message)
    return JSONResponse(describe(message, error.remedy), code, headers)


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {_explain_invalid(one['msg'])}" for one in error.errors())
    return JSONResponse(describe(wrong, "/docs describes what each request takes"), 422)


def _explain_invalid(message: str) -> str:
    """What is wrong with a value; words about Python's types help nobody."""
    return "it is text, and should be a file, as curl sends with -F file=@NAME" if "UploadFile" in message else message


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse(describe(error.detail), error.status_code, error.headers)


def _answer_disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return JSONResponse(describe(f"the file cannot be kept: {error.strerror}", "free some space"), 507)
