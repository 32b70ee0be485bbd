"""Corrects the clocks of MPEG streams, which may jump back, jump ahead or begin anew, where recordings were joined.

The times are continued as FFmpeg's own program does: where a stream's decode time goes back, or jumps by more than ten
seconds, everything from that place in the file on is moved, so that the stream goes on without a gap. A correction
belongs to a place in the file and not to the packets read before, so it is the same wherever reading begins.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

AnyStream = TypeVar("AnyStream", bound=Stream)
TS_DISCONT = 0x0200  # FFmpeg's flag AVFMT_TS_DISCONT of formats whose clocks may jump
MICROSECONDS = 1_000_000
GAP = 10 * MICROSECONDS  # a longer one is a jump, a shorter one was lost in transmission
STEP_BACK = MICROSECONDS // 10  # less than this is inaccuracy


@dataclass(frozen=True)
class Jump:
    """A place where the clock jumps.

    position: in the file, in bytes. shift: is added to all times from there on. begin: the corrected time there. In
    microseconds.
    """

    position: int
    shift: int
    begin: int


@dataclass(frozen=True)
class Clock:
    """How a file's times become times that only go forward. jumps: in the order of their positions."""

    jumps: tuple[Jump, ...] = ()

    def find_shift(self, position: int) -> int:
        """What is added to the times of packets at that position, in microseconds."""
        at = bisect_right(self.jumps, position, key=lambda jump: jump.position)
        return self.jumps[at - 1].shift if at else 0

    def find_file_time(self, time: int, time_base: Fraction) -> int:
        """The time that the file itself has for a corrected one, both in `time_base`."""
        now = time * time_base * MICROSECONDS
        shift = next((jump.shift for jump in reversed(self.jumps) if jump.begin <= now), 0)
        return time - convert_shift(shift, time_base)


STEADY = Clock()


def convert_shift(shift: int, time_base: Fraction) -> int:
    """Microseconds in units of `time_base`."""
    return round(Fraction(shift, MICROSECONDS) / time_base)


class PacketClock:
    """Corrects the times of the packets of one file, which come in the order of the file."""

    def __init__(self, clock: Clock = STEADY) -> None:
        self.clock = clock
        self._positions: dict[int, int] = {}  # of each stream's last packet; a packet may come without one

    def correct(self, packet: Packet[AnyStream]) -> None:
        """Moves the packet's times."""
        position = self._find_position(packet)
        if self.clock.jumps:
            move_packet(packet, self.clock.find_shift(position))

    def _find_position(self, packet: Packet[AnyStream]) -> int:
        if packet.pos is not None and packet.pos >= 0:
            self._positions[packet.stream_index] = packet.pos
        return self._positions.get(packet.stream_index, 0)


class ClockReader:
    """Finds the jumps of a file's clock while all of its packets go by."""

    def __init__(self, container: InputContainer) -> None:
        self._may_jump = bool(container.format.flags & TS_DISCONT)
        self._packets = PacketClock()
        self._due: dict[int, int] = {}  # when each stream's next packet is due, in microseconds
        self._last: dict[int, int] = {}  # when its last packet was

    @property
    def clock(self) -> Clock:
        return self._packets.clock

    def add(self, packet: Packet[AnyStream]) -> None:
        """Looks at the next packet, and corrects its times."""
        if not self._may_jump:
            return
        self._packets.correct(packet)
        if packet.dts is None or packet.stream.type not in ("video", "audio"):
            return
        index, now = packet.stream_index, _read_time(packet)
        if index in self._due and (abs(now - self._due[index]) > GAP or now + STEP_BACK < self._last[index]):
            self._add_jump(packet, self._due[index] - now)
            now = _read_time(packet)
        self._last[index] = now
        self._due[index] = now + round((packet.duration or 0) * packet.time_base * MICROSECONDS)

    def _add_jump(self, packet: Packet[AnyStream], step: int) -> None:
        """A jump at that packet, which must be moved by `step` microseconds."""
        if packet.pos is None:
            return
        *before, last = (*self.clock.jumps,) or (None,)
        if last is not None and packet.pos < last.position:  # streams are interleaved: another one came to it first
            step = last.shift - self.clock.find_shift(packet.pos)
            if abs(_read_time(packet) + step - self._due[packet.stream_index]) > GAP:
                return
            jump = replace(last, position=packet.pos)
        else:
            before = list(self.clock.jumps)
            jump = Jump(packet.pos, self.clock.find_shift(packet.pos) + step, _read_time(packet) + step)
        self._packets.clock = Clock((*before, jump))
        move_packet(packet, step)


def move_packet(packet: Packet[AnyStream], shift: int) -> None:
    """Adds microseconds to the packet's times."""
    units = convert_shift(shift, packet.time_base)
    if packet.pts is not None:
        packet.pts += units
    if packet.dts is not None:
        packet.dts += units


def _read_time(packet: Packet[AnyStream]) -> int:
    """When it is decoded, in microseconds."""
    return round((packet.dts or 0) * packet.time_base * MICROSECONDS)
