"""Keeps what a training or an evaluation measured in MLflow: in a folder, or on a server of the user's.

MLflow would report its use to its makers. That is switched off before it is imported, whatever the environment says.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from live_sr.errors import LiveSRError, MissingPart, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

EXPERIMENT = "live-sr"
INSTALL = 'pip install "live-sr[track]"'
NOTHING_SENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
DEFAULTS = {
    # a server that is gone holds up a training for seconds, and not for the minutes that MLflow would try again
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
MAX_VALUE = 500  # characters of a parameter
MAX_WORD = 80  # characters of a part of a key, the end of it; MLflow allows 250 in a key
NOT_IN_KEYS = re.compile(r"[^\w\-. ]", re.ASCII)

RgbImage = npt.NDArray[np.uint8]
"""RGB, shape (height, width, 3), uint8."""


class TrackedRun:
    """One run in MLflow, which ends with the `with` block.

    What fails after the beginning is reported once, and then no more is kept: no training ends because a server does.
    """

    def __init__(self, client: MlflowClient, run_id: str, address: str) -> None:
        self._client = client
        self.id = run_id
        self.address = address
        self._failed = False

    @classmethod
    def begin(cls, where: str, name: str, parameters: Mapping[str, object], continued: str = "") -> TrackedRun:
        """Begins a run, or goes on with the one whose id is `continued`, if it is there.

        where: a folder, or an address that MLflow knows, such as http://127.0.0.1:5000. Raises MissingPart without
        MLflow, LiveSRError if it cannot be used.
        """
        mlflow = import_mlflow()
        address, artifacts = _find_store(where)
        try:
            client = mlflow.MlflowClient(tracking_uri=address)
            run_id = _find_run(client, continued) or _create_run(client, name, artifacts, parameters)
        except Exception as error:  # MLflow's own, those of its database, and those of the network
            what = f"nothing can be tracked at {where}: {_summarise(error)}"
            remedy = "name a folder, or the address of a running MLflow server, with --track-to"
            raise LiveSRError(what, remedy) from None
        return cls(client, run_id, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        status = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._try(lambda: self._client.set_terminated(self.id, status=status))

    def log_metrics(self, figures: Mapping[str, float], step: int = 0) -> None:
        """Figures that are not finite are left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items() if math.isfinite(value)]
        self._try(lambda: self._client.log_batch(self.id, metrics=metrics))

    def log_picture(self, name: str, picture: RgbImage, step: int = 0) -> None:
        self._try(lambda: self._client.log_image(self.id, picture, key=name, step=step))

    def log_file(self, path: Path, folder: str = "") -> None:
        self._try(lambda: self._client.log_artifact(self.id, str(path), folder or None))

    def log_table(self, file: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows with the same columns, as a .json file that MLflow shows as a table."""
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        self._try(lambda: self._client.log_table(self.id, columns, file))

    def _try(self, work: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # as in `begin`
            self._failed = True
            log.warning("nothing more is tracked at %s: %s", self.address, _summarise(error))


def import_mlflow() -> ModuleType:
    """MLflow, with its reports switched off. Raises MissingPart."""
    if importlib.util.find_spec("mlflow") is None:
        raise MissingPart("--track needs MLflow, which is not installed", INSTALL)
    os.environ.update(NOTHING_SENT)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except (ImportError, OSError) as error:
        raise MissingPart(f"--track needs MLflow, which does not import: {error}", INSTALL) from None
    assert isinstance(mlflow, ModuleType)
    return mlflow


def make_key(*words: str) -> str:
    """The name of a metric, in levels; MLflow allows few characters in it."""
    return "/".join(NOT_IN_KEYS.sub("_", word[-MAX_WORD:]).strip(" .") or "_" for word in words)


def describe_viewing(address: str) -> str:
    """How to look at what was kept at an address."""
    if address.startswith(("http://", "https://")):
        return address
    return f"MLFLOW_DISABLE_TELEMETRY=true mlflow ui --backend-store-uri {shlex.quote(address)}"


def _find_store(where: str) -> tuple[str, str | None]:
    """MLflow's address, and where a new experiment keeps its files; None: where the server does."""
    if "://" in where:
        return where, None
    folder = Path(where).expanduser().absolute()
    if not set("%?").isdisjoint(str(folder)):  # it would be another folder, or none
        what = f"MLflow cannot keep its database in {folder}: % and ? mean something else in the address of a database"
        raise LiveSRError(what, "name another folder with --track-to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiveSRError(f"{folder} cannot be made: {error.strerror}", "name another folder with --track-to") from None
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "files").as_uri()


def _create_run(client: MlflowClient, name: str, artifacts: str | None, parameters: Mapping[str, object]) -> str:
    from mlflow.entities import Param

    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
    run_id: str = client.create_run(number, run_name=name).info.run_id
    params = [Param(key, str(value)[:MAX_VALUE]) for key, value in parameters.items()]
    client.log_batch(run_id, params=params)
    return run_id


def _find_run(client: MlflowClient, run_id: str) -> str:
    """The id if there is such a run, which then runs again; else an empty string."""
    if not run_id:
        return ""
    try:
        client.update_run(run_id, status="RUNNING")
    except Exception:  # it was deleted, or is in another store
        log.debug("run %s is not continued", run_id, exc_info=True)
        return ""
    return run_id


def _summarise(error: Exception) -> str:
    return (str(error).strip() or reason(error)).splitlines()[0][:300]
