"""Models from addresses: only over https, whole or not at all, and through the same readers as files."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_sr import cli
from live_sr.errors import LiveSRError, ModelError
from live_sr.manage.model_download import ModelAddress, download
from live_sr.models import zoo

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """Answers over https at 127.0.0.1, with a certificate of its own. answers: by path."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.answers[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def send(data: bytes, length: int | None = -1) -> Answer:
    """The data; length: what is announced, -1: the right one, None: nothing."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if length is not None:
            request.send_header("Content-Length", str(len(data) if length < 0 else length))
        request.end_headers()
        request.wfile.write(data)

    return answer


def lead_to(url: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", url)
        request.end_headers()

    return answer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Its certificate is trusted, and no proxy stands between."""
    running.answers.clear()
    running.asked.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(running.certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return running


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models, none yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path / "data" / "live-sr" / "models"


NETWORK = (zoo.WEIGHTS / "turbo-x2.onnx").read_bytes()


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_a_model_from_an_address_is_added_and_its_checksum_shown(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["/moved/it%20is-x2.onnx?raw=1"] = lead_to("/files/1234")
    server.answers["/files/1234"] = send(NETWORK)
    assert cli.main(["models", "add", f"{server.url}/moved/it%20is-x2.onnx?raw=1"]) == 0
    assert hashlib.sha256(NETWORK).hexdigest() in capsys.readouterr().out
    assert list_files(own) == ["it-is-x2.onnx", "it-is-x2.toml"]
    assert zoo.find("it-is", 2, user=own).onnx.read_bytes() == NETWORK


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://example.org/model.onnx", "is not an https address"),
        ("ftp://example.org/model.onnx", "is not an https address"),
        ("file:///etc/model.onnx", "is not an"),
        ("https:///model.onnx", "is not an address"),
        ("https://[::1/model.onnx", "is not an address"),
        ("https://example..org/model.onnx", "is not an address"),
        (f"https://{'long' * 16}.org/model.onnx", "is not an address"),
        ("https://example.org/model", "does not end in the name of a model's file"),
        ("https://example.org/model.onnx.exe", "does not end in the name of a model's file"),
    ],
)
def test_other_addresses_are_refused_and_nothing_is_asked(
    own: Path, capsys: pytest.CaptureFixture[str], url: str, sentence: str
) -> None:
    assert cli.main(["models", "add", url]) == 2
    assert sentence in capsys.readouterr().err
    assert list_files(own) == []


