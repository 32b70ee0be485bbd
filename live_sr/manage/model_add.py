"""`live-sr models add` and `remove`: tries a model, converts it if needed, and keeps it in the user's folder."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from live_sr import backends
from live_sr.capture.pattern import PatternSource
from live_sr.config import Settings
from live_sr.engines import tiled_factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, ModelError, UsageError
from live_sr.manage import model_download
from live_sr.manage.model_download import ModelAddress
from live_sr.models import user_folder, zoo
from live_sr.models.card import ModelCard
from live_sr.models.onnx import file_header
from live_sr.models.resolve import FILTERS, Model, require_reader
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size
from live_sr.system import paths
from live_sr.terminal import print_result

if TYPE_CHECKING:
    from live_sr.models.published_network import PublishedNetwork

log = logging.getLogger(__name__)

TRIAL_SIZE = Size(66, 50)  # not a multiple of 4, because a window has any size
MAX_DIFFERENCE = 40.0  # levels; a picture that is upscaled and shrunk again differs from the original by about 2
MAX_ROUNDING = 2  # levels between PyTorch and OpenVINO in fp32, by rounding
COMPARED_SIZES = (Size(80, 64), Size(96, 128))  # other sizes than the one at which a network is converted
FIXED_SIZE = Size(256, 256)  # for networks that are only right at the size at which they were converted


def add_models(
    sources: Sequence[Path | ModelAddress],
    name: str | None,
    scale: int | None,
    *,
    replace: bool = False,
    settings: Settings,
) -> int:
    """Tries each model and puts it into the user's folder. Raises LiveSRError at the first that does not work; those
    before it are kept. What is known of each without its content is checked first."""
    folder = paths.require_folder(paths.get_models_folder(), "models")
    _check_beforehand(sources, name, scale, folder, replace=replace)
    options = make_trial_options(settings)
    for source in sources:
        with tempfile.TemporaryDirectory(prefix="live-sr-") as scratch, _name_address(source, scratch):
            file = source if isinstance(source, Path) else _download(source, Path(scratch))
            possible = _convert(file, Path(scratch), name, scale, options)
            possible = possible or _join_parts(user_folder.describe_file(file, name, scale), Path(scratch))
            card = _add_first_that_works(possible, folder, replace, options)
        print_result(f"live-sr: added {card.label} to {folder}")
        if card.scale == 1:
            print_result(f"  it does not enlarge: put it before a model that does, like --model {card.name}+fast")
        else:
            print_result(f"  `live-sr run --model {card.name}` uses it, and the hotkey for the next model comes by it")
    return 0


def remove_model(name: str, scale: int | None = None) -> int:
    """Deletes one of the user's models. Raises UsageError for any other."""
    folder = paths.require_folder(paths.get_models_folder(), "models")
    own = zoo.read_user_folder(folder).cards
    if name in (*_get_names(zoo.list_cards()), *FILTERS) and name not in _get_names(own):
        raise UsageError(f"{name} comes with live-sr", "only models that you added can be removed")
    for label in user_folder.remove(name, folder, scale):
        print_result(f"live-sr: removed {label}")
    return 0


def choose_trial_size(card: ModelCard) -> Size:
    """A size for the trial: a small odd one, or the only one that the file allows."""
    return file_header.read_shapes(card.onnx).fixed_size or TRIAL_SIZE


def make_trial_options(settings: Settings) -> EngineOptions:
    """As the settings say, but that nothing is kept, and that a network is run even where they name the filters."""
    options = EngineOptions.from_settings(settings)
    named = backends.find_engine(options.backend)
    backend = options.backend if named is None or named.runs_networks else "auto"
    return dataclasses.replace(options, backend=backend, cache=None)


def run_once(card: ModelCard, size: Size, options: EngineOptions) -> tuple[Pixels, Pixels]:
    """A small frame, and this machine's upscaled result. Raises LiveSRError."""
    frame = make_pattern_frame(size)
    engine = tiled_factory.make_tiled_engine(Model.from_card(card), card.scale, options, tile=-1)
    try:
        engine.warm_up(size)
        done = engine.upscale(frame)
    finally:
        engine.close()
    assert done is not None
    return frame.pixels, done.pixels


def make_pattern_frame(size: Size) -> Frame[Pixels]:
    frame = PatternSource(size, fps=None).next_frame(0)
    assert frame is not None
    return frame


