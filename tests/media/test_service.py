"""`live-sr serve`, as a process of its own: what it makes, what it refuses, and what it keeps when it is killed."""

from __future__ import annotations

import io
import json
import multiprocessing
import re
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from patience import until
from running_service import BOUNDARY, Answer, Server
from video_clips import clip, pictures

from live_sr import cli, service
from live_sr.engines.options import EngineOptions
from live_sr.models.card import ModelCard
from live_sr.models.resolve import list_models, resolve
from live_sr.pipeline.frame import Size
from live_sr.service import figures
from live_sr.service.jobs import JobState, ServiceJob, StoreFailed
from live_sr.service.options import ServiceOptions
from live_sr.service.store import JobStore
from tools import container_health

pytestmark = pytest.mark.needs("fastapi", "uvicorn", "python_multipart", "prometheus_client")

SMALL = ("--max-mb", "1", "--max-megapixels", "1", "--max-seconds", "5", "--queue", "1")


def wait_until_running(server: Server, job: str) -> None:
    assert any(state["state"] == "running" and state["done"] for state in server.watch(job)), "it ended before"


def make_picture(height: int = 40, width: int = 60) -> bytes:
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the smallest limits."""
    running = Server(tmp_path_factory.mktemp("service"), *SMALL)
    yield running
    running.end()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds, which take some to enlarge."""
    return clip(tmp_path_factory.mktemp("film") / "film.mkv", pictures(150, Size(200, 120)))


def upscale(source: Path, target: Path, scale: int) -> bytes:
    """What the command line makes of it."""
    assert cli.main(["upscale", str(source), "-o", str(target), "--model", "lanczos", "--scale", str(scale)]) == 0
    return target.read_bytes()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_is_that_of_the_command_line(server: Server, tmp_path: Path, suffix: str) -> None:
    before = {*(server.folder / "jobs").iterdir()}
    source = tmp_path / f"a ship.{suffix}"
    source.write_bytes(make_picture())
    expected = upscale(source, tmp_path / f"large.{suffix}", 3)
    answer = server.send("/upscale/file", source.read_bytes(), source.name, model="lanczos", scale=3)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png" if suffix == "png" else "image/jpeg")
    assert answer.body == expected
    assert f"a%20ship-lanczos-x3.{suffix}" in answer.headers["Content-Disposition"]
    until(lambda: {*(server.folder / "jobs").iterdir()} <= before, "nothing is kept of a picture that was sent back")


