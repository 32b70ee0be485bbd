"""Engines for HTML5 and WebGL from npm, drawn by headless Chromium at device scale 1 and 4.

The small picture has one pixel of the device for each pixel of CSS, the large one sixteen: the canvas, the text and the
interface are drawn four times as fine. `pages` holds a script for each engine: `start(scene)` builds a scene from its
name, and gives a function that draws it as it is at a frame number.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from live_sr.errors import LiveSRError, MissingPart
from live_sr.pipeline.frame import Size
from live_sr.system import paths
from live_sr.training.pairs.renderers.browser import find_browser, open_tab, serve_folders
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames

PAGES = Path(__file__).with_name("pages")
ART = "@pmndrs/assets@1.7.0"  # CC0: matcaps, normal maps, models
NPM_S = 900


@dataclass(frozen=True)
class WebEngine:
    """packages: of npm, with their versions. worlds: kinds of scenes, each of which has `count` scenes."""

    name: str
    packages: tuple[str, ...]
    worlds: tuple[str, ...]
    count: int

    def list_scenes(self) -> list[str]:
        """Raises MissingPart."""
        find_browser()
        return [f"{world}-{number}" for number in range(1, self.count + 1) for world in self.worlds]

    def draw(self, scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
        """Raises LiveSRError."""
        window = Size(size.width // scale, size.height // scale)
        with serve_folders({"pages": PAGES, "npm": install_packages(self.packages)}) as address, open_tab() as tab:
            tab.show(f"{address}/pages/page.html?{self.name}", window, scale)
            tab.evaluate(f"begin({json.dumps(scene)}, {json.dumps(self.name)})")
            for kept in range(times.most):
                number = times.first + kept * times.every
                tab.evaluate(f"draw({number})")
                yield number, tab.take_picture()


def install_packages(packages: Sequence[str]) -> Path:
    """The folder node_modules that holds them; npm downloads those that are missing. Raises LiveSRError."""
    folder = paths.get_npm_folder()
    if folder is None:
        raise LiveSRError("there is no folder for npm's packages", "set XDG_CACHE_HOME")
    modules = folder / "node_modules"
    missing = [package for package in packages if not _has_package(modules, package)]
    if not missing:
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPart("npm is not installed", "Debian: apt install npm")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", *missing]
    try:
        done = subprocess.run(
            [*command, "--prefix", str(folder)], cwd=folder, capture_output=True, text=True, timeout=NPM_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LiveSRError(f"npm did not download {missing[0]} within {NPM_S} s", "try again") from None
    if done.returncode:
        words = " ".join(done.stderr.split())[-200:]
        raise LiveSRError(f"npm could not install {' '.join(missing)}: {words}", "check its registry: npm ping")
    return modules


def _has_package(modules: Path, package: str) -> bool:
    name, _, version = package.rpartition("@")
    try:
        return bool(json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["version"] == version)
    except (OSError, ValueError, KeyError):
        return False


def _make(
    name: str,
    licence: str,
    use: Literal["train", "test"],
    packages: tuple[str, ...],
    worlds: tuple[str, ...],
    count: int,
) -> GameEngine:
    engine = WebEngine(name, packages, worlds, count)
    return GameEngine(
        name=name,
        licence=licence,
        use=use,
        list_scenes=engine.list_scenes,
        draw=engine.draw,
        times=FrameTimes(first=30, every=75, most=2),
    )


_BABYLON = "9.28.0"
ENGINES = (
    _make(
        "three", "MIT AND CC0-1.0", "train", ("three@0.187.0", ART), ("town", "hills", "hall", "space", "models"), 12
    ),
    _make(
        "babylonjs",
        "Apache-2.0",
        "test",
        tuple(f"{name}@{_BABYLON}" for name in ("babylonjs", "babylonjs-procedural-textures", "babylonjs-gui")),
        ("track", "cave", "garden", "arena"),
        4,
    ),
    _make("pixi", "MIT", "train", ("pixi.js@8.22.0",), ("platform", "shooter", "cards", "farm"), 11),
    _make("phaser", "MIT", "train", ("phaser@4.2.1",), ("dungeon", "puzzle", "runner", "tower"), 10),
)
