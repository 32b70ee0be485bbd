"""`live-sr pairs engines --out DIR`: draws with every game engine of this machine, and lists what to train on.

Pairs go to DIR/train/ENGINE. Those of engines that networks are only tested on go to DIR/test/ENGINE, and never into
the list, DIR/train.toml, which `live-sr train --data` reads. What is drawn already is not drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from live_sr.errors import LiveSRError, MissingPart, UsageError
from live_sr.system import atomic_file, toml
from live_sr.system.termination import end_as_with_ctrl_c
from live_sr.terminal import print_result
from live_sr.training.pairs import renderers
from live_sr.training.pairs.command import PairMaker, check_platform
from live_sr.training.pairs.options import EngineInput, MixtureOptions
from live_sr.training.pairs.pair_folder import PairFolder, PairOrigin
from live_sr.training.pairs.renderers.game_engine import GameEngine

TRAIN_LIST = "train.toml"
KNOWN = {"doom": 3.0, "openarena": 3.0, "supertux": 3.0}  # must not get worse, and did where they weighed as others do
HEAD = """\
# What to train on: live-sr train --data {name}
# `weight` is how often a patch comes from a source, relative to the others. `live-sr pairs engines --out` adds new
# folders of train/ and keeps the weights that stand here.
"""


def run(options: MixtureOptions) -> int:
    """Draws, and writes the list. The exit code: 1 if the engines have no pairs, old or new. Raises LiveSRError."""
    check_platform()
    engines = [renderers.find_engine(name) for name in options.engines] or renderers.list_engines()
    train_list = options.out / TRAIN_LIST
    weights = read_weights(train_list)
    places = 0
    with end_as_with_ctrl_c():
        for engine in engines:
            try:
                places += _draw(engine, options)
            except MissingPart as error:
                print_result(f"{engine.name}: not drawn, {error.message} ({error.remedy})")
            except LiveSRError as error:
                print_result(f"{engine.name}: {error.message}")
    sources = find_sources(options.out / "train")
    if sources:
        atomic_file.write(train_list, format_sources(sources, weights).encode())
        print_result(f"{train_list}: {sum(sources.values())} pairs of {len(sources)} sources")
    return 0 if places else 1


def _draw(engine: GameEngine, options: MixtureOptions) -> int:
    """Draws the scenes that are missing and prints what came of it; the number of all scenes. Raises LiveSRError."""
    folder = options.out / engine.use / engine.name
    with PairFolder(folder, options.format) as pairs:
        maker = PairMaker(pairs, PairOrigin(engine.name, engine.licence), options.seed)
        maker.make(EngineInput(engine.name, (), options.sizes, options.most, missing_only=True))
    for note in pairs.left_out:
        print_result(f"{engine.name}: left out: {note}")
    print_result(f"{engine.name}: {pairs.written} pairs written to {folder}, {len(pairs.places)} places in all")
    return len(pairs.places)


def find_sources(folder: Path) -> dict[str, int]:
    """How many pairs each subfolder holds, without engines that are only tested on, wherever they lie."""
    tested = {engine.name for engine in renderers.list_engines() if engine.use == "test"}
    found = {path.parent.name: sum(1 for _ in path.iterdir()) for path in sorted(folder.glob("*/lr"))}
    return {name: count for name, count in found.items() if count and name not in tested}


def format_sources(sources: Iterable[str], weights: Mapping[str, float]) -> str:
    """TOML as `live_sr.training.dataset.read_sources` takes it."""
    tables = [HEAD.format(name=TRAIN_LIST)]
    for name in sources:
        weight = weights.get(name, KNOWN.get(name, 1.0))
        folder = json.dumps(f"train/{name}")
        tables.append(f"[[source]]\nname = {json.dumps(name)}\npairs = [{folder}]\nweight = {weight}\n")
    return "\n".join(tables)


def read_weights(path: Path) -> dict[str, float]:
    """The weight of each source of an earlier list; none where there is no list. Raises UsageError."""
    if not path.exists():
        return {}
    try:
        entries: Sequence[Mapping[str, object]] = toml.read(path)["source"]
        return {str(entry["name"]): float(str(entry.get("weight", 1.0))) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no list of sources: {error}", "mend it, or move it away") from None
