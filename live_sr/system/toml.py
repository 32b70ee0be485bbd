"""Reads TOML that people wrote or a disk damaged: returns a table, or raises ValueError with a sentence."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

DEEPEST = 32  # levels of nested tables and lists; tomllib itself raises RecursionError
LARGEST = 1 << 63  # TOML 1.0 requires 64 bits; Python cannot print numbers of more than 4300 digits

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class WrongEncoding(ValueError):
    """The text is not UTF-8; the message is a clause that names the encoding, as far as it is known."""


def read(path: Path) -> dict[str, Any]:
    """Reads the table in a file. Raises OSError if it cannot be read, ValueError if it is not TOML.

    Ignores a byte order mark, which some editors on Windows write.
    """
    data = path.read_bytes()
    if data.startswith(UTF16) or b"\0" in data[:4]:
        raise WrongEncoding("its encoding is UTF-16, and TOML must be UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise WrongEncoding(f"its encoding is not UTF-8 (line {line})") from None
    return parse(text)


def parse(text: str) -> dict[str, Any]:
    """Parses TOML as `tomllib.loads` does. Raises nothing but ValueError, the base class of TOMLDecodeError."""
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables or lists are nested too deep") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int(), for thousands of digits
        raise ValueError("a number in it is too large") from None
    _check(table)
    return table


def _check(table: dict[str, Any]) -> None:
    """Checks depth and numbers. It does not recurse, because a dotted key can be as deep as it is long."""
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
        raise ValueError("its tables or lists are nested too deep")
