"""Text as rows of coloured spans, and how it is laid out in columns of a monospace font. No Qt here."""

from __future__ import annotations

import textwrap
from enum import Enum
from typing import NamedTuple

GAP = "   "  # between two groups in a row


class Tone(Enum):
    """The meaning of a piece of text, and its colour."""

    PLAIN = "#e8ebf0"
    DIM = "#aab3c0"
    GOOD = "#7ee08a"
    FAIR = "#f5d067"
    POOR = "#ff8578"
    NEWS = "#8cc8ff"


class Span(NamedTuple):
    text: str
    tone: Tone = Tone.PLAIN


TextRow = tuple[Span, ...]


def flow(groups: list[TextRow], columns: int) -> list[TextRow]:
    """Groups side by side, as many in a row as fit into the columns. Only a group wider than a row is broken."""
    out: list[TextRow] = []
    for group in filter(None, groups):
        if out and measure_row(join_groups([out[-1], group])) <= columns:
            out[-1] = join_groups([out[-1], group])
        elif measure_row(group) <= columns:
            out.append(group)
        else:
            out += wrap_texts([(" ".join(span.text.strip(" ·").split()), span.tone) for span in group], columns)
    return out


def join_groups(groups: list[TextRow]) -> TextRow:
    """Groups in one row."""
    first, *others = filter(None, groups)
    return (*first, *(span for group in others for span in (Span(GAP), *group)))


def measure_row(row: TextRow) -> int:
    return sum(len(span.text) for span in row)


def wrap_texts(said: list[tuple[str, Tone]], columns: int) -> list[TextRow]:
    """Texts as rows of at most so many characters; the second row of a text is indented."""
    return [(Span(part, tone),) for text, tone in said for part in textwrap.wrap(text, columns, subsequent_indent="  ")]