def test_a_video_reports_its_progress_and_is_that_of_the_command_line(server: Server, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4")
    assert server.send("/upscale/file", source.read_bytes(), "clip.mp4").status == 422, "only pictures are waited for"
    job = server.begin(source, model="lanczos", scale=2)
    states = [*server.watch(job)]
    assert [s["done"] for s in states] == sorted(s["done"] for s in states)
    assert (states[-1]["state"], states[-1]["done"], states[-1]["total"]) == ("finished", 30, 30)
    assert server.ask("GET", states[-1]["result"]).body == upscale(source, tmp_path / "large.mp4", 2)


def test_a_stopped_service_goes_on_with_its_jobs(tmp_path: Path, film: Path) -> None:
    enlarged = upscale(film, tmp_path / "large.mkv", 4)
    short = clip(tmp_path / "short.mkv")
    server = Server(tmp_path / "service")
    long, waiting = server.begin(film, scale=4), server.begin(short, scale=2)
    for number in (signal.SIGKILL, signal.SIGTERM):
        wait_until_running(server, long)
        assert server.ask("GET", f"/jobs/{long}/result").status == 409, "nothing half-made is served"
        server.end(number)
        server = Server(tmp_path / "service")
    try:
        for job, expected in ((long, enlarged), (waiting, upscale(short, tmp_path / "short-large.mkv", 2))):
            *_, last = server.watch(job)
            assert last["state"] == "finished", last
            assert server.ask("GET", f"/jobs/{job}/result").body == expected
    finally:
        server.end()
    with closing(sqlite3.connect(tmp_path / "service" / "jobs.sqlite")) as database:
        starts = database.execute("SELECT starts FROM job ORDER BY number").fetchall()
    assert starts == [(2,), (1,)], "a stop in order is no start that failed"


def test_a_video_that_another_version_began_is_made_anew(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mkv")
    job = ServiceJob("0" * 32, "video", "clip.mkv", "source.mkv", "result.mkv", "lanczos", 2, False, created=0.0)
    begun = tmp_path / "service" / "jobs" / job.id / ".result.mkv.live-sr"
    begun.mkdir(parents=True)
    (begun.parent / job.source).write_bytes(source.read_bytes())
    (begun / "job.json").write_text('{"version": "live-sr 0.0"}')
    (begun / "000000.segment").write_bytes(b"of that version")
    store = JobStore(tmp_path / "service" / "jobs.sqlite")
    store.add(job)
    store.close()
    server = Server(tmp_path / "service")
    try:
        *_, last = server.watch(job.id)
        assert last["state"] == "finished", last
        expected = upscale(source, tmp_path / "large.mkv", 2)
        assert server.ask("GET", f"/jobs/{job.id}/result").body == expected
    finally:
        server.end()


def test_an_ended_job_is_deleted_when_its_time_is_over(tmp_path: Path) -> None:
    server = Server(tmp_path / "service", "--keep-hours", "0.0003")
    try:
        answer = server.send("/jobs", make_picture(), "a.png", scale=2)
        assert answer.status == 202
        job = answer.json["id"]
        until(lambda: server.ask("GET", f"/jobs/{job}").status == 404, "without another upload")
        until(lambda: not (server.folder / "jobs" / job).exists(), "its files are deleted")
    finally:
        server.end()


def test_jobs_go_on_after_the_database_could_not_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from live_sr.service.service import Service  # needs FastAPI

    for name in ("jobs", "models"):
        (tmp_path / name).mkdir()
    running = Service(ServiceOptions("127.0.0.1", 0, tmp_path, "", "nearest"))
    job = running.accept(io.BytesIO(make_picture()), "a.png", "", 2, temporary=False)
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        database.execute("ALTER TABLE job RENAME TO away")
        running.worker.start()
        try:
            until(lambda: "the database of jobs cannot be used" in caplog.text, "the worker looks for a job")
            with pytest.raises(StoreFailed):
                running.store.get(job.id)
            database.execute("ALTER TABLE away RENAME TO job")
            until(lambda: running.store.get(job.id).state is JobState.FINISHED, "the job is done")
        finally:
            running.close()


def test_a_full_queue_refuses_and_a_cancelled_job_ends(server: Server, film: Path) -> None:
    running = server.begin(film, scale=4)
    wait_until_running(server, running)
    waiting = server.begin(film, scale=4)
    refused = server.send("/jobs", film.read_bytes(), "film.mkv")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "2")
    assert server.ask("POST", f"/jobs/{waiting}/cancel").json["state"] == "cancelled"
    server.ask("POST", f"/jobs/{running}/cancel")
    assert [*server.watch(running)][-1]["state"] == "cancelled"
    assert server.ask("GET", f"/jobs/{running}/result").status == 409
    until(lambda: not (server.folder / "jobs" / running).exists(), "its files are deleted")
    assert server.send("/upscale/file", make_picture(), "a.png").status == 200, "there is room again"


def test_what_is_too_large_or_long_is_refused(server: Server, tmp_path: Path) -> None:
    before = {*(server.folder / "jobs").iterdir()}
    assert server.send("/upscale/file", make_picture(300, 300), "a.png", scale=4).status == 413  # 1.4 megapixels
    long = clip(tmp_path / "long.mp4", pictures(151))
    refused = server.send("/jobs", long.read_bytes(), "long.mp4", scale=2)
    assert (refused.status, refused.json["detail"]) == (413, "it lasts 5.03 s, and 5 s is the limit")
    words = server.send("/upscale/file", make_picture(), "a.png", words="x" * (65 << 10))
    assert words.status == 400, "what is no file would be held in memory"
    assert server.ask("POST", "/jobs", b"file=a", **{"Content-Type": "application/x-www-form-urlencoded"}).status == 415
    assert server.ask("POST", "/jobs", **{"Content-Length": str(2 << 20)}).status == 413, "before it is read"
    with closing(server.open()) as connection:  # one that does not say its length, and ends where the limit does
        connection.putrequest("POST", "/jobs")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.endheaders()
        size = (1 << 20) + (64 << 10) + 1
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
        connection.send(f"{size:x}\r\n".encode() + head + bytes(size - len(head)))
        assert connection.getresponse().status == 413
    assert {*(server.folder / "jobs").iterdir()} <= before, "nothing of what was refused is kept"


def test_a_full_disk_is_named(server: Server) -> None:
    limits = pytest.importorskip("resource")
    data = make_picture() + bytes(1 << 20)
    before = limits.prlimit(server.process.pid, limits.RLIMIT_FSIZE, (1 << 19, limits.RLIM_INFINITY))
    try:
        refused = server.send("/jobs", data, "a.png")
    finally:
        limits.prlimit(server.process.pid, limits.RLIMIT_FSIZE, before)
    assert (refused.status, "cannot be kept" in refused.json["detail"]) == (507, True)
    assert server.send("/upscale/file", make_picture(), "a.png").status == 200


def test_a_name_never_becomes_a_path(server: Server, tmp_path: Path) -> None:
    answer = server.send("/jobs", make_picture(), "../../x/..\\\\a ship.png", model="nearest", scale=2)
    assert answer.json["name"] == "a ship.png"
    assert [*server.watch(answer.json["id"])][-1]["state"] == "finished"
    card = resolve("fast").get_card(2)
    assert card is not None
    for name in (str(card.onnx), f"{card.onnx}+fast", "uploaded-../../../x", "/etc/passwd"):
        refused = server.send("/upscale/file", make_picture(), "a.png", model=name)
        assert (refused.status, "no model called" in refused.json["detail"]) == (422, True), name
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"
    assert server.send("/jobs", b"", "a.png").json["detail"] == "a.png is empty"
    assert "no picture and no video" in server.send("/jobs", playlist, "film.ts").json["detail"]
    assert server.ask("GET", "/jobs/..%2F..%2Fjobs.sqlite").status in (404, 422)


def test_a_model_is_chosen_by_name_or_file_after_a_trial(server: Server) -> None:
    def configure(name: str) -> Answer:
        body = json.dumps({"name": name, "scale": 2}).encode()
        return server.ask("POST", "/configure_model/name", body, **{"Content-Type": "application/json"})

    refused = configure("fsst")
    assert (refused.status, "Did you mean" in refused.json["detail"]) == (422, True)
    assert configure("nearest").json == {"model": "nearest", "scale": 2}
    twice = server.send("/upscale/file", make_picture(), "a.png").body
    small, large = (cv2.imdecode(np.frombuffer(data, np.uint8), 1) for data in (make_picture(), twice))
    assert np.array_equal(large, small.repeat(2, 0).repeat(2, 1))
    wrong = server.send("/configure_model/file", b"no network", "a.onnx")
    assert (wrong.status, str(server.folder) in wrong.json["detail"]) == (422, False)
    assert server.ask("GET", "/info").json["current"]["model"] == "nearest", "what does not work is not chosen"
    card = resolve("turbo").get_card(2)
    assert card is not None
    name = server.send("/configure_model/file", card.onnx.read_bytes(), "mine.onnx").json["model"]
    assert name in [model["name"] for model in server.ask("GET", "/info").json["models"]]
    answer = server.ask("POST", "/upscale/example")
    assert cv2.imdecode(np.frombuffer(answer.body, np.uint8), 1).shape == (540, 960, 3)
    assert configure("lanczos").status == 200


def test_the_table_has_the_quality_of_each_network_and_the_speed_that_was_measured_here(tmp_path: Path) -> None:
    server = Server(tmp_path / "service", "--engine", "openvino")
    try:
        rows = server.ask("GET", "/figures").json
        networks = [(model.name, scale) for model in list_models() if model.cards for scale in model.scales]
        assert [(row["model"], row["scale"]) for row in rows] == networks
        card = resolve("fast").get_card(2)
        fast = rows[networks.index(("fast", 2))]
        assert card is not None
        assert {game: scores["model"] for game, scores in fast["psnr_y"].items()} == {
            game: scores.model for game, scores in card.psnr_y.items()
        }
        assert {row["fps"] for row in rows} == {None}
        answer = server.ask("POST", "/figures/measure")
        job = answer.json["id"]
        assert (answer.status, server.ask("POST", "/figures/measure").json["id"]) == (202, job), "there is one"
        states = server.watch(job)
        assert any(state["done"] and state["total"] == len(networks) for state in states)
        server.ask("POST", f"/jobs/{job}/cancel")
        left = [*states]
        assert not left or left[-1]["state"] in ("cancelled", "finished")
        rows = server.ask("GET", "/figures").json
        measured = [row for row in rows if row["fps"] is not None]
        assert measured == rows[: len(measured)]
        assert measured
        assert all(row["fps"] > 0 and row["engine"].startswith("openvino") for row in measured)
        assert server.ask("GET", f"/jobs/{job}/result").status == 409, "there is no file"
    finally:
        server.end()


def write_slow_network(path: Path) -> None:
    """A thousand convolutions with the same weights, which take minutes for a frame."""
    onnx = pytest.importorskip("onnx")
    make_node, from_array = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes = [make_node("Concat", ["rgb"] * 64, ["0"], axis=1)]
    nodes += [make_node("Conv", [str(n), "weights"], [str(n + 1)], pads=[1] * 4) for n in range(1000)]
    nodes += [
        make_node("Conv", ["1000", "last"], ["cells"]),
        make_node("DepthToSpace", ["cells"], ["enlarged"], blocksize=2),
    ]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, f"{name} h", f"{name} w"])
        for name in ("rgb", "enlarged")
    ]
    random = np.random.default_rng(1)
    weights = random.normal(0, 0.02, (192, 192, 3, 3)).astype(np.float32)
    constants = [from_array(weights, "weights"), from_array(weights[:12, :, :1, :1], "last")]
    graph = onnx.helper.make_graph(nodes, "slow", ports[:1], ports[1:], constants)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def make_measuring_service(folder: Path, limit_s: float) -> Any:
    from live_sr.service.service import Service  # needs FastAPI

    for name in ("jobs", "models"):
        (folder / name).mkdir()
    engine = EngineOptions("openvino")
    return Service(ServiceOptions("127.0.0.1", 0, folder, "", "nearest", engine=engine, measure_s=limit_s))


