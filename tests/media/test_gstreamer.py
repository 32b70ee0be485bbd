"""The GStreamer element, run as a user does: installed by live-sr, used by GStreamer's own programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gstreamer_install import Gst
from video_clips import clip, pictures

from live_sr import cli
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

FRAMES, SIZE = 12, Size(96, 64)


def read_frames(file: Path, size: Size) -> list[Pixels]:
    """Of raw video, with the fourth byte as live-sr has it."""
    frames = np.fromfile(file, np.uint8).reshape(-1, size.height, size.width, 4)
    frames[..., 3] = 255
    return list(frames)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "clip.avi", pictures(FRAMES, SIZE), codec="mjpeg", pixels="yuvj420p")


@pytest.mark.parametrize(("model", "scale", "engine"), [("bicubic", 3, "auto"), ("fast", 2, "openvino")])
def test_a_video_is_enlarged_as_live_sr_enlarges_its_frames(
    gst: Gst, video: Path, tmp_path: Path, model: str, scale: int, engine: str
) -> None:
    decode = f"filesrc location={video} ! decodebin ! videoconvert ! video/x-raw,format=BGRx"
    gst.launch(f"{decode} ! filesink location={tmp_path / 'small'}")
    gst.launch(
        f"filesrc location={video} ! decodebin ! videoconvert ! "
        f"livesrupscale model={model} scale={scale} engine={engine} ! filesink location={tmp_path / 'large'}"
    )
    small, large = read_frames(tmp_path / "small", SIZE), read_frames(tmp_path / "large", SIZE.times(scale))
    assert len(small) == len(large) == FRAMES
    ours = factory.make_engine(resolve(model), scale, EngineOptions(engine))
    ours.warm_up(SIZE)
    for before, after in zip(small, large, strict=True):
        want = ours.upscale(Frame(before), make_black(SIZE.times(scale)))
        assert want is not None
        assert np.abs(want.pixels.astype(np.int16) - after).max() <= (0 if model == "bicubic" else 2)
    ours.close()


@pytest.mark.parametrize(
    "sides",
    [
        "video/x-raw,width=40,height=30 ! livesrupscale model=bicubic scale=4 ! video/x-raw,width=160,height=120",
        "videoscale ! livesrupscale model=bicubic scale=4 ! video/x-raw,width=160,height=[100,123]",  # from the end
        "video/x-raw,width=41,height=29 ! livesrupscale model=bicubic ! video/x-raw,width=82,height=58",  # by default
    ],
)
def test_the_sizes_of_both_sides_fit_together(gst: Gst, sides: str) -> None:
    gst.launch(f"videotestsrc num-buffers=2 ! {sides} ! fakesink")


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ("model=fats", 'there is no model called "fats". Did you mean "fast"?'),
        ("model=fast scale=3", "there is no x3 of fast"),
        ("engine=opnvino", 'there is no engine called "opnvino". Did you mean "openvino"?'),
    ],
)
def test_what_is_wrong_is_an_error_of_the_pipeline_in_one_sentence(gst: Gst, properties: str, sentence: str) -> None:
    said = gst.fail(f"videotestsrc num-buffers=1 ! livesrupscale {properties} ! fakesink")
    assert sentence in said
    assert "Traceback" not in said


def test_a_live_pipeline_waits_for_the_time_that_a_frame_takes(gst: Gst) -> None:
    """Asked by GStreamer's own Python, since the sinks' question is not seen from outside."""
    program = """
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
def ask(element):
    source = "videotestsrc is-live=true ! video/x-raw,width=320,height=240"
    line = Gst.parse_launch(f"{source} {element} ! fakesink sync=true")
    line.set_state(Gst.State.PLAYING)
    done = line.get_state(60 * Gst.SECOND)[0]
    query = Gst.Query.new_latency()
    found = line.query(query)
    line.set_state(Gst.State.NULL)
    assert found and done == Gst.StateChangeReturn.SUCCESS, (found, done)
    return query.parse_latency()
