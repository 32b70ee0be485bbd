"""A thing that was looked at, and a look that may fail."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from live_sr.errors import LiveSRError, reason

ASK_S = 2.0  # how long another program may take to answer


@dataclass(frozen=True)
class Finding:
    """A thing and what is known of it; when it is not `good`, `remedy` says what can be done, if anything can."""

    name: str
    says: str
    good: bool = True
    remedy: str = ""


def probed(name: str, probe: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """What a probe finds, or that it failed and why: one that fails takes nothing else with it."""
    try:
        return probe()
    except LiveSRError as error:
        return [Finding(name, error.message, False, error.remedy)]
    except subprocess.TimeoutExpired:
        return [Finding(name, f"no answer within {ASK_S:.0f} s", False)]
    except (OSError, ImportError, subprocess.SubprocessError, RuntimeError) as error:  # the last is OpenVINO's own
        return [Finding(name, f"could not be found out: {reason(error)}", False)]


def asked(*command: str) -> str:
    """What a program prints. Raises OSError or SubprocessError."""
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=ASK_S, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout
