"""The process that builds an engine for `build_process`: it reports progress, lowers its priority, and ends with its
parent.

    if __name__ == "__main__":
        sys.exit(build_worker.run_worker(Spec, make))

It reads the request from standard input, which stays open as long as the parent waits for the engine. On standard
output it writes lines of JSON:

    ["stage", words]               what it is doing now
    ["engine", length]             followed by that many bytes, then the end
    ["failed", message, remedy]    instead of an engine, then the end
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TypeVar

from live_sr.errors import LiveSRError
from live_sr.system import child_process
from live_sr.terminal import set_up_streams

Spec = TypeVar("Spec")
ReportStage = Callable[[str], None]
"""Is called with what is being done now, in a few words: "optimising"."""

NICENESS = 10  # a game runs at the same time


def run_worker(spec: Callable[..., Spec], make: Callable[[Spec, ReportStage], bytes]) -> int:
    """Builds what the parent requests with `make`, and returns the exit code.

    spec: the dataclass that the parent gave to `find_or_build`, created here from its fields (tuples arrive as lists).
    Whatever else is printed, also by a library, goes to standard error.
    """
    with os.fdopen(os.dup(1), "wb") as out:  # processes that `make` starts do not inherit this copy
        os.dup2(2, 1)
        set_up_streams()
        request = json.loads(child_process.read_request())
        child_process.end_with_parent()
        child_process.lower_priority(NICENESS)

        def send(*message: str | int) -> None:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()

        try:
            engine = make(spec(**request), lambda words: send("stage", words))
        except LiveSRError as error:
            send("failed", error.message, error.remedy)
            return error.exit_code
        send("engine", len(engine))
        out.write(engine)
    return 0