plain, ours = ask(""), ask("! videoconvert ! livesrupscale model=bicubic scale=2")
print(ours[0], ours[1] - plain[1])
"""
    live, added = gst.run(gst.python, "-c", program).split()
    assert live == "True"
    assert 0 < int(added) < 60_000_000_000


def test_removed_it_is_gone(gst: Gst, tmp_path: Path) -> None:
    other = gst.copy(tmp_path / "home")
    other.run("gst-inspect-1.0", "livesrupscale")
    assert not other.live_sr("gstreamer", "remove").returncode
    assert other.try_run("gst-inspect-1.0", "livesrupscale").returncode
    done = other.live_sr("gstreamer", "remove")
    assert not done.returncode and "was not installed" in done.stdout


# Without GStreamer


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program in the place of gst-inspect-1.0; returns where the element's file belongs."""

    def write(script: str) -> Path:
        program = tmp_path / "bin" / "gst-inspect-1.0"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport sys\nname, uses = sys.argv[1], 'and GStreamer uses'\n{script}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        return file

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    file = tmp_path / ".gstreamer-1.0" / "plugins" / "python" / "livesrupscale.py"
    return write


def test_without_gstreamer_the_packages_are_named(
    pretend: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["gstreamer", "install"]) == 8
    assert "python3-gst-1.0" in capsys.readouterr().err
    file = pretend("sys.exit(name == 'python')")
    assert cli.main(["gstreamer", "install"]) == 8
    said = capsys.readouterr().err
    assert "written in Python" in said and "gstreamer1.0-python3-plugin-loader" in said
    assert not file.exists()


def test_another_python_is_named_and_no_file_is_left(
    pretend: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = pretend("""
if name == "livesrupscale":
    sys.exit("Traceback (most recent call last):\\nImportError: live-sr is installed in Python 3.13, " + uses)
""")
    assert cli.main(["gstreamer", "install"]) == 8
    said = capsys.readouterr().err
    assert "live-sr is installed in Python 3.13" in said and "/usr/bin/python3 -m venv" in said
    assert "Traceback" not in said
    assert not file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("of an installation that works")
    assert cli.main(["gstreamer", "install"]) == 8
    assert file.read_text() == "of an installation that works"


def test_an_active_virtual_environment_is_kept_from_gstreamer(
    pretend: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python in GStreamer would take it for its own, and find no `gi` in it."""
    pretend("import os\nsys.exit('mine' in os.environ['PATH'])")
    outside = os.environ["PATH"]
    assert cli.main(["gstreamer", "install"]) == 0
    assert "deactivate" not in capsys.readouterr().out
    (tmp_path / "mine" / "bin").mkdir(parents=True)
    (tmp_path / "mine" / "pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path / "mine" / "bin"), outside)))
    assert cli.main(["gstreamer", "install"]) == 0
    assert "deactivate" in capsys.readouterr().out


def test_the_file_refuses_another_python_and_finds_this_installation(pretend: Callable[[str], Path]) -> None:
    file = pretend("sys.exit(0)")
    assert cli.main(["gstreamer", "install"]) == 0
    program = file.read_text()
    compile(program, str(file), "exec")
    other = program.replace(str(sys.version_info[:2]), "(3, 1)")
    assert other != program
    done = subprocess.run([sys.executable, "-S", "-c", other], capture_output=True, text=True)
    assert done.returncode and "and GStreamer uses" in done.stderr
    # everything but the element, which needs GStreamer: a bare Python finds live-sr and what it needs
    found = program.partition("from live_sr")[0] + "\nimport live_sr.engines, numpy, openvino\nprint(live_sr.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    bare = Path(sys.executable).resolve()  # outside of the virtual environment
    done = subprocess.run([bare, "-I", "-c", found], capture_output=True, text=True, env=environment, cwd="/")
    assert done.stdout.strip() == cli.__file__.replace("cli/__init__", "__init__"), done.stderr
    assert cli.main(["gstreamer", "remove"]) == 0
    assert not file.exists()
