"""What belongs to a picture besides its pixels is kept, corrected where it describes the old pixels, or told."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from live_sr.imaging.colour_profile import SRGB, ColourSpace, make_profile
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Size
from live_sr.upscale.images.belongings import correct_xmp
from live_sr.upscale.images.job import ImageUpscaler
from live_sr.upscale.options import ScalingOptions

RAMP = np.dstack([np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))] * 3)
LINEAR_GAMMA = struct.pack(">I", 100_000)
DISPLAY_P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="d" dc:creator="Ada"'
    b' tiff:Orientation="6" tiff:ImageWidth="64" tiff:ImageLength="48"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def upscaler(notes: list[str]) -> Iterator[ImageUpscaler]:
    made = ImageUpscaler(ScalingOptions(resolve("nearest"), scale=2), notes.append)
    yield made
    made.close()


def png(path: Path, *chunks: tuple[bytes, bytes], grey: bool = False) -> Path:
    file = io.BytesIO()
    Image.fromarray(RAMP[..., 0] if grey else RAMP).save(file, "png")
    data = file.getvalue()
    extra = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    path.write_bytes(data[:33] + extra + data[33:])
    return path


def profile_of(path: Path) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(Image.open(path).info["icc_profile"]))


def assert_display_p3(path: Path) -> None:
    """The colorants of Display P3, as its published profile has them."""
    found = profile_of(path).profile
    colorants = [one[0] for one in (found.red_colorant, found.green_colorant, found.blue_colorant)]
    published = [(0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)]
    assert colorants == [pytest.approx(point, abs=0.002) for point in published]


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
@pytest.mark.parametrize("dpi", [(300, 300), (72, 144), None])
def test_dots_per_inch_are_kept_and_none_are_made_up(
    tmp_path: Path, upscaler: ImageUpscaler, kind: str, dpi: tuple[int, int] | None
) -> None:
    source, target = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    Image.fromarray(RAMP).save(source, **({} if dpi is None else {"dpi": dpi}))
    upscaler.upscale(source, target)
    found = Image.open(target)
    assert found.size == (128, 96)
    if dpi is None:
        assert "dpi" not in found.info or (kind == "tif" and found.tag_v2.get(296) == 1)  # a unit of no length
    elif kind == "jpg":
        assert [float(found.getexif()[tag]) for tag in (282, 283, 296)] == pytest.approx([*dpi, 2], abs=0.1)  # inches
    else:
        assert found.info["dpi"] == pytest.approx(dpi, abs=0.1)


def test_xmp_of_a_turned_picture_asks_for_no_second_turn(tmp_path: Path, upscaler: ImageUpscaler) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(RAMP).save(tmp_path / "in.jpg", quality=95, exif=exif, xmp=XMP)
    upscaler.upscale(tmp_path / "in.jpg", tmp_path / "out.jpg")
    found = Image.open(tmp_path / "out.jpg")
    assert found.size == (96, 128)
    assert found.getexif()[0x112] == 1
    told = dict(re.findall(rb"(tiff:\w+|dc:\w+)=\"(\w+)\"", found.info["xmp"]))
    assert told == {
        b"tiff:Orientation": b"1",
        b"tiff:ImageWidth": b"96",
        b"tiff:ImageLength": b"128",
        b"dc:creator": b"Ada",
    }


def test_xmp_is_corrected_in_both_of_its_spellings() -> None:
    xmp = b"<exif:PixelXDimension> 64 </exif:PixelXDimension><a tiff:Orientation='8' b='6'/><c>tiff:Orientation</c>"
    assert correct_xmp(xmp, Size(200, 100)) == (
        b"<exif:PixelXDimension> 200 </exif:PixelXDimension><a tiff:Orientation='1' b='6'/><c>tiff:Orientation</c>"
    )


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif", "avif"])
def test_gamma_and_chromaticities_become_a_profile(tmp_path: Path, upscaler: ImageUpscaler, kind: str) -> None:
    source = png(tmp_path / "in.png", (b"gAMA", LINEAR_GAMMA), (b"cHRM", DISPLAY_P3))
    upscaler.upscale(source, tmp_path / f"out.{kind}")
    assert_display_p3(tmp_path / f"out.{kind}")


def test_a_profile_means_the_same_light() -> None:
    """Linear levels of 188 are nearly white: littlecms converts them as the tags say."""
    linear = ImageCms.ImageCmsProfile(io.BytesIO(make_profile(ColourSpace(SRGB, 1.0), grey=False)))
    srgb = ImageCms.createProfile("sRGB")
    level = Image.new("RGB", (1, 1), (55, 128, 0))
    made = ImageCms.profileToProfile(level, linear, srgb)
    assert np.abs(np.array(made.getpixel((0, 0))) - (128, 188, 0)).max() <= 2
    same = ImageCms.ImageCmsProfile(io.BytesIO(make_profile(ColourSpace(), grey=False)))
    assert np.abs(np.array(ImageCms.profileToProfile(level, same, srgb).getpixel((0, 0))) - (55, 128, 0)).max() <= 1


def test_a_wide_colour_space_of_code_points_becomes_a_profile(tmp_path: Path, upscaler: ImageUpscaler) -> None:
    source = png(tmp_path / "in.png", (b"cICP", bytes([12, 13, 0, 1])))
    upscaler.upscale(source, tmp_path / "out.png")
    assert_display_p3(tmp_path / "out.png")


def test_grey_with_a_gamma_gets_a_grey_profile(tmp_path: Path, upscaler: ImageUpscaler) -> None:
    source = png(tmp_path / "in.png", (b"gAMA", LINEAR_GAMMA), grey=True)
    upscaler.upscale(source, tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").mode == "L"
    assert profile_of(tmp_path / "out.png").profile.xcolor_space.strip() == "GRAY"


@pytest.mark.parametrize(
    "chunks",
    [(), ((b"gAMA", struct.pack(">I", 45455)),), ((b"sRGB", b"\0"), (b"gAMA", LINEAR_GAMMA))],
    ids=["nothing", "the gamma of sRGB", "sRGB before gAMA"],
)
def test_srgb_needs_no_profile(
    tmp_path: Path, upscaler: ImageUpscaler, chunks: tuple[tuple[bytes, bytes], ...]
) -> None:
    upscaler.upscale(png(tmp_path / "in.png", *chunks), tmp_path / "out.png")
    assert "icc_profile" not in Image.open(tmp_path / "out.png").info


NEARLY_ON_A_LINE = struct.pack(">8I", 51589, 1, 1, 1, 100_000, 99_999, 2, 2)


@pytest.mark.parametrize("colours", [bytes(32), NEARLY_ON_A_LINE], ids=["nothing but zeros", "nearly on a line"])
def test_impossible_colours_are_told(tmp_path: Path, upscaler: ImageUpscaler, notes: list[str], colours: bytes) -> None:
    source = png(tmp_path / "in.png", (b"cHRM", colours))
    upscaler.upscale(source, tmp_path / "out.png")
    assert any("is not possible" in note for note in notes)


def test_what_is_lost_of_an_animation_is_told(tmp_path: Path, upscaler: ImageUpscaler, notes: list[str]) -> None:
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (0, 120, 240)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=100)
    upscaler.upscale(tmp_path / "in.gif", tmp_path / "out.png")
    assert any("first of its 3 pictures" in note for note in notes)
    assert Image.open(tmp_path / "out.png").size == (16, 16)
