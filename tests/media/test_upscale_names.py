"""Which files are made of which, whatever their names, and which were made before."""

import argparse
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_clips import clip, pictures

from live_sr.cli import upscale_command
from live_sr.errors import UsageError
from live_sr.imaging.video_file import open_input
from live_sr.upscale import command, kinds
from live_sr.upscale.images.journal import JOURNAL_NAME

RAMP = np.dstack([np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))] * 3)


def upscale(*words: str | Path) -> int:
    commands = argparse.ArgumentParser().add_subparsers()
    upscale_command.add_commands(commands)
    parsed = commands.choices["upscale"].parse_args([*map(str, words), "--model", "nearest"])
    return command.run(upscale_command.make_options(parsed))


def picture(path: Path, kind: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RAMP).save(path, kind or None)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "made"),
    [("in.jfif", "jpeg", "in.jfif"), ("in.mkv", "png", "in.png"), ("noname", "webp", "noname.png")],
)
def test_a_picture_is_known_by_its_content(tmp_path: Path, name: str, kind: str, made: str) -> None:
    picture(tmp_path / name, kind)
    assert upscale(tmp_path / name, "-o", tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / made)
    assert (found.size, found.format) == ((128, 96), "JPEG" if kind == "jpeg" else "PNG")


def test_a_video_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(clip(tmp_path / "in.mkv", pictures(3)).read_bytes())
    assert upscale(tmp_path / "in.png", "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.mkv"]


def test_an_animation_can_become_a_video(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), (level, 0, 0)) for level in (0, 120, 240)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=100)
    assert upscale(tmp_path / "in.gif", "-o", tmp_path / "out.mkv") == 0
    with open_input(tmp_path / "out.mkv") as container:
        assert len(list(container.decode(video=0))) == 3


def test_what_is_passed_over_in_a_folder_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.bmp")
    picture(tmp_path / "in/deep/c.gif")
    (tmp_path / "in/notes.txt").write_text("not a picture")
    (tmp_path / "in/e.vob").touch()
    (tmp_path / "in/.hidden").write_text("x")
    picture(tmp_path / "in/.thumbnails/d.png")
    with caplog.at_level(logging.INFO):
        assert upscale(tmp_path / "in", "-o", tmp_path / "out") == 0
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert said == ["left out, because they are empty, or of no kind that is read: b.bmp, e.vob, notes.txt"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["a.png", "c.png"], "nothing hidden"


@pytest.mark.parametrize(
    ("name", "codec", "made"),
    [
        *(("a.webm", "libx264", "a.mkv"), ("a.webm", "libsvtav1", "a.webm"), ("a.m4v", "libx264", "a.m4v")),
        *(
            ("a.ts", "libx265", "a.ts"),
            ("a.ts", "ffv1", "a.mkv"),
            ("a.vob", "auto", "a.mkv"),
        ),
    ],
)
def test_a_name_chosen_by_the_program_goes_with_the_codec(name: str, codec: str, made: str) -> None:
    assert command.choose_output_name(Path(name), codec) == made


def test_names_of_any_length_that_the_disk_holds_can_be_written(tmp_path: Path) -> None:
    long = picture(tmp_path / ("あ" * 83 + ".png"))
    assert upscale(long, "-o", tmp_path / "out") == 0
    film = clip(tmp_path / "film.mkv", pictures(3))
    film.rename(tmp_path / ("b" * 251 + ".mkv"))
    assert upscale(tmp_path / ("b" * 251 + ".mkv"), "-o", tmp_path / "out") == 0
    assert sorted(len(path.name.encode()) for path in (tmp_path / "out").iterdir()) == [253, 255]


def test_a_picture_of_other_settings_is_not_taken_for_finished(tmp_path: Path) -> None:
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale(source, "-o", target, "--scale", "2")
    with pytest.raises(UsageError, match="made with other settings"):
        upscale(source, "-o", target, "--scale", "4", "--resume")
    assert Image.open(target).width == 128
    assert upscale(source, "-o", target, "--scale", "2", "--resume") == 0


def test_a_video_of_other_settings_is_not_taken_for_finished(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "in.mkv", pictures(3)), tmp_path / "out.mkv"
    upscale(source, "-o", target, "--scale", "2")
    with pytest.raises(UsageError, match="made with other settings"):
        upscale(source, "-o", target, "--scale", "3", "--resume")
    with pytest.raises(UsageError, match="made with other settings: codec"):
        upscale(source, "-o", target, "--scale", "2", "--quality", "40", "--resume")  # the same size and codec
    assert upscale(source, "-o", target, "--scale", "2", "--resume") == 0


def test_a_finished_video_that_is_not_known_is_judged_by_its_size_and_codec(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source, target, copy = clip(tmp_path / "in.mkv", pictures(3)), tmp_path / "out.mkv", tmp_path / "copy.mkv"
    upscale(source, "-o", target, "--scale", "2")
    copy.write_bytes(target.read_bytes())
    assert upscale(source, "-o", copy, "--scale", "2", "--resume") == 0
    assert "of the right size and codec, and not made again" in caplog.text
    with pytest.raises(UsageError, match="made with other settings, or of another video"):
        upscale(source, "-o", copy, "--scale", "3", "--resume")


def test_an_interrupted_folder_is_resumed_only_with_its_own_settings(tmp_path: Path) -> None:
    """A damaged picture leaves the command unfinished, so the journal stays."""
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    out = tmp_path / "out"
    assert upscale(tmp_path / "in", "-o", out) != 0
    assert (out / JOURNAL_NAME).exists()
    before = (out / "a.png").stat().st_mtime_ns
    picture(tmp_path / "in/b.png")
    assert upscale(tmp_path / "in", "-o", out, "--resume", "--tile", "32") != 0  # a.png was made without tiles
    assert upscale(tmp_path / "in", "-o", out, "--resume") != 0  # and b.png with them
    (out / "b.png").unlink()
    assert upscale(tmp_path / "in", "-o", out, "--resume") == 0
    assert (out / "a.png").stat().st_mtime_ns == before
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        *((b"\xff\xd8\xff\xe0", "picture"), (b"GIF89a", "picture"), (b"\x1a\x45\xdf\xa3", "video")),
        *((b"\0\0\0\x14ftypqt  ", "video"), (b"\0\0\0\x1cftypavif", "picture"), (b"\0\0\0\x1cftypheic", "picture")),
        *(
            (b"\x47" + bytes(187), ""),
            ((b"\x47" + bytes(187)) * 4, "video"),
            ((b"\0\0\0\0\x47" + bytes(187)) * 4, "video"),
        ),
        *((b"\0\0\x01\xba", "video"), (b"RIFF\0\0\0\0AVI ", "video"), (b"RIFF\0\0\0\0WEBP", "picture"), (b"hello", "")),
    ],
)
def test_kinds_are_told_apart_by_the_first_bytes(tmp_path: Path, head: bytes, kind: str) -> None:
    (tmp_path / "file").write_bytes(head)
    assert kinds.find_kind(tmp_path / "file") == kind
    (tmp_path / "song.m4a").write_bytes(b"\0\0\0\x14ftypM4A ")
    assert kinds.find_kind(tmp_path / "song.m4a") == ""
