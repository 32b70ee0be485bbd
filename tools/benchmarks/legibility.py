"""Whether text stays legible: user-interface text at 480x270, upscaled by each model and read by tesseract.

    python -m tools.benchmarks.legibility --models lanczos,bicubic,fast --scale 2 --json legible.json

Paints sheets of known text, 8 to 16 pixels high, in several fonts, light on dark and dark on light, over flat and over
textured panels; upscales them; reads every line by itself. The score is character accuracy: 1 minus the edit distance
to the true text over its length; the last column compares with the first model, with the standard error of the
difference. "drawn large" is the same sheet painted at the large size, the most there is to reach.
Needs tesseract with English (Debian: tesseract-ocr); fonts-dejavu, fonts-open-sans and fonts-cantarell are drawn with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PyQt6.QtCore import QPointF, QRectF
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QFontMetricsF, QGuiApplication, QImage, QPainter

from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

SHEET = Size(480, 270)
OFFSCREEN = ("-platform", "offscreen")  # for Qt: there need be no screen
FONTS = ("DejaVu Sans", "Open Sans", "Cantarell", "DejaVu Serif", "DejaVu Sans Mono")
HEIGHTS = tuple(range(8, 17))  # one line of each, in pixels
PITCH, LEFT = 29, 10  # pixels from line to line and from the left edge
BANDS = {"all": (8, 16), "8-10 px": (8, 10), "11-13 px": (11, 13), "14-16 px": (14, 16)}
DRAWN = "drawn large"
PHRASES = (
    "Press any button to return safely Choose another weapon before leaving camp Wolves attacked our village twice "
    "Merchant sells arrows cheaply Damage reduced by fire Critical strike chance Stamina recovers slowly while walking "
    "Quick travel unlocked Graphics quality shadows texture filtering Brightness Subtitles Difficulty Checkpoint "
    "reached Objective updated Ask the blacksmith about his missing brother Equipment durability Unknown artifact "
    "Queen Xavier juggles frozen zinc Experience gained Reputation lost Speed Weight Price Repair Upgrade Discard"
)
WORDS = PHRASES.split()


@dataclass(frozen=True)
class SheetLine:
    """One line of a sheet: what it says, the height of its font and where it is, in pixels of the small sheet."""

    said: str
    height: int
    top: float


@dataclass(frozen=True)
class TextSheet:
    """How one sheet is painted. `ink` and `paper` are grey levels with a tint; textured paper varies around it."""

    font: str
    hinted: bool
    smooth: bool
    ink: tuple[int, int, int]
    paper: tuple[int, int, int]
    grain: float
    lines: tuple[SheetLine, ...]

    @property
    def light_on_dark(self) -> bool:
        return sum(self.ink) > sum(self.paper)

    def face(self, height: int) -> QFont:
        face = QFont(self.font)
        face.setPixelSize(height)
        hinting = QFont.HintingPreference
        face.setHintingPreference(hinting.PreferFullHinting if self.hinted else hinting.PreferNoHinting)
        strategy = QFont.StyleStrategy
        face.setStyleStrategy(strategy.NoSubpixelAntialias if self.smooth else strategy.NoAntialias)
        return face


def design_sheet(number: int, random: np.random.Generator) -> TextSheet:
    """Fonts, light and dark, flat and textured take turns, so that a few sheets hold them all."""
    light, textured = bool(number % 2), bool(number // 2 % 2)
    dark_tone, light_tone = random.integers(0, 70, 3), random.integers(190, 256, 3)
    ink, paper = (light_tone, dark_tone) if light else (dark_tone, light_tone)
    lines = []
    for row, height in enumerate(HEIGHTS):
        said, room = "", (SHEET.width - 2 * LEFT) / (0.62 * height)  # the widest of the fonts stays inside
        while len(said) < min(room, 46) - 12:
            word = str(random.choice(WORDS)) if random.random() < 0.85 else str(random.integers(2, 5000))
            said = f"{said} {word}".strip()
        lines.append(SheetLine(said, height, 4 + row * PITCH))
    return TextSheet(
        font=FONTS[number % len(FONTS)],
        hinted=bool(number // 4 % 2),
        smooth=number % 7 != 6,  # most games smooth their letters
        ink=(int(ink[0]), int(ink[1]), int(ink[2])),
        paper=(int(paper[0]), int(paper[1]), int(paper[2])),
        grain=float(random.uniform(6, 16)) if textured else 0.0,
        lines=tuple(lines),
    )


def paint_paper(sheet: TextSheet, seed: int) -> QImage:
    """The panel under the text: flat, or a texture of one texel for each pixel of the small sheet."""
    random = np.random.default_rng(seed)
    coarse = cv2.resize(random.normal(0, 1, (18, 32)).astype(np.float32), SHEET, interpolation=cv2.INTER_CUBIC)
    waves = coarse + random.normal(0, 0.6, (SHEET.height, SHEET.width))
    rgb = np.clip(np.array(sheet.paper) + sheet.grain * waves[..., None], 0, 255).astype(np.uint8)
    return QImage(rgb.tobytes(), *SHEET, 3 * SHEET.width, QImage.Format.Format_RGB888).copy()


def paint_sheet(sheet: TextSheet, seed: int, times: int = 1) -> Pixels:
    """The sheet as a game draws it in a window `times` as large."""
    size = SHEET.times(times)
    canvas = QImage(*size, QImage.Format.Format_RGB32)
    painter = QPainter(canvas)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(QRectF(0, 0, *size), paint_paper(sheet, seed))
    painter.setPen(QColor(*sheet.ink))
    for line in sheet.lines:
        face = sheet.face(line.height * times)
        painter.setFont(face)
        baseline = (line.top + (PITCH - line.height) / 2) * times + QFontMetricsF(face).capHeight()
        painter.drawText(QPointF(LEFT * times, round(baseline)), line.said)
    painter.end()
    bits = canvas.constBits()
    assert bits is not None
    pixels = np.frombuffer(bits.asstring(canvas.sizeInBytes()), np.uint8).reshape(size.height, size.width, 4)
    return pixels.copy()


def cut_lines(sheet: TextSheet, picture: Pixels) -> Iterator[np.ndarray]:
    """Each line cut out of a picture of the sheet, grey and dark on light as tesseract likes it."""
    times = get_size(picture).height / SHEET.height
    grey = cv2.cvtColor(picture, cv2.COLOR_BGRA2GRAY)
    for line in sheet.lines:
        width = LEFT + QFontMetricsF(sheet.face(line.height)).horizontalAdvance(line.said) + LEFT
        right = round(min(width, SHEET.width) * times)  # of much empty texture tesseract makes letters
        top, bottom = round(line.top * times), round(min(line.top + PITCH, SHEET.height) * times)
        strip = grey[top:bottom, :right]
        yield 255 - strip if sheet.light_on_dark else strip


def read_text(pictures: list[np.ndarray]) -> list[str]:
    """What tesseract reads, one line of text for each picture."""
    program = shutil.which("tesseract")
    if program is None:
        raise SystemExit("read_text: tesseract is not installed (Debian: apt install tesseract-ocr)")
    with tempfile.TemporaryDirectory(prefix="read-text-") as folder:
        paths = [Path(folder, f"{number:04}.png") for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            cv2.imwrite(str(path), picture)
        listing = Path(folder, "pages.txt")
        listing.write_text("\n".join(map(str, paths)))
        done = subprocess.run(
            [program, str(listing), "stdout", "--psm", "7", "-l", "eng", "-c", "page_separator=\f"],
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},  # its threads slow it down on small pictures
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"read_text: tesseract failed: {done.stderr.strip()[-300:]}")
    return [" ".join(page.split()) for page in done.stdout.split("\f")][: len(paths)]


def compute_edit_distance(a: str, b: str) -> int:
    """Edit distance (Levenshtein): letters to insert, remove or exchange until one text is the other."""
    above = list(range(len(b) + 1))
    for row, letter in enumerate(a, 1):
        here = [row]
        for column, other in enumerate(b, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != other)))
        above = here
    return above[-1]


def count_wrong_characters(said: Iterable[str], seen: Iterable[str]) -> np.ndarray:
    """Characters read wrong of each line; a line can be no worse than wholly wrong."""
    return np.array([min(compute_edit_distance(a, b), len(a)) for a, b in zip(said, seen, strict=True)])


def compute_accuracy(said: list[str], seen: list[str]) -> float:
    """Character accuracy over all lines together, 0 to 1."""
    return 1 - float(count_wrong_characters(said, seen).sum()) / max(1, sum(map(len, said)))


def compute_advantage(said: list[str], seen: list[str], other: list[str]) -> tuple[float, float]:
    """How much more accurately `seen` was read than `other`, and the standard error of that over the lines.

    Tesseract reads most lines wholly right and now and then one wholly wrong, so small differences mean nothing.
    """
    better = count_wrong_characters(said, other) - count_wrong_characters(said, seen)
    letters = max(1, sum(map(len, said)))
    return float(better.sum()) / letters, float(better.std() * len(said) ** 0.5) / letters


def upscale_sheets(model: str, scale: int, sheets: list[Pixels]) -> list[Pixels]:
    """The sheets upscaled by a model or filter."""
    engine = factory.make_engine(resolve(model), scale, EngineOptions())
    try:
        engine.warm_up(SHEET)
        pictures: list[Pixels] = []
        for number, sheet in enumerate(sheets):
            for _ in range(4):  # an engine with frames in flight answers later
                done = engine.upscale(Frame(sheet, number=number))
                if done is not None and done.number == number:
                    pictures.append(done.pixels.copy())
                    break
            else:
                raise SystemExit(f"read_text: {model} gave no picture back for a frame")
        return pictures
    finally:
        engine.close()


def read_sheets(sheets: list[TextSheet], pictures: list[Pixels]) -> list[str]:
    return read_text(
        [strip for sheet, picture in zip(sheets, pictures, strict=True) for strip in cut_lines(sheet, picture)]
    )


def score_bands(lines: list[SheetLine], seen: list[str]) -> dict[str, float]:
    """Accuracy of each band of letter heights."""
    scores = {}
    for band, (low, high) in BANDS.items():
        chosen = [i for i, line in enumerate(lines) if low <= line.height <= high]
        scores[band] = compute_accuracy([lines[i].said for i in chosen], [seen[i] for i in chosen])
    return scores


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--models", default="lanczos,nearest,bilinear,bicubic,fsr,fast", help="models, filters, files")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--sheets", type=int, default=40, help=f"of {len(HEIGHTS)} lines each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the scores there")
    parser.add_argument("--pictures", type=Path, help="write the first sheet of every model into this folder")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    application = QGuiApplication(["read_text", *OFFSCREEN])  # kept until the end: without it Qt has no fonts
    missing = set(FONTS) - set(QFontDatabase.families())
    if missing:
        raise SystemExit(f"read_text: these fonts are not installed: {', '.join(sorted(missing))}")
    sheets = [design_sheet(number, np.random.default_rng((args.seed, number))) for number in range(args.sheets)]
    lines = [line for sheet in sheets for line in sheet.lines]
    said = [line.said for line in lines]
    small = [paint_sheet(sheet, number) for number, sheet in enumerate(sheets)]
    first, *others = args.models.split(",")
    print(f"{sum(map(len, said))} characters in {len(lines)} lines; accuracy in per cent")
    print(f"{f'x{args.scale}':28}" + "".join(f"{band:>10}" for band in BANDS) + f"   all, against {first}")
    rows: list[dict[str, object]] = []
    base: list[str] = []
    for model in [first, *others, DRAWN]:
        if model == DRAWN:
            pictures = [paint_sheet(sheet, number, args.scale) for number, sheet in enumerate(sheets)]
        else:
            pictures = upscale_sheets(model, args.scale, small)
        if args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(args.pictures / f"{Path(model).stem}.png"), pictures[0][..., :3])
        seen = read_sheets(sheets, pictures)
        base = base or seen
        scores, (gain, error) = score_bands(lines, seen), compute_advantage(said, seen, base)
        rows.append({"name": model, "scale": args.scale, "accuracy": scores, "gain": gain, "standard_error": error})
        table = "".join(f"{100 * value:10.2f}" for value in scores.values())
        print(f"{model:28}{table}   {100 * gain:+.2f} ± {100 * error:.2f}", flush=True)
    if args.json:
        about = {"schema": 1, "lines": len(lines), "characters": sum(map(len, said)), "against": first}
        args.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    application.quit()


if __name__ == "__main__":
    try:
        main()
    except LiveSRError as error:
        raise SystemExit(f"read_text: {error.message}; {error.remedy}") from None
