"""Whether TensorRT-RTX can use the NVIDIA card here, told without loading it: its libraries have 300 MB."""

from __future__ import annotations

from live_sr.cuda import driver

# What its plugin for ONNX Runtime serves (0.5.0: the list in its tensorrt_rtx_provider_options.h). TensorRT-RTX itself
# also knows Turing, 7.5. The cards of data centres (8.0, 9.0, 10.0) are left to TensorRT.
ONE_BY_ONE = ((8, 6), (8, 9))
FROM = (12, 0)
CUDA = 13  # what the libraries in its package are built for
UPDATE = "update NVIDIA's driver: 580 or newer"


def obstacle() -> str:
    """Why the rtx engine cannot be used here, with what to do about it; or an empty string."""
    card = driver.device()
    if card is None:
        return driver.obstacle()
    why, remedy = fits(card)
    return f"{why} ({remedy})" if remedy else why


def fits(card: driver.Device) -> tuple[str, str]:
    """Why it cannot use that card, and a remedy where there is one."""
    if card.capability not in ONE_BY_ONE and card.capability < FROM:
        has, least = (".".join(map(str, version)) for version in (card.capability, FROM))
        served = ", ".join(".".join(map(str, version)) for version in ONE_BY_ONE)
        return (
            f"the {card.name} has compute capability {has}, and TensorRT-RTX serves {served} and from {least} on "
            "(RTX 30xx, 40xx, 50xx)",
            "",
        )
    if card.cuda[0] < CUDA:
        serves = ".".join(map(str, card.cuda))
        return f"the NVIDIA driver serves CUDA {serves}, and TensorRT-RTX is built for CUDA {CUDA}", UPDATE
    return "", ""
