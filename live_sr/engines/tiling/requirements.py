"""Reads from a network's file what it requires of its tiles."""

from __future__ import annotations

import math
from dataclasses import replace

from live_sr.engines.tiling.layout import TileRequirements
from live_sr.models import receptive_field
from live_sr.models.card import ModelCard
from live_sr.models.onnx import file_header
from live_sr.pipeline.frame import Size

MAX_EXACT_RADIUS = 96  # pixels; tiles of a network with a larger radius are cross-faded instead of exact
FADE_RADIUS = 64  # pixels of overlap where tiles are cross-faded


def read_requirements(card: ModelCard) -> TileRequirements | None:
    """What the network in the card's ONNX file requires of its tiles. None: the file does not say it."""
    known = receptive_field.compute_receptive_field(card.onnx)
    if known is None:
        return None
    exact = known.radius <= MAX_EXACT_RADIUS
    needed = TileRequirements(
        known.radius if exact else FADE_RADIUS,
        math.lcm(known.step, card.multiple),
        card.multiple,
        known.memory,
        exact,
        read_fixed_size(card),
    )
    has_room = needed.fixed_size is None or min(needed.fixed_size) >= 2 * needed.border + needed.step
    return needed if has_room else replace(needed, exact=False)


def read_fixed_size(card: ModelCard) -> Size | None:
    """The one size of pictures that the network takes, where its file says so."""
    try:
        return file_header.read_shapes(card.onnx).fixed_size
    except (file_header.DamagedFile, OSError):
        return None  # the engine reports what is wrong with the file