def measure_difference(small: Pixels, large: Pixels) -> float:
    """Mean absolute difference in levels (0..255) between a picture and a larger one averaged down to its size."""
    height, width = small.shape[:2]
    scale = large.shape[0] // height
    cells = large[..., :3].reshape(height, scale, width, scale, 3).mean((1, 3))
    return float(np.abs(cells - small[..., :3]).mean())


def _check_beforehand(
    sources: Sequence[Path | ModelAddress], name: str | None, scale: int | None, folder: Path, *, replace: bool
) -> None:
    """Before anything is downloaded or converted, which may take minutes. Raises LiveSRError."""
    user_folder.check_folder(folder)
    wanted: set[tuple[str, int]] = set()
    for source in sources:
        is_address = isinstance(source, ModelAddress)
        file = Path(source.name) if isinstance(source, ModelAddress) else source
        if not is_address and (not file.is_file() or file.with_suffix(".toml").is_file()):
            continue  # it is named later, as missing or by its card
        if backends.find_published_reader(file) is not None:
            require_reader(file)
        final = name or zoo.get_bare_name(file)
        check_new_name(final)
        known = scale or (zoo.get_named_scale(file) if is_address else None)
        if known is None:
            continue
        if (final.lower(), known) in wanted:
            raise UsageError(
                f"two of these would become the model {final} x{known}", "add them one by one, with --name"
            )
        wanted.add((final.lower(), known))
        if not replace:
            _check_free(final, known, folder)


def _download(address: ModelAddress, scratch: Path) -> Path:
    """A folder of its own, since a converted model may have the same name. Raises LiveSRError."""
    folder = scratch / "download"
    folder.mkdir()
    found = model_download.download(address, folder)
    print_result(f"live-sr: downloaded {found.path.name}, {found.bytes:,} bytes, sha256 {found.sha256}")
    return found.path


@contextmanager
def _name_address(source: Path | ModelAddress, scratch: str) -> Iterator[None]:
    """In errors about a downloaded file, which the user does not know, names the address that it came from."""
    try:
        yield
    except LiveSRError as error:
        if isinstance(source, ModelAddress):
            folder = str(Path(scratch, "download")) + os.sep
            for found, meant in (
                (folder + source.name, source.url),
                (folder, ""),
            ):  # or a file that should be beside it
                error.message = error.message.replace(found, meant)
                error.remedy = error.remedy.replace(found, meant)
        raise


def _join_parts(possible: list[ModelCard], scratch: Path) -> list[ModelCard]:
    """The same ONNX file, with the weights in it that lay in files beside it. Raises ModelError."""
    from live_sr.models.export import external_data

    file = possible[0].onnx
    if not external_data.has_external_data(file):
        return possible
    whole = scratch / file.name
    external_data.join_external_data(file, whole)
    return [dataclasses.replace(card, onnx=whole, bytes=0, sha256="") for card in possible]


def _convert(file: Path, scratch: Path, name: str | None, scale: int | None, options: EngineOptions) -> list[ModelCard]:
    """Converts the network of a PyTorch file to ONNX in `scratch`; an empty list for an ONNX file.

    Raises ModelError or MissingPart.
    """
    reader = backends.find_published_reader(file)
    if reader is None:
        return []
    if not reader.convertible:
        what = f"{file} is not an .onnx, .pth, .pt or .safetensors file, and only these can be added"
        raise ModelError(what, f"`--model {file}` uses it from where it is")
    if not file.is_file():
        raise ModelError(f"there is no file {file}", "correct the path")
    require_reader(file)
    from live_sr.models import pytorch
    from live_sr.models.export import onnx_export

    network = pytorch.load(file)
    onnx_export.check_convertible(network)
    if scale not in (None, network.card.scale):
        raise ModelError(f"{file} makes pictures x{network.card.scale}, not x{scale}", "leave out --scale")
    card = _export_and_compare(network, scratch, name or zoo.get_bare_name(file), options)
    if network.card.architecture.startswith("CellNet"):  # trained here
        shutil.copyfile(file, card.onnx.with_suffix(".safetensors"))  # which engines on NVIDIA cards read
    return [card]


