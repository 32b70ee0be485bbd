"""The processes that train one network together."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together; a single one unless torchrun started them."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> ProcessGroup:
        """Joins the processes that torchrun started, with a GPU each where there are any."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    def agree(self, seconds: float) -> float:
        """The first process's value. All must end after the same step, or they would wait for each other forever."""
        if self.size == 1:
            return seconds
        shared = [seconds]
        torch.distributed.broadcast_object_list(shared)
        return shared[0]

    def wait(self) -> None:
        """Until all processes are here: the first one still measures and saves when the others are done.

        One that ended before it sometimes aborted in torch's threads ("terminate called", torch 2.13 with gloo).
        """
        if self.size > 1:
            torch.distributed.barrier()

    def leave(self) -> None:
        if self.size > 1:
            torch.distributed.destroy_process_group()
