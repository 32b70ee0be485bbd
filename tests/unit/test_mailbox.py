"""One item from one thread to another: the newest wins, and nothing waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from live_sr.pipeline.mailbox import Mailbox, MailboxClosed


class Other:
    """A call on another thread, with its result or error."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(call,))
        self.thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self.result = call()
        except BaseException as error:
            self.error = error

    def join(self) -> Other:
        self.thread.join(10)
        assert not self.thread.is_alive(), "it still waits"
        return self


@pytest.mark.parametrize(
    ("posted", "pushed_out", "taken"),
    [
        ([], [], None),
        ([1], [None], 1),
        ([1, 2], [None, 1], 2),
        ([1, 2, 3], [None, 1, 2], 3),
    ],
)
def test_the_newest_item_is_taken_and_each_it_replaced_is_given_back(
    posted: list[int], pushed_out: list[int | None], taken: int | None
) -> None:
    box: Mailbox[int] = Mailbox()
    assert [box.post(item) for item in posted] == pushed_out
    assert box.take(0.001) == taken
    assert box.take(0.001) is None


def test_a_waiting_reader_gets_what_is_posted() -> None:
    box: Mailbox[int] = Mailbox()
    reader = Other(lambda: box.take(10))
    box.post(5)
    assert reader.join().result == 5


def test_a_wake_ends_the_wait_of_a_reader_without_an_item() -> None:
    box: Mailbox[int] = Mailbox()
    reader = Other(lambda: box.take(10))
    while reader.result is None and reader.thread.is_alive():
        box.wake()
        reader.thread.join(0.005)
    assert (reader.join().result, reader.error) == (None, None)


@pytest.mark.parametrize("cause", [None, ValueError("the source broke")])
def test_what_closed_it_reaches_a_reader_that_waits(cause: ValueError | None) -> None:
    box: Mailbox[int] = Mailbox()
    reader = Other(lambda: box.take(10))
    box.close(cause)
    error = reader.join().error
    assert isinstance(error, MailboxClosed)
    assert error.__cause__ is cause


def test_an_item_posted_before_the_close_is_still_delivered() -> None:
    box: Mailbox[int] = Mailbox()
    box.post(1)
    box.close(ValueError("late"))
    assert box.take(0.001) == 1
    for _ in range(2):
        with pytest.raises(MailboxClosed):
            box.take(0.001)


def test_once_closed_it_hands_a_posted_item_straight_back() -> None:
    box: Mailbox[int] = Mailbox()
    box.close()
    assert box.post(7) == 7
    with pytest.raises(MailboxClosed):
        box.take(0.001)


def test_the_first_cause_of_closing_is_kept() -> None:
    box: Mailbox[int] = Mailbox()
    first = ValueError("first")
    for cause in (None, first, ValueError("second"), None):
        box.close(cause)
    with pytest.raises(MailboxClosed) as caught:
        box.take(0.001)
    assert caught.value.__cause__ is first


@pytest.mark.parametrize(
    ("prepare", "room"),
    [
        (lambda box: None, True),
        (lambda box: box.post(1), False),
        (lambda box: (box.post(1), box.take(0.001)), True),
        (lambda box: (box.post(1), box.close()), True),
    ],
)
def test_there_is_room_unless_an_item_waits_in_an_open_box(
    prepare: Callable[[Mailbox[int]], object], room: bool
) -> None:
    box: Mailbox[int] = Mailbox()
    prepare(box)
    assert box.wait_until_empty(0.001) is room


def test_a_writer_waits_for_room_until_the_item_is_taken() -> None:
    box: Mailbox[int] = Mailbox()
    box.post(1)
    writer = Other(lambda: box.wait_until_empty(10))
    assert box.take(10) == 1
    assert writer.join().result is True


def test_a_writer_that_waits_for_room_each_time_loses_nothing() -> None:
    box: Mailbox[int] = Mailbox()

    def write() -> None:
        for number in range(2000):
            while not box.wait_until_empty(10):
                pass
            assert box.post(number) is None
        box.close()

    writer = Other(write)
    got = []
    with pytest.raises(MailboxClosed):
        while True:
            item = box.take(10)
            if item is not None:
                got.append(item)
    assert writer.join().error is None
    assert got == list(range(2000))
