"""The options of `live-sr serve`."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from live_sr.engines.options import EngineOptions

SCALES = (1, 2, 3, 4, 8)  # those that `live-sr upscale` takes


@dataclass(frozen=True)
class ServiceLimits:
    """What the service refuses.

    upload_bytes: of one file. megapixels: of a result, or of each frame of it. seconds: of a video. queue: jobs that
    may wait, those whose file is being received included.
    """

    upload_bytes: int = 1 << 30
    megapixels: float = 64.0
    seconds: float = 600.0
    queue: int = 16


@dataclass(frozen=True)
class ServiceOptions:
    """host and port: where it listens; port 0 is a free one. folder: where jobs and uploaded models are kept.

    token: what every request must bring; empty: none is needed. model: the one that is used until another is chosen.
    keep_hours: how long the files of an ended job are kept. measure_s: how long one network may take to be measured.
    """

    host: str
    port: int
    folder: Path
    token: str
    model: str
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    engine: EngineOptions = field(default_factory=EngineOptions)
    keep_hours: float = 24.0
    measure_s: float = 60.0

    def hide_folder(self, text: str) -> str:
        """A sentence for a client, which need not know where the files are."""
        return text.replace(f"{self.folder}{os.sep}", "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
