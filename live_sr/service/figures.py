"""The table of the page: how good the networks are, by their cards, and how fast they are on this machine."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from live_sr import __version__
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Kind, list_models
from live_sr.pipeline.frame import Size
from live_sr.service.jobs import MEASUREMENT, ServiceJob
from live_sr.service.measuring import MeasuringProcess, Speed
from live_sr.service.replies import Figure, ScoresReply
from live_sr.service.store import JobStore

log = logging.getLogger(__name__)

SIZE = Size(480, 270)
SPEED = "measured"  # in the names of settings in the store


@dataclass(frozen=True)
class MeasurementProgress:
    """How many networks are done, of how many, and those that were left out, each with the reason."""

    done: int
    total: int
    left_out: tuple[str, ...]


def make_job() -> ServiceJob:
    """A job that measures the speed of every network."""
    return ServiceJob(secrets.token_hex(16), MEASUREMENT, "the measurement", "", "", "", 0, False, created=time.time())


def list_networks() -> list[ModelCard]:
    """Every network that can be named, at each of its scales."""
    return [card for model in list_models() if model.kind is Kind.NETWORK for card in model.cards]


def list_figures(store: JobStore) -> list[Figure]:
    """A row for each network. What another version of live-sr has measured is left out."""
    return [_make_figure(card, store) for card in list_networks()]


def measure_networks(store: JobStore, process: MeasuringProcess, limit_s: float) -> Iterator[MeasurementProgress]:
    """Measures one network after another, and keeps its frames a second; yields before each and at the end.

    One that cannot run, or takes longer than `limit_s` seconds, is left out. Raises MeasuringStopped or StoreFailed.
    """
    networks = list_networks()
    left_out: list[str] = []
    for done, card in enumerate(networks):
        yield MeasurementProgress(done, len(networks), tuple(left_out))
        speed, trouble = process.measure(card, SIZE, limit_s)
        if speed.fps is None:
            left_out.append(f"{card.label}: {speed.left_out}")
            log.warning("%s is not measured: %s", card.label, trouble or speed.left_out)
        store.write_setting(_name_setting(card), json.dumps([__version__, asdict(speed)]))
    yield MeasurementProgress(len(networks), len(networks), tuple(left_out))


def _make_figure(card: ModelCard, store: JobStore) -> Figure:
    version, values = json.loads(store.read_setting(_name_setting(card)) or '["", {}]')
    speed = Speed(**values) if version == __version__ else Speed(None)
    return Figure(
        model=card.name,
        scale=card.scale,
        psnr_y={
            game: ScoresReply(model=scores.model, bicubic=scores.bicubic, lanczos=scores.lanczos)
            for game, scores in card.psnr_y.items()
        },
        fps=speed.fps,
        engine=speed.engine,
        left_out=speed.left_out,
    )


def _name_setting(card: ModelCard) -> str:
    return f"{SPEED} {card.scale} {card.name}"
