"""Loads networks whose architectures spandrel does not know, and which are written out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from live_sr.errors import ModelError
from live_sr.models.architectures import resshift, resshift_unet, rvrt, tecogan, vq_autoencoder
from live_sr.models.architectures.frame_sequence import ClipSequence, LevelSequence, RecurrentSequence
from live_sr.models.architectures.guided_attention import CLIP
from live_sr.models.architectures.recurrent import RecurrentRunner
from live_sr.models.architectures.resshift import AUTOENCODER, ResShift, Schedule
from live_sr.models.card import ModelCard
from live_sr.models.published_network import PRECISIONS, PublishedNetwork, count_macs, make_load_error

State = dict[str, Tensor]
ReadWeights = Callable[[Path], State]
"""Reads the weights in another file. Raises ModelError."""

UNFIT = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What is raised for weights that are missing, or whose shapes nobody expected."""

Loader = Callable[[Path, State, ReadWeights], PublishedNetwork]


def find_loader(state: State) -> Loader | None:
    """What makes the network of these weights, read from a file. It raises ModelError."""
    if tecogan.is_tecogan(state):
        return _load_tecogan
    if rvrt.is_rvrt(state):
        return _load_rvrt
    if resshift_unet.is_resshift(state):
        return _load_resshift
    if vq_autoencoder.is_autoencoder(state):
        return _refuse_autoencoder
    return None


def _load_tecogan(path: Path, state: State, read: ReadWeights) -> PublishedNetwork:
    try:
        net = tecogan.build(state)
    except UNFIT as error:
        raise make_load_error(path, error) from error
    shot = RecurrentRunner(net)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    card = ModelCard(path.stem, net.scale, path, "TecoGAN", parameters, count_macs(shot.run, net), recurrent=True)
    shot.begin()

    def open_sequence(tile: int) -> LevelSequence:
        return RecurrentSequence(net, RecurrentRunner(net))

    return PublishedNetwork(shot.run, net, card, PRECISIONS, net.multiple, net.least, shot.begin, open_sequence)


def _load_rvrt(path: Path, state: State, read: ReadWeights) -> PublishedNetwork:
    try:
        net = rvrt.build(state)
    except UNFIT as error:
        raise make_load_error(path, error) from error

    def run(picture: Tensor) -> Tensor:
        made: Tensor = net(picture.repeat(CLIP, 1, 1, 1))
        return made[:1]

    parameters = sum(parameter.numel() for parameter in net.parameters())
    card = ModelCard(path.stem, net.scale, path, "RVRT", parameters, rvrt.compute_macs(net), recurrent=True)

    def open_sequence(tile: int) -> LevelSequence:
        return ClipSequence(net, max(tile, 0)) if tile else ClipSequence(net)

    return PublishedNetwork(run, net, card, PRECISIONS, net.multiple, net.least, open_sequence=open_sequence)


def _load_resshift(path: Path, state: State, read: ReadWeights) -> PublishedNetwork:
    beside = path.with_name(AUTOENCODER)
    if not beside.is_file():
        what = f"{path} is one half of ResShift; its other half, {AUTOENCODER}, is not beside it"
        raise ModelError(what, f"put {AUTOENCODER} from the same page into {path.parent}")
    try:
        unet = resshift_unet.build(state)
        schedule = Schedule.from_steps(resshift.find_steps(path.name))
    except UNFIT as error:
        raise make_load_error(path, error) from error
    try:
        net = ResShift(unet, vq_autoencoder.build(read(beside)), schedule).eval()
    except UNFIT as error:
        raise make_load_error(beside, error) from error
    parameters = sum(parameter.numel() for parameter in net.parameters())
    name = f"ResShift of {len(schedule.shifts)} steps"
    card = ModelCard(path.stem, resshift.SCALE, path, name, parameters, cuts_itself=True)
    return PublishedNetwork(net, net, card, ("fp32",), measure_cost=net.measure_cost)


def _refuse_autoencoder(path: Path, state: State, read: ReadWeights) -> PublishedNetwork:
    what = f"{path} is the autoencoder of ResShift, which does not enlarge"
    raise ModelError(what, "use the path of the other file as --model, with this one beside it")
