"""Pictures come out larger with all that belonged to them, or not at all and with a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from live_sr.errors import LiveSRError, UsageError
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Size
from live_sr.upscale.images import alpha as alpha_plane
from live_sr.upscale.images import load
from live_sr.upscale.images.job import ImageUpscaler, upscale_image
from live_sr.upscale.options import ScalingOptions

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS = ("png", "jpg", "webp", "avif", "tif")
REPEAT = ScalingOptions(model=resolve("nearest"), scale=2)
DRAW = ScalingOptions(model=resolve("fast"), scale=2)


def smooth(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Levels that a lossy file keeps nearly."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)
    return np.asarray(cv2.resize(cv2.GaussianBlur(noise, (0, 0), 4) * 3, (width, height))).reshape(height, width, bands)


def made(path: Path) -> Image.Image:
    picture = Image.open(path)
    picture.load()
    return picture


def levels(path: Path) -> np.ndarray:
    """As another library reads them, with all their bits: grey, BGR or BGRA."""
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read is not None
    return read


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def upscaler(notes: list[str]) -> Iterator[ImageUpscaler]:
    """With a filter: quick, and its result is known."""
    made = ImageUpscaler(REPEAT, notes.append)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_profile_exif_and_orientation_are_kept(
    kind: str, tmp_path: Path, upscaler: ImageUpscaler, notes: list[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a wide field"  # Orientation: turn it right; ImageDescription
    source, target = tmp_path / f"small.{kind}", tmp_path / f"large.{kind}"
    Image.fromarray(smooth(24, 40)).save(source, exif=exif, icc_profile=PROFILE, quality=95)
    upscaler.upscale(source, target)
    after = made(target)
    assert after.size == (48, 80), "as it was shown, upright"
    assert after.getexif().get(0x0112, 1) == 1, "and not turned again"
    assert after.info["icc_profile"] == PROFILE
    if kind != "tif":  # whose fields are its own
        assert after.getexif()[0x010E] == "a wide field"
    upright = np.asarray(ImageOps.exif_transpose(made(source)).convert("RGB"), int)
    assert np.abs(np.asarray(after, int) - upright.repeat(2, 0).repeat(2, 1)).mean() < 3
    assert notes == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("P", "RGB"), ("PA", "RGBA"), ("1", "L")],
)
def test_grey_stays_grey_and_transparent_stays_transparent(
    mode: str, expected: str, tmp_path: Path, upscaler: ImageUpscaler
) -> None:
    colours = Image.fromarray(smooth(20, 30, 4), "RGBA")
    source, target = tmp_path / "small.png", tmp_path / "large.png"
    if mode == "PA":
        colours.convert("RGB").quantize(16).save(source, transparency=3)
    else:
        (colours.convert("RGB").quantize(16) if mode == "P" else colours.convert(mode)).save(source)
    upscaler.upscale(source, target)
    after = made(target)
    assert (after.mode, after.size) == (expected, (60, 40))
    before = np.asarray(made(source).convert(expected), int).reshape(20, 30, -1)
    seen = before[..., -1:] > 0 if expected.endswith("A") else np.ones((20, 30, 1), bool)
    enlarged = np.asarray(after, int).reshape(40, 60, -1)[::2, ::2]
    assert np.array_equal((enlarged * seen), before * seen)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_16_bits_stay_16_bits(bands: int, tmp_path: Path) -> None:
    ramp = np.linspace(20000, 21000, 64 * 48).reshape(48, 64, 1).repeat(bands, 2)  # four levels of 8 bits
    source, target = tmp_path / "small.png", tmp_path / "large.png"
    cv2.imwrite(str(source), np.rint(ramp).astype(np.uint16).reshape((48, 64) if bands == 1 else ramp.shape))
    upscale_image(source, target, DRAW)
    after = levels(target)
    assert after.dtype == np.uint16
    assert after.shape == ((96, 128) if bands == 1 else (96, 128, bands))
    assert np.unique(after).size > 400, "more than 8 bits hold"
    expected = cv2.resize(ramp, (128, 96)).reshape(after.shape)
    assert np.abs(after[8:-8, 8:-8] - expected[8:-8, 8:-8]).max() < 400, "and the same picture"


def test_16_bits_become_8_with_a_note_where_the_engine_has_only_8(
    tmp_path: Path, upscaler: ImageUpscaler, notes: list[str]
) -> None:
    source, target = tmp_path / "small.png", tmp_path / "large.png"
    cv2.imwrite(str(source), np.full((10, 10, 3), 257 * 77, np.uint16))
    upscaler.upscale(source, target)
    assert levels(target).dtype == np.uint8 and (levels(target) == 77).all()
    assert notes == [f"{source}: nearest runs in 8 bits here, so its 16 bits become 8"]


def test_avif_of_10_bits_stays_so_and_white_stays_white(tmp_path: Path) -> None:
    source, target = tmp_path / "small.avif", tmp_path / "large.avif"
    picture = pyvips.Image.new_from_array(np.full((32, 32, 3), 65535, np.uint16)).copy(interpretation="rgb16")
    picture.heifsave(str(source), compression="av1", bitdepth=10, lossless=True)
    upscale_image(source, target, DRAW)
    after = pyvips.Image.new_from_file(str(target))
    assert after.get("bits-per-sample") == 10
    assert (load.read_image(source).pixels == 65535).all()
    assert (after.numpy() >> 6).min() >= 1020, "as far as the file, which is not lossless, keeps it"


def sprite(hidden: tuple[int, int, int]) -> np.ndarray:
    """A red disc with a soft edge on nothing; `hidden` is the colour of what nobody sees."""
    y, x = np.mgrid[:40, :40]
    alpha = np.clip((14 - np.hypot(x - 20, y - 20)) * 128 + 128, 0, 255).astype(np.uint8)
    picture = np.zeros((40, 40, 4), np.uint8)
    picture[..., :3] = np.where(alpha[..., None] > 0, (220, 40, 30), hidden)
    picture[..., 3] = alpha
    return picture


def test_hidden_colours_do_not_show(tmp_path: Path) -> None:
    results = []
    for hidden in ((0, 0, 0), (0, 255, 0)):
        Image.fromarray(sprite(hidden)).save(tmp_path / "small.png")
        upscale_image(tmp_path / "small.png", tmp_path / "large.png", DRAW)
        results.append(np.asarray(made(tmp_path / "large.png"), int))
        (tmp_path / "large.png").unlink()
    assert np.array_equal(*results)
    visible = results[0][results[0][..., 3] > 0]
    assert np.abs(visible[:, :3] - (220, 40, 30)).max() <= 4, "no fringe"
    alpha = results[0][..., 3]
    assert (alpha[:8] == 0).all() and (alpha[30:50, 30:50] == 255).all(), "clear and opaque to the last level"
    assert np.unique(alpha).size > 2


def test_colours_bleed_from_what_is_nearest() -> None:
    pixels = np.zeros((9, 13, 4), np.uint8)
    pixels[4, 2], pixels[4, 11] = (10, 20, 30, 255), (200, 100, 50, 255)
    alpha = np.zeros((9, 13), np.uint8)
    alpha[4, 2] = alpha[4, 11] = 255
    alpha_plane.bleed_colours(pixels, alpha)
    assert tuple(pixels[4, 3, :3]) == (10, 20, 30)
    assert tuple(pixels[5, 11, :3]) == (200, 100, 50)
    assert (pixels[..., :3].max((0, 1)) <= (200, 100, 50)).all()


def test_cmyk_becomes_srgb_with_a_note(tmp_path: Path, upscaler: ImageUpscaler, notes: list[str]) -> None:
    source, target = tmp_path / "print.jpg", tmp_path / "screen.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(source, quality=95)
    upscaler.upscale(source, target)
    red, green, blue = np.asarray(made(target), int)[16, 16]
    assert made(target).mode == "RGB" and red > 180 and max(green, blue) < 90
    assert notes == [f"{source}: CMYK becomes sRGB"]


def test_what_a_format_cannot_hold_is_noted(tmp_path: Path, upscaler: ImageUpscaler, notes: list[str]) -> None:
    Image.fromarray(sprite((0, 0, 0))).save(tmp_path / "clear.png")
    upscaler.upscale(tmp_path / "clear.png", tmp_path / "flat.jpg")
    assert "transparency" in notes.pop()
    assert min(made(tmp_path / "flat.jpg").getpixel((2, 2))) > 250, "on white"  # type: ignore[type-var, arg-type]
    Image.new("RGB", (8, 8)).save(
        tmp_path / "film.webp", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
    )
    upscaler.upscale(tmp_path / "film.webp", tmp_path / "first.png")
    assert notes == [f"{tmp_path / 'film.webp'}: only the first of its 2 pictures is used"]


@pytest.mark.parametrize(
    ("work", "small", "expected"),
    [
        (ScalingOptions(model=resolve("fast")), (1, 1), (2, 2)),
        (ScalingOptions(model=resolve("fast"), scale=4), (1, 3), (4, 12)),
        (ScalingOptions(model=resolve("fast"), size=Size(100, 75)), (40, 30), (100, 75)),
        (ScalingOptions(model=resolve("fast"), size=Size(31, 7)), (40, 30), (31, 7)),
        (ScalingOptions(model=resolve("fast"), size=Size(41, 333)), (40, 30), (41, 333)),
        (ScalingOptions(model=resolve("fast"), lines=1080), (480, 270), (1920, 1080)),
        (ScalingOptions(model=resolve("fast"), lines=480), (270, 480), (480, 853)),
        (ScalingOptions(model=resolve("bicubic"), scale=3), (7, 5), (21, 15)),
    ],
    ids=str,
)
def test_the_picture_has_exactly_the_requested_size(
    work: ScalingOptions, small: tuple[int, int], expected: tuple[int, int], tmp_path: Path
) -> None:
    Image.new("RGB", small, (10, 200, 90)).save(tmp_path / "small.png")
    upscale_image(tmp_path / "small.png", tmp_path / "large.png", work)
    after = made(tmp_path / "large.png")
    assert after.size == expected
    assert np.abs(np.asarray(after, int) - (10, 200, 90)).max() <= 3, "of the same colour, to its edges"


def test_a_panorama_is_drawn_in_tiles_without_a_seam(tmp_path: Path) -> None:
    source = tmp_path / "wide.png"
    cv2.imwrite(str(source), smooth(40, 16400))
    upscale_image(source, tmp_path / "tiles.png", ScalingOptions(model=resolve("turbo"), scale=2, tile=512))
    upscale_image(source, tmp_path / "whole.png", ScalingOptions(model=resolve("turbo"), scale=2, tile=-1))
    assert levels(tmp_path / "tiles.png").shape == (80, 32800, 3)
    assert np.array_equal(levels(tmp_path / "tiles.png"), levels(tmp_path / "whole.png"))


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(smooth(90, 160)).save(file, kind)
    return file.getvalue()


def hdr() -> bytes:
    """A PNG that says, in a cICP chunk, that its levels are of PQ."""
    data, content = encoded("png"), b"cICP" + bytes((9, 16, 0, 1))
    return data[:33] + struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content)) + data[33:]


def floats() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(file, "tiff")
    return file.getvalue()


BROKEN = [
    ("empty.png", b"", "is empty"),
    ("text.png", b"This is no picture.\n" * 9, "is no picture in a supported format"),
    ("film.gif.png", b"GIF89a" + bytes(64), "is damaged"),
    ("paint.png", b"BM" + bytes(64), "is a BMP picture, which is not read"),
    ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(64), "is a HEIC picture"),
    *(
        (f"half.{kind}", encoded(kind)[: len(encoded(kind)) // 2], "is damaged")
        for kind in ("png", "jpeg", "webp", "avif")
    ),
    ("head.png", encoded("png")[:20], "is damaged"),
    ("bright.png", hdr(), r"is HDR \(PQ\)"),
    ("heights.tif", floats(), "has pixels of the type float"),
]


@pytest.mark.parametrize(("name", "data", "sentence"), BROKEN, ids=[row[0] for row in BROKEN])
def test_an_unusable_picture_is_refused_in_one_sentence(
    name: str, data: bytes, sentence: str, tmp_path: Path, upscaler: ImageUpscaler, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=sentence) as caught:
        upscaler.upscale(tmp_path / name, tmp_path / "out" / "large.png")
    assert caught.value.remedy and "\n" not in caught.value.message
    assert [path.name for path in tmp_path.rglob("*")] == [name], "nothing is left behind"
    assert capfd.readouterr().err == "", "and the library keeps quiet"


def test_missing_inputs_and_unwritable_outputs_are_refused(tmp_path: Path, upscaler: ImageUpscaler) -> None:
    source = tmp_path / "small.png"
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        upscaler.upscale(source, tmp_path / "large.png")
    Image.new("RGB", (8, 8)).save(source)
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(LiveSRError, match="cannot be written"):
        upscaler.upscale(source, tmp_path / "taken" / "large.png")
    with pytest.raises(UsageError, match="pictures are written as PNG"):
        upscaler.upscale(source, tmp_path / "large.gif")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="would overwrite its input"):
        upscaler.upscale(source, tmp_path / "." / "small.png")
    assert source.read_bytes() == before


@pytest.mark.parametrize(("suffix", "most"), [("webp", 16383), ("avif", 16384)])
def test_a_picture_too_wide_for_its_format_is_refused_before_the_work(
    suffix: str, most: int, tmp_path: Path, upscaler: ImageUpscaler
) -> None:
    Image.new("RGB", (9000, 2)).save(tmp_path / "wide.png")
    with pytest.raises(UsageError, match=f"holds at most {most} pixels a side"):
        upscaler.upscale(tmp_path / "wide.png", tmp_path / f"wider.{suffix}")


FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from live_sr.errors import LiveSRError
from live_sr.models.resolve import resolve
from live_sr.upscale.options import ScalingOptions
from live_sr.upscale.images.job import upscale_image
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    upscale_image(Path(sys.argv[1]), Path(sys.argv[2]), ScalingOptions(model=resolve("nearest"), scale=2))
except LiveSRError as error:
    print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX limits the size of files")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_what_was_there(kind: str, tmp_path: Path) -> None:
    source, target = tmp_path / "small.png", tmp_path / f"large.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(source)
    target.write_bytes(b"what was there")
    done = subprocess.run([sys.executable, "-c", FULL, source, target], capture_output=True, text=True)
    assert done.stdout.startswith(f"{target} cannot be written: "), done.stderr
    assert target.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, target.name])
    assert done.stderr == ""
