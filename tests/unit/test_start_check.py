"""What ends a run before it says that it starts."""

from __future__ import annotations

from typing import cast

import pytest

from live_sr.app.start_check import check_settings
from live_sr.config import Settings
from live_sr.errors import EngineError, LiveSRError, UnknownModel, UsageError
from live_sr.pipeline.desktop_contracts import Desktop, Monitor
from live_sr.pipeline.frame import Rect


class OneMonitor:
    """What a desktop says of its monitors."""

    def list_monitors(self) -> list[Monitor]:
        return [Monitor("DP-1", Rect(0, 0, 1920, 1080), primary=True)]


def check(raw: dict[str, dict[str, object]]) -> None:
    check_settings(Settings.model_validate(raw), cast(Desktop, OneMonitor()))


@pytest.mark.parametrize(
    ("raw", "kind", "sentence", "remedy"),
    [
        ({"model": {"name": "fasst"}}, UnknownModel, "fasst", ""),
        (
            {"model": {"name": "quality"}, "engine": {"backend": "openvino", "precision": "int8"}},
            EngineError,
            "the card of quality x2 has no ranges for int8",
            'use precision = "auto"',
        ),
        ({"overlay": {"monitor": 2}}, UsageError, "there is no monitor 2", "1: DP-1 (1920x1080)"),
        (
            {"engine": {"backend": "openvino", "precision": "fp8"}},
            EngineError,
            "this processor does not compute in fp8",
            'use precision = "auto"',
        ),
    ],
)
def test_what_cannot_be_had_is_told_with_a_remedy(
    raw: dict[str, dict[str, object]], kind: type[LiveSRError], sentence: str, remedy: str
) -> None:
    with pytest.raises(kind) as caught:
        check(raw)
    assert sentence in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"overlay": {"monitor": "dp-1"}},
        {"engine": {"precision": "fp32"}},
        {"model": {"name": "bicubic", "scale": "fit"}, "engine": {"precision": "int8"}},  # a filter has no precision
    ],
)
def test_what_can_be_had_passes(raw: dict[str, dict[str, object]]) -> None:
    check(raw)
