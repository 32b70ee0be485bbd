"""The contact sheet: the same part of a frame from every model, side by side, to look at instead of reading."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

import cv2
import numpy as np

from live_sr.frame import Size
from live_sr.quality.metrics import Picture
from live_sr.quality.rows import Row, best, count, groups, measured, title
from live_sr.quality.showcase import CROP, Exhibit

ZOOM = 2  # of the crops; every pixel is a square of so many
TILE = Size(CROP.width * ZOOM, CROP.height * ZOOM)
ACROSS = 6  # tiles in a line, at most
GAP, CAPTION, HEAD = 10, 24, 40  # pixels: about tiles, under a tile, above an exhibit
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


def png(exhibits: Sequence[Exhibit], rows: Sequence[Row]) -> bytes:
    """One picture: for each exhibit a headline, then its tiles with captions."""
    parts = [_drawn(exhibit, _group(exhibit, rows)) for exhibit in exhibits]
    width = max(part.shape[1] for part in parts)
    sheet = np.full((sum(part.shape[0] for part in parts) + GAP, width, 3), BACKGROUND, np.uint8)
    y = 0
    for part in parts:
        sheet[y : y + part.shape[0], : part.shape[1]] = part
        y += part.shape[0]
    return _encoded(sheet)


def html(exhibits: Sequence[Exhibit], rows: Sequence[Row]) -> bytes:
    """One file that needs no other: the tables and the crops."""
    body = ["<h1>How the pictures compare</h1>"]
    shown = {exhibit.group: exhibit for exhibit in exhibits}
    for group in groups(rows):
        body += [f"<h2>{escape(title(group))}</h2>", _table(group)]
        if group[0].group in shown:
            body.append('<div class="line">')
            for caption, crop in _tiles(shown[group[0].group], group):
                data = base64.b64encode(_encoded(crop)).decode()
                body.append(
                    f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
                    f"<figcaption>{escape(caption)}</figcaption></figure>"
                )
            body.append("</div>")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>live-sr evaluate</title><style>{STYLE}</style>'
    return "\n".join([head, *body, "</html>", ""]).encode()


def _group(exhibit: Exhibit, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.group == exhibit.group]


def _tiles(exhibit: Exhibit, group: Sequence[Row]) -> Iterator[tuple[str, Picture]]:
    """Caption and crop: the input, each model with the PSNR-Y of its set, the reference."""
    if "nearest" not in exhibit.models:  # which is what the input looks like
        yield "input", exhibit.small
    for row in group:
        figure = row.scores.get("psnr_y")
        yield row.name + ("" if figure is None else f"  {figure:.2f} dB"), exhibit.models[row.name]
    yield "reference", exhibit.target


def _drawn(exhibit: Exhibit, group: Sequence[Row]) -> Picture:
    tiles = list(_tiles(exhibit, group))
    down = -(-len(tiles) // ACROSS)
    across = -(-len(tiles) // down)  # lines of the same length
    high = TILE.height + CAPTION + GAP
    part = np.full((HEAD + down * high, GAP + across * (TILE.width + GAP), 3), BACKGROUND, np.uint8)
    cv2.putText(part, title(group), (GAP, HEAD - 14), FONT, 0.6, BRIGHT, 1, cv2.LINE_AA)
    for number, (caption, crop) in enumerate(tiles):
        y, x = HEAD + number // across * high, GAP + number % across * (TILE.width + GAP)
        part[y : y + TILE.height, x : x + TILE.width] = cv2.resize(crop, TILE, interpolation=cv2.INTER_NEAREST)
        (wide, _), _ = cv2.getTextSize(caption, FONT, 0.5, 1)
        fitting = 0.5 * min(1.0, TILE.width / max(1, wide))
        cv2.putText(part, caption, (x, y + TILE.height + CAPTION - 7), FONT, fitting, WORDS, 1, cv2.LINE_AA)
    return part


def _table(group: Sequence[Row]) -> str:
    metrics = measured(group)
    heads = ["", *(metric.name for metric in metrics), "ms", "parameters", "MAC/pixel"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = []
    for row in group:
        cells = [f"<td>{escape(row.name)}</td>"]
        for metric in metrics:
            figure = row.scores.get(metric.name)
            mark = ' class="best"' if figure is not None and figure == best(metric, group) else ""
            cells.append(f"<td{mark}>{'-' if figure is None else f'{figure:.{metric.digits}f}'}</td>")
        cells += [f"<td>{words}</td>" for words in (f"{row.ms:.2f}", count(row.parameters), count(row.macs_per_pixel))]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _encoded(picture: Picture) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture))
    return bytes(data.tobytes())