def _export_and_compare(network: PublishedNetwork, scratch: Path, name: str, options: EngineOptions) -> ModelCard:
    """Converts the network for every size if its pictures then equal PyTorch's, else for one size."""
    from live_sr.models.export import onnx_export

    sizes = [_round_up(size, network.multiple, network.least) for size in COMPARED_SIZES]
    wanted = [network.upscale(make_pattern_frame(size).pixels) for size in sizes]  # before the export changes anything
    path = scratch / f"{name}-x{network.card.scale}.onnx"
    why = ""
    try:
        card = onnx_export.write(network, path)
        off = max(_measure_deviation(card, want, options) for want in wanted)
        if off <= MAX_ROUNDING:
            return _rename(card, name)
        why = f"its pictures of other sizes differ by {off} levels"
    except ModelError as error:
        why = error.message
    fixed = _round_up(FIXED_SIZE, network.multiple, network.least)
    want = network.upscale(make_pattern_frame(fixed).pixels)
    card = onnx_export.write(network, path, fixed)
    off = _measure_deviation(card, want, options)
    if off > MAX_ROUNDING:
        what = (
            f"{network.card.onnx} makes other pictures once it is converted to ONNX, by {off} levels; it was not added"
        )
        raise ModelError(what, "it still runs from its own file, slower: use its path as --model")
    log.warning("%s can only be converted for pictures of %s, which need tiles (%s)", name, fixed, why)
    return _rename(card, name)


def _measure_deviation(card: ModelCard, want: Pixels, options: EngineOptions) -> int:
    """The largest difference in levels between PyTorch's and the engine's result for the test pattern."""
    size = get_size(want)
    small = Size(size.width // card.scale, size.height // card.scale)
    _, got = run_once(card, small, dataclasses.replace(options, precision="fp32"))
    return int(np.abs(got.astype(np.int16) - want).max())


def _rename(card: ModelCard, name: str) -> ModelCard:
    """The card with the final name."""
    return dataclasses.replace(card, name=name)


def _round_up(size: Size, multiple: int, least: int) -> Size:
    return Size(max(size.width, least), max(size.height, least)).round_up(multiple)


def _add_first_that_works(
    possible: Sequence[ModelCard], folder: Path, replace: bool, options: EngineOptions
) -> ModelCard:
    """Adds the first interpretation of a file that works. Raises what the last one raised."""
    check_new_name(possible[0].name)
    for card in possible:
        try:
            with user_folder.stage(card, folder) as copy:
                strange = _try(copy, card, options)
                if not replace:
                    _check_free(card.name, card.scale, folder)
                user_folder.install(copy, folder)
        except ModelError:
            if card is possible[-1]:
                raise
            continue
        if strange:
            log.warning(strange)
        return card
    raise AssertionError("there is always one possibility")


def check_new_name(name: str) -> None:
    """Checks that a model of the user's can have that name. Names are compared without regard to case, as some file
    systems do. Raises UsageError."""
    user_folder.check_name(name)
    reserved = {*_get_names(zoo.list_cards()), *FILTERS}
    if name.lower() in {word.lower() for word in reserved}:
        what = f'"{name}" comes with live-sr, and what comes with it is never hidden or replaced'
        raise UsageError(what, "give yours another name with --name")


def _check_free(name: str, scale: int, folder: Path) -> None:
    taken = {(there.name.lower(), there.scale) for there in zoo.read_user_folder(folder).cards}
    if (name.lower(), scale) in taken:
        raise UsageError(f"you already have a model {name} x{scale}", "replace it with --replace, or use --name")


def _try(copy: ModelCard, card: ModelCard, options: EngineOptions) -> str:
    """Upscales one small frame; returns a warning if the result is a different picture. Raises LiveSRError."""
    try:
        small, large = run_once(copy, choose_trial_size(copy), options)
    except LiveSRError as error:  # it names the temporary copy, which the user does not know
        said = error.message.replace(str(copy.onnx), str(card.onnx))
        raise ModelError(f"{said}; it was not added", error.remedy) from None
    off = measure_difference(small, large)
    if off <= MAX_DIFFERENCE or card.psnr_y:  # one that was measured is right, however it draws what no game shows
        return ""
    return (
        f"{card.label} runs, but its picture is {off:.0f} levels off in the mean: it may want another range "
        f"than 0..1, or another order than RGB"
    )


def _get_names(cards: Iterable[ModelCard]) -> set[str]:
    return {card.name for card in cards}
