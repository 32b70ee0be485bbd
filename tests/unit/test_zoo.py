"""Models are found by name or file, and damaged ones are told apart before anything reads them."""

import hashlib
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from live_sr.errors import ModelError
from live_sr.models import zoo
from live_sr.models.resolve import resolve

CARD = """
name = "{name}"
scale = {scale}
architecture = "CellNet 32x3"
parameters = 50688
macs_per_pixel = 11232
multiple = 2
licence = "GPL-3.0-or-later"
trained_on = "frames of games"
steps = 1000

[psnr_y]
openarena = {{ model = 33.25, bicubic = 32.09, lanczos = 32 }}
"""


def write_model(path: Path, height: int | str = "height", large: int | str = "large", weights: int = 1000) -> Path:
    """A network that multiplies by 1; its weights are there to be stepped over."""
    picture = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, height, height])
    enlarged = helper.make_tensor_value_info("enlarged", TensorProto.FLOAT, [1, 3, large, large])
    one = helper.make_tensor("one", TensorProto.FLOAT, [weights], [1.0] * weights)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["rgb", "one"], ["enlarged"])], "g", [picture], [enlarged], [one]
    )
    onnx.save(helper.make_model(graph), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, scale in (("fast", 4), ("fast", 2), ("sharp", 2)):
        write_model(tmp_path / f"{name}-x{scale}.onnx")
        (tmp_path / f"{name}-x{scale}.toml").write_text(CARD.format(name=name, scale=scale))
    return tmp_path


def test_models_are_listed_by_name_and_scale(folder: Path) -> None:
    assert [card.label for card in zoo.list_cards(folder)] == ["fast x2", "fast x4", "sharp x2"]
    assert zoo.list_names(folder) == ["fast", "sharp"]


def test_a_card_tells_what_is_known(folder: Path) -> None:
    card = zoo.find("fast", 2, folder)
    assert (card.architecture, card.parameters, card.multiple) == ("CellNet 32x3", 50688, 2)
    assert (card.psnr_y["openarena"].model, card.psnr_y["openarena"].lanczos) == (33.25, 32)
    assert card.onnx == folder / "fast-x2.onnx"
    zoo.verify(card)


@pytest.mark.parametrize(
    ("name", "scale", "says"),
    [
        ("fats", 2, 'there is no model called "fats". Did you mean "fast"?'),
        ("fast", 3, "there is no x3 of fast: x2, x4"),
        ("zzz", 2, 'there is no model called "zzz".'),
    ],
)
def test_a_missing_model_says_what_there_is(folder: Path, name: str, scale: int, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        zoo.find(name, scale, folder)
    assert caught.value.message == says
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("file", "height", "large", "scale"),
    [
        ("mine.onnx", 64, 192, 3),  # told by its shapes
        ("mine-x4.onnx", "h", "l", 4),  # told by its name
        ("2x_Compact.onnx", "h", "l", 2),
        ("RealESRGAN_x4plus.onnx", "h", "l", 4),
        ("mine-x4.onnx", 64, 128, 2),  # shapes go before names
    ],
)
def test_a_file_without_a_card_has_a_scale(
    tmp_path: Path, file: str, height: int | str, large: int | str, scale: int
) -> None:
    path = write_model(tmp_path / file, height, large)
    model = resolve(str(path))
    assert model.scales == (scale,)
    assert [card.onnx for card in model.cards] == [path]
    assert [card.scale for card in zoo.list_cards(tmp_path)] == [scale]
    with pytest.raises(ModelError, match=f"makes pictures x{scale}, not x8"):
        resolve(str(path), 8)


def test_a_file_that_does_not_tell_its_scale_is_taken_at_ones_word(tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine.onnx")
    model = resolve(str(path))
    assert model.scales == (2, 3, 4)
    for scale in (3, 8):
        card = model.get_card(scale)
        assert card is not None and card.scale == scale


def test_a_file_with_a_card_beside_it_uses_it(folder: Path) -> None:
    card = resolve(str(folder / "sharp-x2.onnx")).get_card(2)
    assert card is not None and card.architecture == "CellNet 32x3"


@pytest.mark.parametrize("keep", [0, 1, 10, 200, 4000, -1])
def test_a_truncated_file_is_recognised(tmp_path: Path, keep: int) -> None:
    path = write_model(tmp_path / "mine-x2.onnx")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="cannot be used") as caught:
        resolve(str(path), 2)
    assert caught.value.remedy


def test_a_file_of_another_kind_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "page.onnx"
    path.write_text("<!DOCTYPE html><html>404</html>" * 50)
    with pytest.raises(ModelError, match="not an ONNX file"):
        resolve(str(path), 2)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        resolve(str(tmp_path / "nowhere.onnx"), 2)


def test_a_changed_file_is_recognised_by_its_card(folder: Path) -> None:
    path = folder / "fast-x2.onnx"
    data = path.read_bytes()
    card = folder / "fast-x2.toml"
    proof = f'bytes = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n'
    card.write_text(proof + CARD.format(name="fast", scale=2))
    zoo.verify(zoo.find("fast", 2, folder))
    path.write_bytes(data[:-40])
    with pytest.raises(ModelError, match=f"{len(data) - 40} of {len(data)} bytes"):
        zoo.verify(zoo.find("fast", 2, folder))
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="differs from what its card describes"):
        zoo.verify(zoo.find("fast", 2, folder))


WRONG_RANGES = ("3", "[1, 2]", "[[1]]", "[[2, 1]]", "[[true, 2]]", "[[nan, 2]]", '[["a", 2]]')


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("name = ", "not valid TOML"),
        ('name = "fast"', "scale is missing"),
        ('name = "fast"\nscale = "two"', "scale = 'two' must be a whole number"),
        ('name = "fast"\nscale = 2\nmultipel = 2', 'Did you mean "multiple"'),
        ('name = "fast"\nscale = 2\nmultiple = 0', "at least 1"),
        ('name = "fast"\nscale = 2\n[psnr_y]\ndoom = { model = 1 }', "psnr_y.doom must have"),
        *((f'name = "fast"\nscale = 2\nint8_ranges = {ranges}', "int8_ranges must have") for ranges in WRONG_RANGES),
    ],
)
def test_a_wrong_card_is_a_sentence_that_names_it(tmp_path: Path, card: str, says: str) -> None:
    (tmp_path / "fast-x2.toml").write_text(card)
    with pytest.raises(ModelError) as caught:
        zoo.list_cards(tmp_path)
    assert says in caught.value.message
    assert "fast-x2.toml" in caught.value.message


def test_every_shipped_model_is_whole() -> None:
    for card in zoo.list_cards():
        zoo.verify(card)


def test_the_zoo_loads_no_inference_library() -> None:
    code = (
        "import sys, live_sr.models.zoo; print([m for m in ('torch', 'onnx', 'openvino', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
