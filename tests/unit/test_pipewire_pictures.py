"""What a buffer of PipeWire says, and the picture that is made of it. Needs neither PipeWire nor a desktop."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

import numpy as np
import pytest

from live_sr.capture import libpipewire, pipewire_pods
from live_sr.capture.libpipewire import Chunk, Data, Meta, SpaBuffer
from live_sr.capture.pipewire import copy_picture, find_drawn_ns, has_picture
from live_sr.capture.pipewire_pods import BGRA, BGRX, META_CROP, META_HEADER, RGBA, RGBX, VideoFormat, parse_format
from live_sr.pipeline.frame import Size, make_black

SIZE = Size(5, 3)


class BufferOfTests:
    """A buffer as the library hands it out, filled with noise. `memory`: its bytes, one row of the stride each."""

    def __init__(self, *, stride: int = 24, offset: int = 8, size: int = 72, flags: int = 0, **metas: bytes) -> None:
        self.memory = np.random.default_rng(1).integers(0, 256, (SIZE.height, stride), np.uint8)
        self._bytes = (ctypes.c_uint8 * (offset + self.memory.size)).from_buffer_copy(
            bytes(offset) + self.memory.tobytes()
        )
        self._chunk = Chunk(offset, size, stride, flags)
        address = ctypes.addressof(self._bytes)
        self._data = (Data * 1)(Data(2, 0, -1, 0, len(self._bytes), address, ctypes.pointer(self._chunk)))
        kinds = {"header": META_HEADER, "crop": META_CROP}
        self._raw = [ctypes.create_string_buffer(raw, len(raw)) for raw in metas.values()]
        told = zip(metas, self._raw, strict=True)
        self._metas = (Meta * len(metas))(*(Meta(kinds[n], len(raw), ctypes.addressof(raw)) for n, raw in told))
        self.buffer = SpaBuffer(len(metas), 1, self._metas, self._data)

    @property
    def pixels(self) -> np.ndarray:
        """The whole picture, four bytes a pixel as they lie in the memory."""
        return self.memory[:, : SIZE.width * 4].reshape(SIZE.height, SIZE.width, 4)


@pytest.mark.parametrize(("pixels", "order"), [(BGRX, "012"), (BGRA, "012"), (RGBX, "210"), (RGBA, "210")])
def test_every_order_of_the_colours_becomes_bgra(pixels: int, order: str) -> None:
    made = BufferOfTests()
    copied = copy_picture(made.buffer, VideoFormat(pixels, SIZE), None)
    assert copied is not None
    assert np.array_equal(copied[..., :3], made.pixels[..., [int(channel) for channel in order]])
    assert (copied[..., 3] == 255).all() and copied.flags.c_contiguous


def test_a_picture_of_the_right_size_is_written_into() -> None:
    into = make_black(SIZE)
    assert copy_picture(BufferOfTests().buffer, VideoFormat(RGBX, SIZE), into) is into


@pytest.mark.parametrize(
    ("crop", "x", "y", "size"),
    [((1, 1, 3, 2), 1, 1, (3, 2)), ((2, 0, 9, 9), 2, 0, (3, 3)), ((-2, -1, 4, 2), 0, 0, (2, 1)),
     ((0, 0, 0, 0), 0, 0, SIZE), ((9, 9, 3, 3), 0, 0, SIZE)],
)  # fmt: skip
def test_only_the_window_within_the_monitor_is_taken(
    crop: tuple[int, int, int, int], x: int, y: int, size: tuple[int, int]
) -> None:
    made = BufferOfTests(crop=struct.pack("<iiII", *crop))
    copied = copy_picture(made.buffer, VideoFormat(BGRX, SIZE), None)
    assert copied is not None
    assert np.array_equal(copied[..., :3], made.pixels[y : y + size[1], x : x + size[0], :3])


def test_a_buffer_smaller_than_its_format_is_not_read() -> None:
    shape = VideoFormat(BGRX, Size(SIZE.width, SIZE.height + 1))
    assert copy_picture(BufferOfTests().buffer, shape, None) is None
    assert copy_picture(BufferOfTests().buffer, VideoFormat(BGRX, Size(7, 3)), None) is None


@pytest.mark.parametrize(("size", "flags", "there"), [(72, 0, True), (0, 0, False), (72, libpipewire.CORRUPTED, False)])
def test_a_buffer_with_only_a_cursor_is_no_picture(size: int, flags: int, there: bool) -> None:
    assert has_picture(BufferOfTests(size=size, flags=flags).buffer) == there


@pytest.mark.parametrize(
    ("told", "expected"),
    [(9_999_000_000, 9_999_000_000), (10_000_000_001, 10_000_000_000), (0, 10_000_000_000), (-1, 10_000_000_000),
     (5_000_000_000, 10_000_000_000)],
)  # fmt: skip
def test_the_desktops_time_counts_unless_it_cannot_be(told: int, expected: int) -> None:
    """Some desktops count from another moment than the system's clock."""
    header = struct.pack("<IIqqQ", 0, 0, told, 0, 0)
    assert find_drawn_ns(BufferOfTests(header=header).buffer, 10_000_000_000) == expected
    assert find_drawn_ns(BufferOfTests().buffer, 10_000_000_000) == 10_000_000_000


def make_format(values: Sequence[tuple[int, int, bytes]]) -> bytes:
    """An agreed format, by key, type and value, as PipeWire packs it."""
    body = struct.pack("<II", 0x40003, 4)
    for key, kind, value in values:
        body += struct.pack("<IIII", key, 0, len(value), kind) + value + bytes(-len(value) % 8)
    return struct.pack("<II", len(body), 15) + body


MEDIA = [(1, 3, struct.pack("<I", 2)), (2, 3, struct.pack("<I", 1))]


def test_the_agreed_format_is_read_also_from_a_choice() -> None:
    fixed = make_format([*MEDIA, (0x20001, 3, struct.pack("<I", 12)), (0x20003, 10, struct.pack("<II", 640, 400))])
    assert parse_format(fixed) == (BGRA, Size(640, 400))
    choice = struct.pack("<IIII", 0, 0, 8, 10) + struct.pack("<II", 320, 200)
    chosen = make_format([*MEDIA, (0x20001, 3, struct.pack("<I", 8)), (0x20003, 19, choice)])
    assert parse_format(chosen) == (BGRX, Size(320, 200))


@pytest.mark.parametrize(
    "values",
    [MEDIA, [(0x20001, 3, struct.pack("<I", 99)), (0x20003, 10, struct.pack("<II", 640, 400))],
     [(0x20001, 3, struct.pack("<I", 8)), (0x20003, 10, struct.pack("<II", 0, 400))],
     [(0x20001, 3, struct.pack("<I", 8)), (0x20003, 10, b"")]],
)  # fmt: skip
def test_a_format_that_was_not_offered_is_refused(values: Sequence[tuple[int, int, bytes]]) -> None:
    with pytest.raises(ValueError, match="the stream"):
        parse_format(make_format(values))


def test_what_is_offered_can_be_read_back() -> None:
    assert parse_format(pipewire_pods.make_format_offer()) == (BGRX, Size(1280, 720))
    assert all(len(pod) % 8 == 0 for pod in pipewire_pods.make_buffer_requirements())
