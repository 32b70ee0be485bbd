"""Chooses how a network computes on a graphics card: right by a self-test, then the fastest.

Whether an adapter offers fp16 says little: a GTX 10xx computes in it at a small part of its speed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from time import perf_counter

import numpy as np

from live_sr.engines.trial_picture import make_trial_picture
from live_sr.engines.webgpu import reference
from live_sr.engines.webgpu.arithmetic import Arithmetic
from live_sr.engines.webgpu.gpu import ERRORS, Gpu
from live_sr.engines.webgpu.links import Part
from live_sr.engines.webgpu.network import NetworkOnGpu, SizedNetwork
from live_sr.errors import EngineError, reason
from live_sr.pipeline.frame import Pixels, Size, get_size, make_black

log = logging.getLogger(__name__)

TESTED = Size(31, 23)  # odd, and more than one workgroup
TIMED, TIMED_IN_SOFTWARE = Size(320, 180), Size(48, 32)
ROUNDS = 5
MAX_DEVIATION = 1  # level of 255
NEEDED_GAIN = 1.1  # how many times as fast fp16 must be


def choose_network(
    gpu: Gpu, parts: Sequence[Part], candidates: Sequence[Arithmetic], multiple: int = 1
) -> NetworkOnGpu:
    """The network, or the parts of a chain, in the best of these ways to compute. multiple: as `NetworkOnGpu`.

    Raises EngineError where none draws the right picture, or one of `gpu.ERRORS` where the device was lost.
    """
    pixels = make_trial_picture(TESTED)
    expected = reference.draw(parts, pixels, multiple)
    right: list[NetworkOnGpu] = []
    wrong: list[str] = []
    for arithmetic in candidates:
        trouble = ""
        try:
            network = NetworkOnGpu(gpu, parts, arithmetic, multiple)
            worst = int(np.abs(_draw(network, pixels).astype(np.int16) - expected).max())
            trouble = "" if worst <= MAX_DEVIATION else f"its picture is up to {worst} levels wrong"
        except ERRORS as error:
            if gpu.is_lost:  # that says nothing about this way to compute
                raise
            trouble = reason(error)
        if trouble:
            wrong.append(f"{arithmetic}: {trouble}")
            log.debug("%s in %s", gpu.adapter, wrong[-1])
        else:
            right.append(network)
    if not right:
        raise EngineError(f"{gpu.adapter} fails its self-test ({'; '.join(wrong)})", "use another engine")
    best = _find_fastest(gpu, right)
    for network in right:
        if network is not best:
            network.close()
    return best


def _draw(network: NetworkOnGpu, pixels: Pixels) -> Pixels:
    size = get_size(pixels)
    into = make_black(size.times(network.scale))
    with closing(SizedNetwork(network, size)) as sized:
        sized.draw(pixels, into)
    return into


def _find_fastest(gpu: Gpu, networks: Sequence[NetworkOnGpu]) -> NetworkOnGpu:
    """The first one, unless another is clearly faster. They draw the same picture in turns."""
    if len(networks) == 1:
        return networks[0]
    size = TIMED_IN_SOFTWARE if gpu.adapter.is_software else TIMED
    pixels = make_trial_picture(size)
    into = make_black(size.times(networks[0].scale))
    sized = [SizedNetwork(network, size) for network in networks]
    least = [float("inf")] * len(sized)
    for number in range(ROUNDS + 1):
        for at, one in enumerate(sized):
            started = perf_counter()
            one.draw(pixels, into)
            if number:  # in the first round, drivers finish what they put off
                least[at] = min(least[at], perf_counter() - started)
    for one in sized:
        one.close()
    log.debug(
        "%s, a frame of %s: %s",
        gpu.adapter,
        size,
        ", ".join(f"{n.arithmetic} {s * 1000:.2f} ms" for n, s in zip(networks, least, strict=True)),
    )
    fastest = min(range(len(networks)), key=least.__getitem__)
    return networks[fastest if least[0] > NEEDED_GAIN * least[fastest] else 0]
