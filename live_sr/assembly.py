"""From names and settings to parts: the one place where the tables of backends meet the leaves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from live_sr import backends, chaining
from live_sr.backends import Backend, Choice
from live_sr.chaining import Parts
from live_sr.config import Config
from live_sr.contracts import Engine, Resize, Watch
from live_sr.errors import MissingPart, ModelError, UsageError, did_you_mean

if TYPE_CHECKING:
    from live_sr.models.card import ModelCard

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "fsr")
FILTER_SCALES = (2, 3, 4)
LONG_BUILDS = ("tensorrt", "rtx")
ON_CARDS = (*LONG_BUILDS, "cuda")


@dataclass(frozen=True)
class EngineOptions:
    """How engines are chosen and built; `cache` is the folder for what they compile."""

    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache: Path | None = None
    queue: int = 0


def engine_options(settings: Config) -> EngineOptions:
    engine = settings.engine
    cache = Path(engine.cache) if engine.cache else backends.cache_folder()
    return EngineOptions(engine.backend, engine.precision, engine.threads, cache, engine.queue)


def models() -> list[str]:
    """Names in the order in which the hotkey goes through them: networks first, the user's own last, then filters."""
    from live_sr.models import zoo

    networks = zoo.names(user=backends.models_folder())
    return [*(name for name in networks if name not in FILTERS), *FILTERS]


def scales(model: str) -> tuple[int, ...]:
    """The scales a model has, ascending. Raises ModelError for an unknown one."""
    if model in FILTERS:
        return FILTER_SCALES
    if chaining.is_chain(model):
        return chains().scales(model)
    reader = backends.reader(model)
    if reader is not None:
        return (_published(reader, model).scale,)
    from live_sr.models import zoo

    if not model.lower().endswith(".onnx") and model not in models():
        known = ", ".join(models())
        raise ModelError(f'there is no model called "{model}".{did_you_mean(model, models())}', f"one of {known}")
    return zoo.scales(model, user=backends.models_folder())


def check_model(model: str, scale: int | None) -> None:
    """That a model can be had in that scale (None: any). Raises ModelError for an unknown or broken one."""
    if scale is not None and model in FILTERS and scale in FILTER_SCALES:
        return
    known = scales(model)
    card = about(model, known[0] if scale is None else scale)
    if card is not None and chaining.reader(model) is None:  # a published one has been read to know its scale
        from live_sr.models import zoo

        zoo.verify(card)


def about(model: str, scale: int) -> ModelCard | None:
    """What is known of a network in that scale; None for a filter. Raises ModelError or MissingPart.

    Of a file without a card that is little; of a published network what its library tells. Parameters and multiply-adds
    of 0 are not known.
    """
    if model in FILTERS:
        return None
    if chaining.is_chain(model):
        return chains().card(model, scale)
    reader = backends.reader(model)
    if reader is not None:
        card = _published(reader, model)
        if card.scale != scale:
            raise ModelError(f"{model} makes pictures x{card.scale}, not x{scale}", f"use scale {card.scale}")
        return card
    from live_sr.models import zoo

    scales(model)  # tells an unknown name better than the zoo, which knows no filters
    return zoo.find(model, scale, user=backends.models_folder())


def chains() -> Parts:
    """Models one after the other: "restore+fast"."""
    return Parts(scales, about, FILTERS)


def _published(reader: Backend, model: str) -> ModelCard:
    """The card of the published network in that file. Raises ModelError or MissingPart."""
    path = Path(model).expanduser()
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "correct the path")
    obstacle = reader.obstacle()
    if obstacle:
        raise MissingPart(f"{path.name} cannot be read: {obstacle}", reader.get)
    return _read(reader, path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)  # it builds the network, and is asked for a model's scales again and again
def _read(reader: Backend, path: Path, changed_ns: int) -> ModelCard:
    return cast("ModelCard", reader.load().read(path))


