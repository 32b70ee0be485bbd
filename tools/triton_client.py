"""Enlarge a picture with a live-sr model that a Triton server serves (docs/triton.md).

    pip install "live-sr[triton]"
    python -m tools.triton_client small.png large.png [--model fast-x2] [--server 127.0.0.1:8000] [--shared-memory]

--shared-memory hands the pixels over in memory instead of in the message; the server must be on this machine.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from contextlib import ExitStack, closing
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

try:
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException, shared_memory
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f'Triton\'s client cannot be imported: {error}\n  pip install "live-sr[triton]"')

INPUT, OUTPUT = "frame", "picture"
Pixels = npt.NDArray[np.uint8]


def send(client: triton.InferenceServerClient, model: str, frame: Pixels) -> Pixels:
    """BGRA, (H, W, 4), enlarged; the pixels are part of the messages."""
    sent = triton.InferInput(INPUT, [1, *frame.shape], "UINT8")
    sent.set_data_from_numpy(frame[None])
    answer = client.infer(model, [sent], outputs=[triton.InferRequestedOutput(OUTPUT)])
    return cast(Pixels, answer.as_numpy(OUTPUT)[0])


class SharedPictures:
    """A frame and its picture in memory that the server reads and writes, for one size and scale.

    `send` returns a view of that memory, which the next call overwrites.
    """

    def __init__(self, client: triton.InferenceServerClient, shape: tuple[int, ...], scale: int) -> None:
        self._client = client
        self._shape = shape
        self._large = (shape[0] * scale, shape[1] * scale, 4)
        self._closing = ExitStack()
        self._regions: dict[str, Any] = {}
        for part, sides in ((INPUT, self._shape), (OUTPUT, self._large)):
            name, size = f"live-sr-{part}-{uuid.uuid4().hex}", int(np.prod(sides))
            region = shared_memory.create_shared_memory_region(name, f"/{name}", size)
            self._closing.callback(shared_memory.destroy_shared_memory_region, region)
            client.register_system_shared_memory(name, f"/{name}", size)
            self._closing.callback(client.unregister_system_shared_memory, name)
            self._regions[part] = (name, size, region)

    def send(self, model: str, frame: Pixels) -> Pixels:
        name, size, region = self._regions[INPUT]
        shared_memory.set_shared_memory_region(region, [frame])
        sent = triton.InferInput(INPUT, [1, *self._shape], "UINT8")
        sent.set_shared_memory(name, size)
        name, size, region = self._regions[OUTPUT]
        wanted = triton.InferRequestedOutput(OUTPUT)
        wanted.set_shared_memory(name, size)
        self._client.infer(model, [sent], outputs=[wanted])
        return cast(Pixels, shared_memory.get_contents_as_numpy(region, np.uint8, list(self._large)))

    def close(self) -> None:
        self._closing.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small")
    parser.add_argument("large")
    parser.add_argument("--model", default="fast-x2")
    parser.add_argument("--server", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--shared-memory", action="store_true")
    a = parser.parse_args()
    scale = a.model.removesuffix("-onnx").rpartition("-x")[2]
    if a.shared_memory and not scale.isdecimal():
        parser.error(f"--shared-memory must know the scale, and {a.model} does not end in one, such as -x2")
    picture = cv2.imread(a.small, cv2.IMREAD_COLOR)
    if picture is None:
        print(f"triton_client: {a.small} cannot be read", file=sys.stderr)
        return 1
    frame = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), np.uint8)
    try:
        with closing(triton.InferenceServerClient(a.server, network_timeout=600.0)) as client:
            if a.shared_memory:
                with closing(SharedPictures(client, frame.shape, int(scale))) as pictures:
                    large = pictures.send(a.model, frame).copy()
            else:
                large = send(client, a.model, frame)
    except (InferenceServerException, OSError) as error:
        print(f"triton_client: {a.server} has not enlarged it: {error}", file=sys.stderr)
        return 1
    try:
        written = cv2.imwrite(a.large, large[..., :3])
    except cv2.error:  # it knows no such format
        written = False
    if not written:
        print(f"triton_client: {a.large} cannot be written; a name like large.png can", file=sys.stderr)
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
