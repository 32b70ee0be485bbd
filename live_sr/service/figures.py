"""The table of the page: how good the networks are, by their cards, and how fast they are on this machine."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator

from live_sr import __version__
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError
from live_sr.manage.model_speed import measure_speed
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Kind, list_models
from live_sr.pipeline.frame import Size
from live_sr.service.jobs import MEASUREMENT, ServiceJob
from live_sr.service.replies import Figure, ScoresReply
from live_sr.service.store import JobStore

log = logging.getLogger(__name__)

SIZE = Size(480, 270)
SPEED = "speed"  # in the names of settings in the store


def make_job() -> ServiceJob:
    """A job that measures the speed of every network."""
    return ServiceJob(secrets.token_hex(16), MEASUREMENT, "the measurement", "", "", "", 0, False, created=time.time())


def list_networks() -> list[ModelCard]:
    """Every network that can be named, at each of its scales."""
    return [card for model in list_models() if model.kind is Kind.NETWORK for card in model.cards]


def list_figures(store: JobStore) -> list[Figure]:
    """A row for each network. What another version of live-sr has measured is left out."""
    return [_make_figure(card, store) for card in list_networks()]


def measure_networks(store: JobStore, options: EngineOptions) -> Iterator[tuple[int, int]]:
    """Measures one network after another, and keeps its frames a second; yields (done, in all) before each and at the
    end. One that cannot run is left out. Raises StoreFailed.
    """
    networks = list_networks()
    for done, card in enumerate(networks):
        yield done, len(networks)
        try:
            fps, engine = measure_speed(card, SIZE, options)
        except LiveSRError as error:  # such as a damaged file among the user's own
            log.warning("%s is not measured: %s", card.label, error.message)
            continue
        store.write_setting(_name_setting(card), json.dumps([__version__, fps, engine]))
    yield len(networks), len(networks)


def _make_figure(card: ModelCard, store: JobStore) -> Figure:
    version, fps, engine = json.loads(store.read_setting(_name_setting(card)) or '["", 0, ""]')
    measured = version == __version__
    return Figure(
        model=card.name,
        scale=card.scale,
        psnr_y={
            game: ScoresReply(model=scores.model, bicubic=scores.bicubic, lanczos=scores.lanczos)
            for game, scores in card.psnr_y.items()
        },
        fps=fps if measured else None,
        engine=engine if measured else "",
    )


def _name_setting(card: ModelCard) -> str:
    return f"{SPEED} {card.scale} {card.name}"
