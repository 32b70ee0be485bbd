"""Keeps what later segments of a video depend on, for networks that enlarge frames with the help of others.

    .film.mkv.live-sr/000007.state   what the frames after segment 7 depend on

It is written before segment 7 is finished, and deleted when segment 8 is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from live_sr.upscale.video.segment_file import make_write_error
from live_sr.upscale.video.segments import Segment

DIGEST_BYTES = hashlib.sha256().digest_size


class SequenceStates:
    """The states beside the files of the segments, which `get_path` names."""

    def __init__(self, get_path: Callable[[Segment], Path]) -> None:
        self._get_path = get_path

    def save(self, segment: Segment, state: bytes) -> None:
        """Keeps the state after that segment. Raises LiveSRError for a full disk."""
        path = self._get_state_path(segment, segment.number)
        part = path.with_suffix(".state.part")
        try:
            part.write_bytes(state + hashlib.sha256(state).digest())
            part.replace(path)
        except OSError as error:
            raise make_write_error(path, error) from None

    def read_before(self, segment: Segment) -> bytes | None:
        """The state with which that segment begins. None: there is none, or it is damaged."""
        with suppress(OSError):
            kept = self._get_state_path(segment, segment.number - 1).read_bytes()
            state, digest = kept[:-DIGEST_BYTES], kept[-DIGEST_BYTES:]
            if hashlib.sha256(state).digest() == digest:
                return state
        return None

    def delete_before(self, segment: Segment) -> None:
        """Deletes the state with which that segment began."""
        with suppress(OSError):
            self._get_state_path(segment, segment.number - 1).unlink(missing_ok=True)

    def _get_state_path(self, segment: Segment, number: int) -> Path:
        return self._get_path(segment).with_name(f"{number:06}.state")


def choose_first(segments: Sequence[Segment], missing: Sequence[Segment], states: SequenceStates) -> Sequence[Segment]:
    """The segments that must be made so that those that are missing can be: all from the first of these on.

    Without the state that it begins with, all.
    """
    if not missing:
        return missing
    at = segments.index(missing[0])
    return segments[at:] if not at or states.read_before(missing[0]) is not None else segments
