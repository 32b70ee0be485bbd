"""A stand-in for MLflow, which is too large to be installed for every run of the tests.

It checks each call against the signatures of MLflow 3.17.2, which `test_tracking.py` compares with the real ones where
MLflow is installed, and keeps what it was given.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

SIGNATURES = {
    "create_experiment": "(self, name, artifact_location=None, tags=None)",
    "create_run": "(self, experiment_id, start_time=None, tags=None, run_name=None)",
    "get_experiment_by_name": "(self, name)",
    "log_artifact": "(self, run_id, local_path, artifact_path=None)",
    "log_batch": "(self, run_id, metrics=(), params=(), tags=(), synchronous=None)",
    "log_image": "(self, run_id, image, artifact_file=None, key=None, step=None, timestamp=None, synchronous=None)",
    "log_table": "(self, run_id, data, artifact_file)",
    "set_terminated": "(self, run_id, status=None, end_time=None)",
    "update_run": "(self, run_id, status=None, name=None)",
}
ENTITIES = {"Metric": "(self, key, value, timestamp, step)", "Param": "(self, key, value)"}
"""The parameters of the methods of MlflowClient, and of two entities, that live-sr uses."""


@dataclass
class FakeRun:
    name: str
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)  # by name, then by step
    pictures: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, dict[str, list[object]]] = field(default_factory=dict)


@dataclass
class FakeStore:
    """What was tracked. broken: methods that fail. environment: what it was when MLflow was imported."""

    address: str = ""
    artifacts: str | None = None
    runs: dict[str, FakeRun] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    @property
    def run(self) -> FakeRun:
        """The only one."""
        (run,) = self.runs.values()
        return run


class FakeClient:
    def __init__(self, store: FakeStore, tracking_uri: str) -> None:
        self._store = store
        store.address = tracking_uri

    def __getattr__(self, name: str) -> Any:
        signature = parse_signature(SIGNATURES[name])

        def call(*args: object, **kwargs: object) -> object:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            given = SimpleNamespace(**bound.arguments)
            self._store.calls.append(name)
            if name in self._store.broken:
                raise ConnectionError(f"{name} reached nobody\nand more lines")
            return getattr(Answers, name)(self._store, given)

        return call


class Answers:
    """What each method does."""

    @staticmethod
    def get_experiment_by_name(store: FakeStore, given: Any) -> object:
        return SimpleNamespace(experiment_id="7") if store.runs else None

    @staticmethod
    def create_experiment(store: FakeStore, given: Any) -> str:
        store.artifacts = given.artifact_location
        return "7"

    @staticmethod
    def create_run(store: FakeStore, given: Any) -> object:
        assert given.experiment_id == "7"
        run_id = f"run{len(store.runs)}"
        store.runs[run_id] = FakeRun(given.run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    @staticmethod
    def update_run(store: FakeStore, given: Any) -> None:
        store.runs[given.run_id].status = given.status

    @staticmethod
    def set_terminated(store: FakeStore, given: Any) -> None:
        store.runs[given.run_id].status = given.status

    @staticmethod
    def log_batch(store: FakeStore, given: Any) -> None:
        run = store.runs[given.run_id]
        for param in given.params:
            assert run.params.setdefault(param.key, param.value) == param.value, "MLflow refuses another value"
        for metric in given.metrics:
            assert set(metric.key) <= ALLOWED, f"MLflow refuses the name {metric.key}"
            run.metrics.setdefault(metric.key, {})[metric.step] = metric.value

    @staticmethod
    def log_image(store: FakeStore, given: Any) -> None:
        assert set(given.key) <= ALLOWED - {":"}, f"MLflow refuses the name {given.key}"
        assert given.image.dtype == np.uint8 and given.image.shape[2] == 3
        store.runs[given.run_id].pictures[given.key, given.step] = given.image

    @staticmethod
    def log_artifact(store: FakeStore, given: Any) -> None:
        path = Path(given.local_path)
        store.runs[given.run_id].files["/".join(filter(None, (given.artifact_path, path.name)))] = path.read_bytes()

    @staticmethod
    def log_table(store: FakeStore, given: Any) -> None:
        assert len({len(column) for column in given.data.values()}) == 1
        store.runs[given.run_id].tables[given.artifact_file] = given.data


ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. :/")
"""The characters of a metric's name."""


def parse_signature(text: str) -> inspect.Signature:
    names: dict[str, Any] = {}
    exec(f"def function{text}: ...", names)
    return inspect.signature(names["function"])


def make_entity(text: str) -> Callable[..., object]:
    signature = parse_signature(text)
    return lambda *args, **kwargs: SimpleNamespace(**signature.bind(None, *args, **kwargs).arguments)


class _FakeMlflow(ModuleType):
    """Takes the environment at the first use, which follows the import at once."""

    store: FakeStore

    @property
    def MlflowClient(self) -> Any:  # noqa: N802  # MLflow's name
        self.store.environment = dict(os.environ)
        return lambda tracking_uri: FakeClient(self.store, tracking_uri)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    """Puts the stand-in where MLflow would be imported from."""
    module, entities = _FakeMlflow("mlflow"), ModuleType("mlflow.entities")
    module.store = FakeStore()
    for name, text in ENTITIES.items():
        setattr(entities, name, make_entity(text))
    for one in (module, entities):
        one.__spec__ = ModuleSpec(one.__name__, None)
        monkeypatch.setitem(sys.modules, one.__name__, one)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "false")  # which the user may have, and which does not help MLflow
    return module.store
