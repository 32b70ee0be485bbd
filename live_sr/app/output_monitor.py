"""The monitor that the picture is shown on, where the settings name one."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.errors import UsageError, did_you_mean
from live_sr.pipeline.desktop_contracts import Monitor

AUTO = "auto"  # the game's monitor


def find_output_monitor(wanted: str | int, monitors: Sequence[Monitor]) -> Monitor | None:
    """The monitor of that number, counted from 1, or of that name. None for "auto", and while there is no such one."""
    if wanted == AUTO:
        return None
    named = next((monitor for monitor in monitors if monitor.name.lower() == str(wanted).lower()), None)
    if named is not None:
        return named
    number = int(wanted) if str(wanted).isdecimal() else 0
    return monitors[number - 1] if 1 <= number <= len(monitors) else None


def check_output_monitor(wanted: str | int, monitors: Sequence[Monitor]) -> None:
    """Raises UsageError, which lists the monitors, for one that is not there."""
    if wanted != AUTO and find_output_monitor(wanted, monitors) is None:
        raise make_unknown_monitor(wanted, monitors)


def make_unknown_monitor(wanted: str | int, monitors: Sequence[Monitor]) -> UsageError:
    """Says which monitors there are."""
    listed = "; ".join(f"{number}: {monitor.name} ({monitor.rect.size})" for number, monitor in enumerate(monitors, 1))
    guess = did_you_mean(str(wanted), [monitor.name for monitor in monitors])
    return UsageError(f"there is no monitor {wanted}.{guess}", f"choose one of these: {listed or 'none'}")
