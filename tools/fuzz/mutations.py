"""Valid files made invalid, as a bad disk, a broken download, an ill-wisher or a typing error would make them."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]

LARGEST = 1 << 20  # bytes of what comes out: what grows with its file is no finding
NUMBERS = (
    *(b"0 -0 1 -1 2 3 7 127 128 255 256 4096 65535 65536 100000 2147483647 2147483648 -2147483648".split()),
    *(b"4294967295 9223372036854775807 9223372036854775808 -9223372036854775809 18446744073709551616".split()),
    *(b"1e3 1e400 -1e400 1e-400 0.5 nan inf -inf 0x7fffffff 0b1 0o7 true false 1979-05-27T07:32:00Z".split()),
    *(b"9" * 5000, b"0x" + b"f" * 5000, b"1_000", b"00", b"1.", b".5", b'"text"', b"[]", b"{}", b"null", b""),
)
WORDS = (
    *(word.encode() for word in ("ж", "𝕏", "\u202e", "\x00", "\ufeff", "\u2028", "e\u0301" * 50, "\U0010ffff", "\x7f")),
    *(b"\\ud800 \\uD800\\uDC00 \\U00110000 \\x00 ../x /dev/zero %s %n {0} * ? . .. (((((( [a-z a{99999} (?P<".split()),
    *(
        b"'''",
        b'"""',
        b"\\",
        b"\r",
        b"\n\n",
        b"\t",
        b"#",
        b"=",
        b".",
        b",",
        b'"',
        b"]]",
        b"\xff\xfe",
        b"\xc3",
        b"\xed\xa0\x80",
    ),
    *(b"a" * 5000, b"[" * 5000, b"{a=" * 3000, b"a." * 3000, b"(" * 2000, b"[[[[[", b"\x00" * 100),
)
WHOLE_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    1 << 63,
    (1 << 64) - 1,
)


def mutate(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """The file with a few things changed, at most LARGEST bytes of it; `others` is what pieces may be taken from.

    A zip archive (.pth) and safetensors are mostly changed inside, so that their outermost check is passed.
    """
    for inside in (_mutate_in_zip, _mutate_safetensors_header):
        if random.random() < 0.7:
            changed = inside(data, random, others)
            if changed is not None:
                return changed[:LARGEST]
    return _apply_mutations(data, random, others)


def _apply_mutations(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    ways = TEXT_MUTATIONS * 2 + BINARY_MUTATIONS if _is_text(data) else BINARY_MUTATIONS
    for _ in range(random.choice((1, 1, 1, 2, 4, 12))):
        data = random.choice(ways)(data, random, others)[:LARGEST]
    return data


def _is_text(data: bytes) -> bool:
    return b"\x00" not in data[:4096] and sum(byte < 9 or byte > 126 for byte in data[:4096]) < 40


# Inside of containers


def _mutate_in_zip(data: bytes, random: Random, others: Sequence[bytes]) -> bytes | None:
    """A member changed and everything packed again, with right checksums. None: it is no archive."""
    if not data.startswith(b"PK\x03\x04"):
        return None
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            names = old.namelist()
            pickles = [name for name in names if name.endswith(".pkl")]
            chosen = random.choice(pickles if pickles and random.random() < 0.8 else names)
            for name in names:
                member = old.read(name)
                if name != chosen:
                    new.writestr(name, member)
                elif random.random() < 0.95:
                    new.writestr(name, _apply_mutations(member, random, others))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    return out.getvalue()


def _mutate_safetensors_header(data: bytes, random: Random, others: Sequence[bytes]) -> bytes | None:
    """The JSON of a safetensors file changed, and its length told right. None: it is none."""
    length = int.from_bytes(data[:8], "little")
    head = data[8 : 8 + length]
    if not head.startswith(b"{") or len(head) < length:
        return None
    head = _change_json_value(head, random) if random.random() < 0.3 else _apply_mutations(head, random, others)
    return struct.pack("<Q", len(head)) + head + data[8 + length :]


def _change_json_value(head: bytes, random: Random) -> bytes:
    """The header still valid JSON, one of its values another."""
    try:
        table = json.loads(head)
    except ValueError:
        return head
    name = random.choice(list(table))
    entry = table[name]
    if isinstance(entry, dict) and entry:
        key = random.choice(list(entry))
        entry[key] = random.choice((0, -1, 1, 1 << 31, 1 << 62, [], [1 << 20] * 4, [0, 0], "F64", "0", "99999", None))
    return json.dumps(table).encode()


# Bytes


def _choose_position(data: bytes, random: Random) -> int:
    """A place, half of the time near an end: that is where files say what they are."""
    near = min(len(data), 512)
    pick = random.random()
    if pick < 0.4:
        return random.randint(0, near)
    return random.randint(len(data) - near, len(data)) if pick < 0.5 else random.randint(0, len(data))


def _choose_span(data: bytes, random: Random) -> tuple[int, int]:
    start = _choose_position(data, random)
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


def flip_bit(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    at = _choose_position(data, random)
    return data[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def truncate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return data[: _choose_position(data, random)]


def remove_span(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, end = _choose_span(data, random)
    return data[:start] + data[end:]


def repeat_span(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, end = _choose_span(data, random)
    return data[:end] + data[start:end] * random.choice((1, 2, 50)) + data[end:]


def insert_noise(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    at = _choose_position(data, random)
    return data[:at] + random.randbytes(random.choice((1, 2, 4, 16))) + data[at:]


def write_number(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A whole number of 1, 2, 4 or 8 bytes, in either order."""
    at, length = _choose_position(data, random), random.choice((1, 2, 4, 8))
    value = random.choice(WHOLE_NUMBERS) & (1 << 8 * length) - 1
    return data[:at] + value.to_bytes(length, random.choice(("little", "big"))) + data[at + length :]


def splice(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Its beginning and another's end."""
    other = random.choice(others) if others else data
    return data[: _choose_position(data, random)] + other[_choose_position(other, random) :]


def swap_spans(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_choose_span(data, random), _choose_span(data, random)))
    return data if b > c else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


# Text


def _make_replacement(pattern: bytes, values: Sequence[bytes]) -> Mutation:
    """One of what the pattern finds becomes one of the values."""

    def way(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        found = [match.span() for match in re.finditer(pattern, data)]
        if not found:
            return data
        start, end = random.choice(found)
        return data[:start] + random.choice(values) + data[end:]

    return way


def change_line(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A line gone, twice there, or in another's place."""
    rows = data.split(b"\n")
    at, to = random.randrange(len(rows)), random.randrange(len(rows))
    row = rows[at]
    rows[at : at + 1] = random.choice(([], [row, row], [rows[to]]))
    return b"\n".join(rows)


def insert_word(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    at = _choose_position(data, random)
    return data[:at] + random.choice(WORDS) + data[at:]


BINARY_MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    flip_bit,
    write_number,
    write_number,
    truncate,
    remove_span,
    repeat_span,
    insert_noise,
    splice,
    swap_spans,
)
TEXT_MUTATIONS: tuple[Mutation, ...] = (
    _make_replacement(rb"-?\d+(\.\d+)?", NUMBERS),
    _make_replacement(rb"-?\d+(\.\d+)?", NUMBERS),
    _make_replacement(rb'"[^"\n]*"', [b'"' + word + b'"' for word in WORDS] + list(NUMBERS)),
    _make_replacement(rb"[A-Za-z_]+", WORDS),
    _make_replacement(rb"=\s*[^\n]*", [b"= " + value for value in (*NUMBERS, *WORDS)]),
    change_line,
    insert_word,
)
