"""The check that other tests find leaks with: it must find them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from leaks import MEGABYTE, check_nothing_stays


def test_what_is_made_once_is_no_leak(tmp_path: Path) -> None:
    kept: list[object] = []

    def play() -> None:
        if not kept:
            kept.extend((bytearray(os.urandom(1) * (8 * MEGABYTE)), (tmp_path / "made once").open("w")))

    check_nothing_stays(play, MEGABYTE)


def test_memory_that_grows_in_every_round_is_found() -> None:
    kept: list[bytearray] = []  # so much that what earlier tests left, and is freed meanwhile, cannot hide it
    with pytest.raises(AssertionError, match="each round leaves something behind"):
        check_nothing_stays(lambda: kept.append(bytearray(os.urandom(1) * (96 * MEGABYTE))), 4 * MEGABYTE)


def test_threads_that_stay_are_found() -> None:
    end = threading.Event()
    try:
        with pytest.raises(AssertionError, match="each round leaves something behind"):
            check_nothing_stays(lambda: threading.Thread(target=end.wait, daemon=True).start())
    finally:
        end.set()


def test_files_that_stay_open_are_found(tmp_path: Path) -> None:
    kept: list[object] = []
    with pytest.raises(AssertionError, match="each round leaves something behind"):
        check_nothing_stays(lambda: kept.append((tmp_path / str(len(kept))).open("w")))
