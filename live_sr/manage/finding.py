"""What doctor found out about one part of the machine, and the probe that finds it out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from live_sr.errors import LiveSRError, reason

COMMAND_TIMEOUT_S = 2.0  # for another program to answer


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report: a name and what was found. If it is not `good`, `remedy` says what helps, if anything."""

    name: str
    says: str
    good: bool = True
    remedy: str = ""


def run_probe(name: str, probe: Callable[[], Sequence[DoctorFinding]]) -> Sequence[DoctorFinding]:
    """The findings of a probe. If it fails, a finding that says why: the other probes go on."""
    try:
        return probe()
    except LiveSRError as error:
        return [DoctorFinding(name, error.message, False, error.remedy)]
    except subprocess.TimeoutExpired:
        return [DoctorFinding(name, f"no answer within {COMMAND_TIMEOUT_S:.0f} s", False)]
    except (OSError, ImportError, subprocess.SubprocessError, RuntimeError) as error:  # OpenVINO raises RuntimeError
        return [DoctorFinding(name, f"cannot be determined: {reason(error)}", False)]


def run_command(*command: str) -> str:
    """What a program prints on stdout. Raises OSError or SubprocessError."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_TIMEOUT_S,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout
