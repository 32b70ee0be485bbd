"""Pictures on the card into textures: what is on screen, who holds what, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeStep

from live_sr.errors import EngineError
from live_sr.nvidia.cuda_picture import CudaPicture
from live_sr.nvidia.double_buffer import DoubleBuffer
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.pipeline.frame import Frame, Size

ROOM = Size(3, 2)


class Stage:
    """A GPU, a double buffer for its pictures, and two OpenGL textures."""

    def __init__(self, queue: int = 0) -> None:
        self.cuda = FakeCuda()
        self.buffer = DoubleBuffer(self.cuda, lambda stream: FakeStep(self.cuda, ROOM, 2), ROOM, 2, queue)
        self.texture = InteropTexture()
        for number in (1, 2):
            self.resize(number, ROOM.times(2))

    def resize(self, number: int, size: Size) -> None:
        self.cuda.gl.textures[number] = np.zeros((size.height, size.width, 4), np.uint8)

    def drawn(self, value: int, size: Size = ROOM) -> CudaPicture:
        frame = self.buffer.upscale_on_device(Frame(np.full((size.height, size.width, 4), value, np.uint8)))
        assert frame is not None
        return frame.pixels

    def on_screen(self, number: int = 1) -> list[int]:
        """What is in the texture when OpenGL draws it."""
        self.cuda.gl.draw(number)
        self.cuda.finish()
        return [int(value) for value in np.unique(self.cuda.gl.shown[-1])]


@pytest.mark.parametrize("queue", [0, 1, 2])
def test_a_picture_is_on_screen_when_opengl_draws_next(queue: int) -> None:
    stage = Stage(queue)
    for value in range(1, 6):
        assert stage.texture.fill(1, stage.drawn(value))
        assert stage.on_screen() == [value]
    assert stage.cuda.gl.registered == [1]


def test_filling_waits_for_nothing_and_gives_the_slot_back() -> None:
    stage = Stage()
    for value in (1, 2):
        stage.texture.fill(1, stage.drawn(value))
    assert not stage.cuda.gl.textures[1].any(), "the copy was waited for"
    held = [stage.drawn(value) for value in (3, 4)]
    assert len(held) == 2, "both slots are free again"
    assert stage.on_screen() == [2]


def test_a_cropped_picture_fills_a_texture_of_its_own_size() -> None:
    stage = Stage()
    stage.resize(1, Size(4, 2))
    stage.texture.fill(1, stage.drawn(7, Size(2, 1)))
    assert stage.on_screen() == [7]


def test_a_texture_of_another_name_or_size_is_registered_anew() -> None:
    stage = Stage()
    stage.texture.fill(1, stage.drawn(1))
    stage.texture.fill(2, stage.drawn(2))
    assert stage.cuda.gl.registered == [2] and stage.on_screen(2) == [2]
    stage.texture.close()
    assert stage.cuda.gl.registered == []
    stage.resize(2, Size(4, 2))
    stage.texture.fill(2, stage.drawn(3, Size(2, 1)))
    assert stage.cuda.gl.registered == [2] and stage.on_screen(2) == [3]


def test_where_cuda_and_opengl_do_not_meet_the_picture_can_still_be_read() -> None:
    stage = Stage()
    stage.cuda.gl.refuses = "OpenGL is drawn by another GPU"
    drawn = stage.drawn(9)
    for _ in range(2):
        with pytest.raises(EngineError, match="another GPU"):
            stage.texture.fill(1, drawn)
    assert int(drawn.to_host().max()) == 9
    drawn.release()
    stage.texture.close()
    assert stage.cuda.gl.registered == []


def test_a_copy_that_fails_leaves_the_texture_to_opengl() -> None:
    stage = Stage()
    stage.resize(1, Size(1, 1))
    drawn = stage.drawn(4)
    with pytest.raises(EngineError, match="another size"):
        stage.texture.fill(1, drawn)
    stage.cuda.finish()
    assert int(drawn.to_host().max()) == 4
    assert stage.on_screen() == [0]


def test_a_picture_of_a_closed_engine_leaves_the_last_one_on_screen() -> None:
    stage = Stage()
    stage.texture.fill(1, stage.drawn(1))
    late = stage.drawn(2)
    stage.buffer.close()
    assert not stage.texture.fill(1, late)
    assert stage.on_screen() == [1]


def test_closing_gives_back_all_it_had_and_a_lost_card_does_not_hinder_it() -> None:
    stage = Stage()
    before = set(stage.cuda.live)
    stage.texture.close()
    stage.texture.fill(1, stage.drawn(1))
    stage.texture.close()
    stage.texture.close()
    assert stage.cuda.live == before and stage.cuda.gl.registered == []
    stage.texture.fill(1, stage.drawn(2))
    stage.cuda.lost = True
    stage.texture.close()
