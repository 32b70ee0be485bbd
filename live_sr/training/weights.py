"""Loads weights from a file, or of a shipped network by its name; every failure is a UsageError."""

from __future__ import annotations

from pathlib import Path

from live_sr.errors import UsageError, did_you_mean
from live_sr.models import zoo
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CellNet


def load_weights(path: Path, flag: str) -> tuple[CellNet, int]:
    """The network in a file, and the steps it was trained for. Raises UsageError, which names the flag."""
    if not path.is_file():
        raise UsageError(f"{flag}: there is no file {path}", "correct the path")
    try:
        return cellnet.load(path)
    except Exception as error:  # safetensors raises classes of its own
        remedy = "give weights that `live-sr train` or `live-sr export` wrote"
        raise UsageError(f"{flag}: {path} holds no weights of ours: {error}", remedy) from None


def load_start_weights(wanted: str, scale: int) -> tuple[CellNet, int]:
    """The network of --from: a file, or the name of one that ships. Raises UsageError."""
    if wanted.endswith(".safetensors"):
        return load_weights(Path(wanted), "--from")
    path = zoo.WEIGHTS / f"{wanted}-x{scale}.safetensors"
    if not path.is_file():
        names = sorted(file.stem.removesuffix(f"-x{scale}") for file in zoo.WEIGHTS.glob(f"*-x{scale}.safetensors"))
        choices = f"choose {', '.join(names)}, or " if names else ""
        what = f'--from: no network called "{wanted}" ships for --scale {scale}.{did_you_mean(wanted, names)}'
        raise UsageError(what, f"{choices}give a .safetensors file of any scale")
    return load_weights(path, "--from")