@pytest.mark.parametrize(
    ("name", "limit_s", "why"),
    [("slow", 0.5, "it takes more than 0.5 s"), ("damaged", 1e9, "it does not run here")],
)
def test_a_network_that_cannot_be_measured_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit_s: float, why: str
) -> None:
    write_slow_network(tmp_path / "slow.onnx")
    (tmp_path / "damaged.onnx").write_bytes((tmp_path / "slow.onnx").read_bytes()[:-99])
    monkeypatch.setattr(figures, "list_networks", lambda: [ModelCard(name, 2, tmp_path / f"{name}.onnx")])
    here = make_measuring_service(tmp_path, limit_s)
    job = here.begin_measurement().id
    here.worker.start()
    try:
        until(lambda: here.store.get(job).state.is_final, "the measurement ends")
        ended = here.store.get(job)
        assert (ended.state, ended.message) == (JobState.FINISHED, f"left out: {name} x2: {why}")
        assert [(row.fps, row.left_out) for row in figures.list_figures(here.store)] == [(None, why)]
        assert multiprocessing.active_children() == []
    finally:
        here.close()


def test_a_measurement_is_cancelled_in_the_middle_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slow_network(tmp_path / "slow.onnx")
    monkeypatch.setattr(figures, "list_networks", lambda: [ModelCard("slow", 2, tmp_path / "slow.onnx")])
    here = make_measuring_service(tmp_path, 1e9)
    job = here.begin_measurement().id
    here.worker.start()
    try:
        (process,) = until(lambda: multiprocessing.active_children() or None, "a process measures")
        watched = psutil.Process(process.pid)
        until(lambda: watched.cpu_times().user > 5, "it is at work")
        here.worker.cancel(job)
        until(lambda: here.store.get(job).state is JobState.CANCELLED, "it ends")
        assert not watched.is_running()
    finally:
        here.close()


