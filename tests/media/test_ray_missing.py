"""`--ray` without Ray, and with damaged data from a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, MissingPart
from live_sr.upscale.video.ray_cluster import open_cluster, write_segment


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPart, match="--ray needs Ray") as caught, open_cluster("", EngineOptions()):
        pass
    assert "live-sr[ray]" in caught.value.remedy


def test_a_damaged_segment_from_the_cluster_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="came back damaged"):
        write_segment(b"live-sr segment 1\n and something else", tmp_path / "000001.segment")
    assert list(tmp_path.iterdir()) == []
