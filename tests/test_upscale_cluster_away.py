"""What `--ray` does where there is no Ray, and with what comes back from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live_sr.assembly import EngineOptions
from live_sr.errors import EngineError, MissingPart
from live_sr.upscale import cluster as clusters
from live_sr.upscale.cluster import cluster


def test_without_ray_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPart, match="--ray needs Ray") as caught, cluster("", EngineOptions()):
        pass
    assert "live-sr[ray]" in caught.value.remedy


def test_a_file_that_comes_back_damaged_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="came back damaged"):
        clusters._kept(b"live-sr segment 1\n and something else", tmp_path / "000001.segment")
    assert list(tmp_path.iterdir()) == []