def test_those_who_ask_at_the_same_moment_get_one_measurement(tmp_path: Path) -> None:
    from live_sr.service.service import Service  # needs FastAPI

    here = Service(ServiceOptions("127.0.0.1", 0, tmp_path, "", "nearest"))  # its worker does not run: the job waits
    with ThreadPoolExecutor(8) as clients:
        begun = threading.Barrier(8)

        def ask() -> str:
            begun.wait()
            return here.begin_measurement().id

        answers = [clients.submit(ask) for _ in range(8)]
    assert len({answer.result() for answer in answers}) == 1
    here.store.close()


def test_the_page_and_what_it_loads_are_served(server: Server) -> None:
    for path in ("/", "/docs"):
        page = server.ask("GET", path)
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
        links = re.findall(r'(?:src|href)="(/[^"]*)"', page.body.decode())
        assert len(links) > 2
        assert {link: server.ask("GET", link).status for link in links} == dict.fromkeys(links, 200)
    paths = server.ask("GET", "/openapi.json").json["paths"]
    assert {"/info", "/configure_model/name", "/configure_model/file", "/upscale/example", "/upscale/file"} < set(paths)
    assert server.ask("GET", "/healthz").json == {"status": "ok"}
    assert b"live_sr_jobs_queued 0.0" in server.ask("GET", "/metrics").body


