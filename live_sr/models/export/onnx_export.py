"""Converts a published network to an ONNX file, which every engine can run."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from live_sr.errors import MissingPart, ModelError
from live_sr.models import card as cards
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export import dynamic_shapes
from live_sr.models.published_network import PublishedNetwork
from live_sr.models.pytorch import load
from live_sr.pipeline.frame import Size

OPSET = 17
AXES = {"rgb": {2: "height", 3: "width"}, "enlarged": {2: "height_out", 3: "width_out"}}


def check_convertible(network: PublishedNetwork) -> None:
    """Raises ModelError for networks that are more than one graph from a picture to a picture."""
    if network.card.recurrent or network.card.cuts_itself:
        needs = "several frames of a video" if network.card.recurrent else "noise and many steps"
        what = f"{network.card.onnx} ({network.card.architecture}) needs {needs}, and is not converted to ONNX"
        raise ModelError(what, f"`live-sr upscale FILE --model {network.card.onnx}` uses it from where it is")


def export_onnx(network: PublishedNetwork, path: Path, fixed: Size | None = None) -> None:
    """Writes a graph from "rgb", float32 (1, 3, H, W) in 0..1, to "enlarged"; H and W are multiples of `multiple`.

    `fixed` writes the graph for that one size. Without it the sizes stay free, which does not work for every
    architecture: compare the file's pictures with those of `network.run` at more than one size. Raises ModelError or
    MissingPart.
    """
    check_convertible(network)
    size = (fixed or Size(max(96, network.least), max(64, network.least))).round_up(network.multiple)
    module = _PublishedModule(network)
    part = path.with_suffix(".part")
    dynamic_shapes.make_shapes_dynamic(network.module)
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns of each number that it takes for a constant
            torch.onnx.export(
                module,
                (torch.rand(1, 3, size.height, size.width),),
                str(part),
                dynamo=False,  # the other exporter needs onnxscript, and fixes sizes sooner
                opset_version=OPSET,
                input_names=["rgb"],
                output_names=["enlarged"],
                dynamic_axes=None if fixed else AXES,
            )
        part.replace(path)
    except (ImportError, torch.onnx.OnnxExporterError) as error:
        raise MissingPart(f"networks are converted by onnx, which fails: {error}", "pip install onnx") from None
    except OSError:
        raise
    except Exception as error:  # from the exporter, or the code of any architecture
        what = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelError(
            f"{network.card.onnx} cannot be converted to ONNX: {what}", "it still runs from its own file, slower"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def convert_once(file: Path, folder: Path) -> ModelCard:
    """The network of a PyTorch file as ONNX in `folder`: found there, or converted now. Its sizes are free.

    Raises ModelError or MissingPart.
    """
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()[:16]
        for card in folder.glob(f"*-{digest}-x*.toml"):
            with suppress(ModelError):
                there = cards.read_card(card)
                zoo.verify(there)
                return there
        folder.mkdir(parents=True, exist_ok=True)
        network = load(file)
        return write(network, folder / f"{file.stem}-{digest}-x{network.card.scale}.onnx")
    except OSError as error:
        what = f"{error.filename or file} cannot be read or written: {error.strerror}"
        raise ModelError(what, "check the path, its rights and the space on the disk") from None


def write(network: PublishedNetwork, path: Path, fixed: Size | None = None) -> ModelCard:
    """Writes the network as ONNX, with its card beside it. Raises OSError, and what `export_onnx` raises."""
    export_onnx(network, path, fixed)
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    notes = f"converted from {network.card.onnx.name}"
    if fixed is not None:
        notes += f", for pictures of {fixed.round_up(network.multiple)} only"
    elif network.least > network.multiple:
        notes += f", for pictures of at least {network.least} pixels a side"
    card = dataclasses.replace(
        network.card,
        onnx=path,
        multiple=1 if fixed else network.multiple,
        notes=notes,
        bytes=path.stat().st_size,
        sha256=digest,
    )
    part = path.with_suffix(".toml.part")
    part.write_text(cards.format_card(card), encoding="utf-8")
    part.replace(path.with_suffix(".toml"))
    return card


class _PublishedModule(nn.Module):
    """The published network, with what spandrel does to a picture before and after it."""

    def __init__(self, network: PublishedNetwork) -> None:
        super().__init__()
        self.module = network.module  # so that the exporter finds its weights
        self._run = network.run

    def forward(self, picture: Tensor) -> Tensor:
        return self._run(picture)
