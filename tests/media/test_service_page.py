"""The page of `live-sr serve` in a real Chromium: what somebody sees who uses it, or uses it wrongly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from patience import until
from running_service import Server
from video_clips import clip, pictures

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.renderers import browser

pytestmark = pytest.mark.needs("fastapi", "uvicorn", "python_multipart", "prometheus_client", "websocket")


class Page:
    """The page of a service in a tab."""

    def __init__(self, tab: browser.Tab, server: Server) -> None:
        self._tab = tab
        self.open(f"http://127.0.0.1:{server.port}/")

    def open(self, address: str) -> None:
        self._tab.show(address, Size(1200, 900), 1)

    def get(self, script: str) -> Any:
        return self._tab.evaluate(script)

    def wait_until_loaded(self) -> None:
        until(
            lambda: bool(self.get("document.getElementById('rows')?.rows.length && models.length")),
            "the page is complete",
        )

    def read(self, name: str) -> str:
        """The text of an element that is shown; else an empty string."""
        return str(self.get(f"find('{name}').checkVisibility() ? find('{name}').textContent : ''"))

    def click(self, name: str) -> None:
        self.get(f"find('{name}').click()")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._tab.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9)

    def choose(self, file: Path, model: str = "lanczos", scale: int = 2) -> None:
        self.wait_until_loaded()
        self.get(f"find('model').value = '{model}'; listScales('{scale}')")
        root = self._tab.ask("DOM.getDocument")["root"]["nodeId"]
        box = self._tab.ask("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self._tab.ask("DOM.setFileInputFiles", nodeId=box, files=[str(file)])

    def upscale(self, file: Path) -> None:
        """Returns when it has ended, well or not."""
        self.choose(file)
        self.click("go")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        until(lambda: any(map(self.read, ("facts", "error", "note"))), "the job has ended")
        until(lambda: not self.read("state"), "the page is idle")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "service")
    yield running
    running.end()


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    try:
        browser.find_browser()
    except MissingPart as why:
        pytest.skip(why.message)
    with browser.open_tab() as tab:
        yield Page(tab, server)


def write_picture(path: Path, height: int, width: int) -> Path:
    cv2.imwrite(str(path), np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8))
    return path


def test_a_picture_is_compared_or_said_to_be_of_a_kind_that_is_not_shown(page: Page, tmp_path: Path) -> None:
    page.upscale(write_picture(tmp_path / "a.png", 40, 60))
    assert page.read("facts").endswith("kB, 120×80")
    assert page.get("find('slider').checkVisibility() && document.activeElement.id") == "slider"
    page.upscale(write_picture(tmp_path / "a.tif", 40, 60))
    assert "a-lanczos-x2.tif" in page.read("facts") and "cannot show" in page.read("facts")
    assert page.get("find('compare').checkVisibility()") is False
    assert page.get("find('download').href").startswith("blob:")
    page.upscale(write_picture(tmp_path / "wide.png", 4, 8000))
    until(lambda: bool(page.get("find('stage').clientHeight >= 100")), "the line and its handle have room")


def test_what_is_no_picture_is_told_in_a_sentence(page: Page, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("words")
    for name, sentence in (("empty.png", "empty.png is empty"), ("words.png", "no picture and no video")):
        page.upscale(tmp_path / name)
        assert sentence in page.read("error")
    page.upscale(write_picture(tmp_path / "a.png", 40, 60))
    assert not page.read("error")


def test_a_job_lasts_through_a_restart_and_a_new_load_and_a_cancelled_one_is_told(
    page: Page, server: Server, tmp_path: Path
) -> None:
    film = clip(tmp_path / "film.mkv", pictures(150, Size(200, 120)))
    page.choose(film, scale=4)
    page.click("go")
    until(lambda: "running: " in page.read("state"), "it runs")
    server.end(signal.SIGKILL)
    again = Server(tmp_path / "service", "--port", str(server.port))
    try:
        until(lambda: page.get("job.done > 3"), "the page has found the service again")
        page.open(f"http://127.0.0.1:{server.port}/?again")
        until(lambda: "running: " in page.read("state"), "the page has found its job again")
        page.click("cancel")
        page.wait_until_idle()
        assert page.read("note") == "film.mkv was cancelled"
        page.choose(film, scale=4)
        page.click("go")
        page.wait_until_idle()
        assert not page.read("note")
        assert "film-lanczos-x4.mkv" in page.read("facts")
    finally:
        again.end()
    page.click("example")
    until(lambda: "cannot be reached" in page.read("error"), "nobody answers")


def test_a_page_without_the_token_says_where_to_get_it(page: Page, tmp_path: Path) -> None:
    closed = Server(tmp_path / "closed", "--host", "0.0.0.0", token="a secret of some length")
    try:
        page.open(f"http://127.0.0.1:{closed.port}/")
        until(lambda: "the address that live-sr printed" in page.read("error"), "it is told")
        page.open(f"http://127.0.0.1:{closed.port}/#token=a%20secret%20of%20some%20length")
        page.get("location.reload()")
        page.wait_until_loaded()
    finally:
        closed.end()


def test_the_tabulator_key_reaches_everything(page: Page) -> None:
    page.wait_until_loaded()
    reached = []
    for _ in range(6):
        page.press("Tab")
        reached.append(page.get("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["A", "file", "model", "scale", "example", "measure"]
