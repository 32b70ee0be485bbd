"""TOML from people and from broken disks: a table of values that can be worked with, or ValueError with a sentence."""

from __future__ import annotations

import tomllib
from typing import Any

DEEPEST = 32  # tables and lists within each other; tomllib itself ends in a RecursionError
LARGEST = 1 << 63  # what TOML 1.0 asks for is 64 bits; Python cannot print what has more than 4300 digits


def loads(text: str) -> dict[str, Any]:
    """What `tomllib.loads` gives. Raises ValueError, of which TOMLDecodeError is a kind, and nothing else."""
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables or lists are too deep within each other") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int(), for thousands of digits
        raise ValueError("a number in it is too large") from None
    _check(table)
    return table


def _check(table: dict[str, Any]) -> None:
    """Without recursion: a dotted key is as deep as it is long."""
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
                raise ValueError("a number in it is too large")
        level = inner
    if level:
        raise ValueError("its tables or lists are too deep within each other")