@pytest.mark.parametrize(
    ("file", "flags", "sentence", "code"),
    [
        ("fast-x2.onnx", (), '"fast" comes with live-sr', 2),
        ("other-x2.onnx", ("--name", "Lanczos"), '"Lanczos" comes with live-sr', 2),
        ("other-x2.onnx", ("--name", "a b"), '"a b" cannot be the name of a model', 2),
        ("mine-x2.onnx", (), "you already have a model mine x2", 2),
        ("other.onnx", ("--name", "Mine", "--scale", "2"), "you already have a model Mine x2", 2),
        ("weights-x2.pth", (), "torch is not installed", 8),
    ],
)
def test_what_is_known_before_a_download_is_told_before_it(
    server: Server,
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    flags: tuple[str, ...],
    sentence: str,
    code: int,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    server.answers = {f"/{name}": send(NETWORK) for name in (file, "mine-x2.onnx", "last-x2.onnx")}
    assert cli.main(["models", "add", f"{server.url}/mine-x2.onnx"]) == 0
    kept = list_files(own)
    server.asked.clear()
    assert cli.main(["models", "add", f"{server.url}/last-x2.onnx", f"{server.url}/{file}", *flags]) == code
    assert sentence in capsys.readouterr().err
    assert (server.asked, list_files(own)) == ([], kept)


def test_a_taken_name_can_be_replaced_or_have_another_scale(server: Server, own: Path) -> None:
    x4 = (zoo.WEIGHTS / "turbo-x4.onnx").read_bytes()
    server.answers = {"/mine-x2.onnx": send(NETWORK), "/mine-x4.onnx": send(x4)}
    assert cli.main(["models", "add", f"{server.url}/mine-x2.onnx"]) == 0
    assert cli.main(["models", "add", f"{server.url}/mine-x2.onnx", f"{server.url}/mine-x4.onnx", "--replace"]) == 0
    assert [card.scale for card in zoo.read_user_folder(own).cards] == [2, 4]


def test_two_addresses_of_one_command_do_not_become_one_model(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [f"{server.url}/{name}-x2.onnx" for name in ("one", "other")]
    assert cli.main(["models", "add", *urls, "--name", "mine", "--replace"]) == 2
    assert "two of these would become the model mine x2" in capsys.readouterr().err
    assert (server.asked, list_files(own)) == ([], [])


def test_a_folder_that_cannot_be_written_is_told_before_a_download(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.parent.mkdir(parents=True)
    own.write_bytes(b"a file in its place")
    assert cli.main(["models", "add", f"{server.url}/mine-x2.onnx"]) == 7
    assert f"{own} cannot be written" in capsys.readouterr().err
    assert server.asked == []


@pytest.mark.parametrize("name", ["..%2F..%2Fevil.onnx", "%2e%2e%2fx.onnx", ".hidden.onnx", "a%00b.onnx", "%ff.onnx"])
def test_a_name_in_an_address_never_becomes_a_path(name: str) -> None:
    found = ModelAddress.parse(f"https://example.org/x/{name}").name
    assert Path(found).name == found
    assert not found.startswith(".") and found.isascii() and found.isprintable()


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/model.onnx", "file:///etc/passwd", "ftp://127.0.0.1/model.onnx"]
)
def test_a_server_can_lead_only_to_https(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    server.answers["/model-x2.onnx"] = lead_to(target)
    assert cli.main(["models", "add", f"{server.url}/model-x2.onnx"]) == 7
    assert target in capsys.readouterr().err
    assert list_files(own) == []


@pytest.mark.parametrize("target", ["https://[::1/model.onnx", "https://example..org/model.onnx", "https://"])
def test_a_server_that_leads_to_no_address_is_told_in_a_sentence(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    server.answers["/model-x2.onnx"] = lead_to(target)
    assert cli.main(["models", "add", f"{server.url}/model-x2.onnx"]) == 7
    assert "/model-x2.onnx cannot be had" in capsys.readouterr().err
    assert list_files(own) == []


def test_servers_that_lead_in_a_circle_are_left(server: Server, tmp_path: Path) -> None:
    server.answers["/model-x2.onnx"] = lead_to("/model-x2.onnx")
    with pytest.raises(ModelError, match="cannot be had"):
        download(ModelAddress.parse(f"{server.url}/model-x2.onnx"), tmp_path)
    assert len(server.asked) < 20


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (send(NETWORK[:-100], len(NETWORK)), "the connection ended after"),
        (send(b"x", 20_000_001), "is larger than"),
        (send(bytes(20_000_001), None), "is larger than"),
        (send(b"\n <!DOCTYPE html><p>Sign in"), "is a web page"),
        (lambda request: request.send_error(404), "404"),
    ],
)
def test_what_does_not_come_whole_leaves_nothing(server: Server, tmp_path: Path, answer: Answer, sentence: str) -> None:
    server.answers["/model-x2.onnx"] = answer
    with pytest.raises(LiveSRError, match=sentence):
        download(ModelAddress.parse(f"{server.url}/model-x2.onnx"), tmp_path, limit=20_000_000)
    assert list_files(tmp_path) == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: request.wfile.write(b"no \x1b[2J HTTP\r\n\r\n"),
        lambda request: request.send_error(404, "gone \x1b[2J"),
    ],
)
def test_what_a_server_says_is_one_line_that_does_nothing_to_a_terminal(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str], answer: Answer
) -> None:
    server.answers["/model-x2.onnx"] = answer
    assert cli.main(["models", "add", f"{server.url}/model-x2.onnx"]) == 7
    said = capsys.readouterr().err
    assert "cannot be had" in said and "[2J" in said
    assert "\x1b" not in said
    assert said.count("\n") == 2  # the sentence and the remedy


def test_weights_that_should_lie_beside_a_network_are_named_without_the_temporary_folder(
    server: Server, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "model-x2.onnx"
    whole = onnx.load(zoo.WEIGHTS / "turbo-x2.onnx")
    onnx.save(whole, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    server.answers["/model-x2.onnx"] = send(file.read_bytes())
    assert cli.main(["models", "add", f"{server.url}/model-x2.onnx"]) == 7
    said = capsys.readouterr().err
    assert "weights.bin" in said and "/download/" not in said
    assert list_files(own) == []


def test_a_file_that_would_run_code_is_refused_as_any_other(
    server: Server, own: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server.answers["/model-x2.onnx"] = send(b"\x80\x04cposix\nsystem\n(S'touch bad'\ntR.")
    url = f"{server.url}/model-x2.onnx"
    assert cli.main(["models", "add", url]) == 7
    said = capsys.readouterr().err
    assert url in said and "/download/" not in said  # the user knows the address, and no temporary file
    assert list_files(own) == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: Server, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    server.answers["/model-x2.onnx"] = send(NETWORK)
    assert cli.main(["models", "add", f"{server.url}/model-x2.onnx"]) == 7
    assert "certificate" in capsys.readouterr().err
    assert server.asked == []
    assert list_files(own) == []
