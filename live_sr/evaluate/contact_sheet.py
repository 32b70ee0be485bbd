"""The contact sheet: the same part of a frame from every model, side by side, to look at."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

import cv2
import numpy as np

from live_sr.evaluate.crop_selection import CROP, SelectedCrops
from live_sr.evaluate.metrics import BgrImage
from live_sr.evaluate.results import EvaluationRow, describe_group, find_best, format_count, group_rows, list_measured
from live_sr.pipeline.frame import Size

ZOOM = 2  # every pixel of a crop becomes a square of so many
TILE = Size(CROP.width * ZOOM, CROP.height * ZOOM)
TILES_PER_LINE = 6  # tiles in a line, at most
GAP, CAPTION, HEAD = 10, 24, 40  # pixels: around tiles, under a tile, above a group
BACKGROUND, WORDS, BRIGHT = (28, 26, 25), (205, 205, 205), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX

STYLE = """
body{background:#191a1c;color:#ddd;font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1900px;padding:0 1em}
h2{font-size:1.1em;margin:2em 0 .6em}figure{margin:0}figcaption{font-size:.85em;color:#bbb}
.line{display:flex;flex-wrap:wrap;gap:12px}img{width:288px;image-rendering:pixelated;display:block}
table{border-collapse:collapse;margin:.8em 0;font-variant-numeric:tabular-nums}
td,th{padding:.15em .8em;text-align:right}td:first-child,th:first-child{text-align:left}
th{color:#999;font-weight:normal}tr+tr{border-top:1px solid #333}.best{color:#fff;font-weight:600}
"""


def render_png(selected: Sequence[SelectedCrops], rows: Sequence[EvaluationRow]) -> bytes:
    """One picture: for each group of crops a headline, then its tiles with captions."""
    parts = [_draw_group(crops, _select_group(crops, rows)) for crops in selected]
    width = max(part.shape[1] for part in parts)
    sheet = np.full((sum(part.shape[0] for part in parts) + GAP, width, 3), BACKGROUND, np.uint8)
    y = 0
    for part in parts:
        sheet[y : y + part.shape[0], : part.shape[1]] = part
        y += part.shape[0]
    return _encode_png(sheet)


def render_html(selected: Sequence[SelectedCrops], rows: Sequence[EvaluationRow]) -> bytes:
    """One self-contained file with the tables and the crops."""
    body = ["<h1>How the pictures compare</h1>"]
    shown = {crops.group: crops for crops in selected}
    for group in group_rows(rows):
        body += [f"<h2>{escape(describe_group(group))}</h2>", _render_table(group)]
        if group[0].group in shown:
            body.append('<div class="line">')
            for caption, crop in _list_tiles(shown[group[0].group], group):
                data = base64.b64encode(_encode_png(crop)).decode()
                body.append(
                    f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
                    f"<figcaption>{escape(caption)}</figcaption></figure>"
                )
            body.append("</div>")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>live-sr evaluate</title><style>{STYLE}</style>'
    return "\n".join([head, *body, "</html>", ""]).encode()


def _select_group(crops: SelectedCrops, rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    return [row for row in rows if row.group == crops.group]


def _list_tiles(crops: SelectedCrops, group: Sequence[EvaluationRow]) -> Iterator[tuple[str, BgrImage]]:
    """Caption and crop: the input, each model with the PSNR-Y of its set, the reference."""
    if "nearest" not in crops.models:  # which is what the input looks like
        yield "input", crops.small
    for row in group:
        figure = row.scores.get("psnr_y")
        yield row.name + ("" if figure is None else f"  {figure:.2f} dB"), crops.models[row.name]
    yield "reference", crops.target


def _draw_group(crops: SelectedCrops, group: Sequence[EvaluationRow]) -> BgrImage:
    tiles = list(_list_tiles(crops, group))
    down = -(-len(tiles) // TILES_PER_LINE)
    across = -(-len(tiles) // down)  # lines of the same length
    high = TILE.height + CAPTION + GAP
    part = np.full((HEAD + down * high, GAP + across * (TILE.width + GAP), 3), BACKGROUND, np.uint8)
    cv2.putText(part, describe_group(group), (GAP, HEAD - 14), FONT, 0.6, BRIGHT, 1, cv2.LINE_AA)
    for number, (caption, crop) in enumerate(tiles):
        y, x = HEAD + number // across * high, GAP + number % across * (TILE.width + GAP)
        part[y : y + TILE.height, x : x + TILE.width] = cv2.resize(crop, TILE, interpolation=cv2.INTER_NEAREST)
        (wide, _), _ = cv2.getTextSize(caption, FONT, 0.5, 1)
        fitting = 0.5 * min(1.0, TILE.width / max(1, wide))
        cv2.putText(part, caption, (x, y + TILE.height + CAPTION - 7), FONT, fitting, WORDS, 1, cv2.LINE_AA)
    return part


def _render_table(group: Sequence[EvaluationRow]) -> str:
    metrics = list_measured(group)
    heads = ["", *(metric.name for metric in metrics), "ms", "parameters", "MAC/pixel"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = []
    for row in group:
        cells = [f"<td>{escape(row.name)}</td>"]
        for metric in metrics:
            figure = row.scores.get(metric.name)
            mark = ' class="best"' if figure is not None and figure == find_best(metric, group) else ""
            cells.append(f"<td{mark}>{'-' if figure is None else f'{figure:.{metric.digits}f}'}</td>")
        cells += [
            f"<td>{words}</td>"
            for words in (f"{row.ms:.2f}", format_count(row.parameters), format_count(row.macs_per_pixel))
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _encode_png(picture: BgrImage) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture))
    return bytes(data.tobytes())