def engine_choice(options: EngineOptions) -> tuple[Backend, Choice]:
    """What runs networks here; a choice of "filters" means that none can."""
    return backends.choose("engine", backends.ENGINES, options.backend)


def make_engine(model: str, scale: int, options: EngineOptions, watch: Watch | None = None) -> Engine:
    """An engine for a network or filter, not yet warmed up. Raises ModelError, EngineError or MissingPart.

    A published network runs in the one engine that reads its kind of file, whichever is asked for. `watch` follows a
    long build in the engine's `warm_up`.
    """
    backend, choice = engine_choice(options)
    card = about(model, scale)
    if card is None:
        return plain_engine(model, scale)
    reader = chaining.reader(model)
    if reader is None:
        backend = _with_weights(backend, card, options)
    if backend.name == "filters" and (reader is None or options.backend == "filters"):
        raise UsageError(f"{model} is a network, and no engine for networks is in use\n{choice}", f"one of {FILTERS}")
    return _engine(reader or backend, card, options, watch)


def quick_engine(options: EngineOptions) -> Callable[[str, int], Engine] | None:
    """Where the chosen engine builds long: what makes one for the same network that does not. None: nothing does."""
    backend, _ = engine_choice(options)
    cuda = next(b for b in backends.ENGINES if b.name == "cuda")
    if backend.name not in LONG_BUILDS or cuda.obstacle():
        return None

    def make(model: str, scale: int) -> Engine:
        card = about(model, scale)
        if card is None or chaining.reader(model) is not None:
            return make_engine(model, scale, options)
        quick = cuda.load()(card, precision=options.precision, queue=options.queue, quick=True)
        return cast(Engine, quick)

    return make


def spare_engine(options: EngineOptions) -> Callable[[str, int], Engine] | None:
    """What runs networks on the processor, where an engine on a card was chosen by itself. None: nothing does."""
    backend, _ = engine_choice(options)
    spare = next((b for b in backends.ENGINES if b.name not in ON_CARDS and b.name != "filters"), None)
    if backend.name not in ON_CARDS or options.backend != "auto" or spare is None or spare.obstacle():
        return None
    return partial(make_engine, options=replace(options, backend=spare.name, precision="auto"))


def builds_long(options: EngineOptions) -> bool:
    """Whether the chosen engine takes seconds or more to be built for a new size of the window."""
    return engine_choice(options)[0].name in ON_CARDS


def _with_weights(backend: Backend, card: ModelCard, options: EngineOptions) -> Backend:
    """That engine, or the next best one that can read this model: some want PyTorch's weights, not every model has."""

    def reads(one: Backend) -> bool:
        return not one.weights or card.onnx.with_suffix(one.weights).is_file()

    if reads(backend):
        return backend
    if options.backend != "auto":
        raise ModelError(
            f"{backend.name} needs the weights of {card.label} as a {backend.weights} file beside {card.onnx}",
            "put it there, or use another engine",
        )
    rest = backends.ENGINES[backends.ENGINES.index(backend) :]
    return next(b for b in rest if reads(b) and not b.obstacle())


def _engine(backend: Backend, card: ModelCard, options: EngineOptions, watch: Watch | None) -> Engine:
    wishes = {"precision": options.precision, "threads": options.threads, "cache": options.cache}
    if backend.name in ON_CARDS:
        wishes |= {"queue": options.queue, "watch": watch or Watch()}
    return cast(Engine, backend.load()(card, **wishes))


def plain_engine(name: str, scale: int) -> Engine:
    """A filter: ready at once."""
    return cast(Engine, _filters().load()(name, scale))


def resizer(name: str) -> Resize:
    """A function that resizes pictures with a filter of that name, or "auto" for the best of them in each direction."""
    from live_sr.engine import filters

    return filters.resizer(name)


def _filters() -> Backend:
    return next(b for b in backends.ENGINES if b.name == "filters")
