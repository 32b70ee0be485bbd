"""Whether the PyTorch here can use the NVIDIA card here, told without importing it, which takes seconds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from live_sr.cuda import driver

CUDA_BUILD = (
    'pip install --force-reinstall "torch==2.13.0"; on Windows with the --index-url that pytorch.org names for '
    "CUDA 13.0, because PyPI has only CPU builds there"
)
OLD_CARDS = 'pip install --force-reinstall "torch==2.13.0" with the --index-url that pytorch.org names for CUDA 12.6'
UPDATE = "update NVIDIA's driver: 580 or newer"


def obstacle() -> str:
    """Why the cuda engine cannot be used here, with what to do about it; or an empty string."""
    why, remedy = trouble()
    return f"{why} ({remedy})" if remedy else why


def trouble() -> tuple[str, str]:
    """The same as two: the reason, and a remedy where there is one."""
    card = driver.device()
    if card is None:
        return driver.obstacle(), ""
    return fits(card, _cuda(_version_file()))


def fits(card: driver.Device, build: tuple[int, int] | None) -> tuple[str, str]:
    """Why a PyTorch built for that version of CUDA (None: without) cannot use that card, and a remedy."""
    if build is None:
        return "this PyTorch is built without CUDA", CUDA_BUILD
    built, served, has, least = (".".join(map(str, v)) for v in (build, card.cuda, card.capability, driver.LEAST))
    if card.capability < driver.LEAST and build[0] >= 13:  # CUDA 13 dropped what came before Turing
        return (
            f"the {card.name} has compute capability {has}, and PyTorch for CUDA {built} needs {least} or newer",
            OLD_CARDS,
        )
    if card.cuda[0] < build[0]:  # within one major version an older driver serves newer programs
        return f"the NVIDIA driver serves CUDA {served}, and this PyTorch is built for CUDA {built}", UPDATE
    return "", ""


def _version_file() -> str:
    """What torch/version.py says; empty without PyTorch. Its metadata does not tell one build from another."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        return Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return ""


def _cuda(version_file: str) -> tuple[int, int] | None:
    found = re.search(r"^cuda\b[^=\n]*=\s*'(\d+)\.(\d+)", version_file, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None
