"""The tests' own clock: a wait ends with a reason, and a busy machine gets more time."""

import threading
import time

import patience
import pytest
from patience import clock, until, wait


def test_a_wait_that_is_over_says_for_what_and_how_long() -> None:
    with pytest.raises(TimeoutError, match="the moon: not within 0 s of a quiet machine"):
        until(lambda: None, "the moon", 0.0)


def test_zero_is_an_answer() -> None:
    assert until(lambda: 0, "an exit code") == 0


def test_an_event_that_never_comes_ends_the_wait() -> None:
    assert not wait(threading.Event(), 0.0)


def test_the_clock_is_slower_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "QUIET_S", 1e-6)  # so that this machine is thousands of times slower
    before, begun = clock(), time.monotonic()
    time.sleep(1.5)
    assert clock() - before < (time.monotonic() - begun) / 2