def test_text_in_place_of_a_file_is_told_in_plain_words(server: Server) -> None:
    form = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\na.png\r\n--{BOUNDARY}--\r\n'.encode()
    refused = server.ask("POST", "/jobs", form, **{"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert (refused.status, "it is text, and should be a file" in refused.json["detail"]) == (422, True)


def test_other_sites_are_refused(server: Server) -> None:
    assert server.ask("POST", "/upscale/example", Origin="http://example.org").status == 403
    assert server.ask("GET", "/info", Host="example.org").status == 421, "a name that somebody else points here"
    assert server.ask("GET", "/info", Host="127.0.0.2:8080").status == 200, "another address of this machine"


def test_an_address_for_others_needs_the_token(tmp_path: Path) -> None:
    server = Server(tmp_path / "service", "--host", "0.0.0.0", token="a secret of some length")
    try:
        assert server.ask("GET", "/info", Host="example.org").status == 200
        for wrong in ("", "Bearer", "Bearer another", "Basic a secret of some length"):
            assert server.ask("GET", "/info", Authorization=wrong).status == 401
        assert server.ask("GET", "/", Authorization="").status == 200, "the page asks with the token that it was given"
    finally:
        server.end()


@pytest.mark.skipif(sys.platform != "linux", reason="of a container, which has Linux")
def test_the_health_check_of_a_container_asks_where_the_service_listens(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    everywhere = Server(tmp_path / "service", "--host", "0.0.0.0", token="a secret of some length")
    try:
        for running in (server, everywhere):
            process = Path("/proc", str(running.process.pid))
            assert process in container_health.find_services()
            with monkeypatch.context() as patch:  # other tests may have services of their own
                patch.setattr(container_health, "find_services", lambda only=process: [only])
                assert container_health.main() == 0
                assert capsys.readouterr().out == f"http://127.0.0.1:{running.port}/healthz: ok\n"
                patch.setattr(container_health, "TIMEOUT_S", 0.5)
                running.process.send_signal(signal.SIGSTOP)
                try:
                    assert container_health.main() == 1, "it does not answer"
                    assert f":{running.port}/healthz: " in capsys.readouterr().out
                finally:
                    running.process.send_signal(signal.SIGCONT)
    finally:
        everywhere.end()
    monkeypatch.setattr(container_health, "find_services", list)
    assert container_health.main() == 0, "a container that upscales a file is not ill"
    loopback, everywhere_6 = "00000000000000000000000001000000", "0" * 32
    if sys.byteorder == "little":
        assert container_health.format_address(loopback, "1F90") == "[::1]:8080"
    assert container_health.format_address(everywhere_6, "1F90") == "[::1]:8080"


def test_what_prevents_a_start_is_one_sentence(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ("--folder", str(tmp_path / "other"))
    with monkeypatch.context() as patch:
        patch.setenv("LIVE_SR_TOKEN", "a secret in línes")
        assert cli.main(["serve", "--port", "0", *folder]) == 2
    assert "characters that a header cannot hold" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port), *folder]) == 1
    assert f"127.0.0.1 port {port} cannot be used" in capsys.readouterr().err
    assert cli.main(["serve", "--port", "0", "--folder", str(server.folder)]) == 1
    assert "another live-sr serves from" in capsys.readouterr().err
    monkeypatch.setattr(service, "find_spec", lambda name: None if name == "uvicorn" else io)
    assert cli.main(["serve", "--port", "0", *folder]) == 8
    assert "needs uvicorn" in capsys.readouterr().err
