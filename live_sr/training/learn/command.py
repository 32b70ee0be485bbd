"""`live-sr learn`: takes pairs of a paused game, trains a network on them, and keeps it if it is better.

The player is asked for the pairs only; everything else happens by itself. Pairs stay for the next time; a network stays
only if it is measurably better on places that it was not trained with.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from live_sr.desktop import window_picker
from live_sr.desktop.open import open_desktop
from live_sr.errors import LiveSRError, SourceClosed, UsageError
from live_sr.imaging.picture_file import is_picture
from live_sr.models import user_folder, zoo
from live_sr.models.card import ModelCard
from live_sr.system import paths
from live_sr.system.termination import end_as_with_ctrl_c
from live_sr.terminal import format_duration, print_result
from live_sr.training.learn import training_process
from live_sr.training.learn.figures import LearnedFigures, TrainRequest
from live_sr.training.learn.options import LearnOptions
from live_sr.training.pairs import paused_session
from live_sr.training.pairs.options import PairsOptions, PausedInput
from live_sr.training.pairs.pair_folder import get_place
from live_sr.training.pairs.paused_session import Ask, Ending, make_stem

FEWEST_PAIRS, FEWEST_PLACES = 10, 3  # one place in three measures the network
LARGEST_SCALE = 4  # of the window that pairs are captured in, where the screen has room
MADE_BY = "made by `live-sr learn`"  # in the notes of a card: such a network may be replaced by the next one
TRAIN_WORD = "t"
BEGIN = f"{TRAIN_WORD} and Enter begins the training"
NO_ROOM = ("", "choose another --out")  # the remedies of errors that know nothing of this command


@dataclass(frozen=True)
class KnownGame:
    """What is learned: `match` for a profile (empty: its title is not known), `name` of the model, the folder of pairs,
    and what they are, for the model's card."""

    match: str
    name: str
    pairs: Path
    origin: str


@dataclass(frozen=True)
class OwnModels:
    """The models that the user has added. check_name raises UsageError for a name that none of them can have; add
    tries the model of a file and keeps it, in place of one of the same name if `replace` is on. Both raise LiveSRError.
    """

    check_name: Callable[[str], None]
    add: Callable[[Path, bool], object]


def run(options: LearnOptions, models: OwnModels, config: Path | None, ask: Ask = input) -> int:
    """The exit code: 0 with a network that is kept, 1 with one that is not better. Raises LiveSRError.

    config: the settings file that is read, or None: lines for it are printed.
    """
    with end_as_with_ctrl_c():
        game = _take_pairs(options, models, ask) if options.captures else _find_pairs(options)
        earlier = _find_earlier(game.name, options.scale, models)
        game = replace(game, name=earlier.name) if earlier else game  # as that is spelt
        _check_pairs(game)
        with tempfile.TemporaryDirectory(prefix="live-sr-learn-") as scratch:
            figures = _train(game, options, earlier, Path(scratch))
            print_result(_describe(figures, game, options.model))
            if figures.defect:
                print_result(f"not kept: {figures.defect}. The pairs stay in {game.pairs}: more of them may help")
                return 1
            _keep(Path(figures.onnx), game, options.scale, models)
    print_result(_describe_use(game, options.scale, config))
    return 0


def _take_pairs(options: LearnOptions, models: OwnModels, ask: Ask) -> KnownGame:
    """Pairs of a game that runs, as many as the player wants. Raises LiveSRError, and KeyboardInterrupt."""
    with closing(open_desktop()) as desktop:
        window = paused_session.choose_window(PausedInput(options.window, options.pid), desktop, ask)
        title = window_picker.make_printable(window.title) or window.process
        match = options.window or title
        stem = options.name or make_stem(match) or make_stem(window.process)
        if not stem:
            raise UsageError(f'no name for files can be made of "{match}"', "choose one with --name")
        name, pairs = options.name_model(stem), options.pairs or _choose_folder(stem)
        game = KnownGame(match, name, pairs, f"pairs of {title}, captured paused")
        _find_earlier(name, options.scale, models)  # before the player's work
        scales = tuple(range(LARGEST_SCALE, options.scale - 1, -1))
        target = PairsOptions(game.pairs, title)
        try:
            taken = paused_session.take_pairs(
                desktop, window, scales, target, _end_with_word(ask), _ask_for_pause, make_stem(stem)
            )
        except LiveSRError as error:
            if error.remedy in NO_ROOM:  # a pair could not be written
                error.remedy = "make room there, or choose another --pairs; the pairs that are there stay"
            raise
    if taken.ending is Ending.INTERRUPT:
        print_result(f"interrupted: {_name_pairs(taken.places)} in {game.pairs}; the same command goes on with them")
        raise KeyboardInterrupt
    if taken.ending is Ending.CLOSED:
        if taken.places < FEWEST_PAIRS:
            what = f"{taken.ending}, and {_name_pairs(taken.places)} of it are too few to train with"
            raise SourceClosed(what, f"start it again: the same command goes on, until there are {FEWEST_PAIRS}")
        print_result(taken.ending)
    return game


def _ask_for_pause(pairs: int) -> str:
    if pairs < FEWEST_PAIRS:
        return f"Pair {pairs + 1} of at least {FEWEST_PAIRS}: pause the game and press Enter here (Ctrl-C ends it): "
    return f"{pairs} pairs. Enter takes another one; {BEGIN}: "


def _end_with_word(ask: Ask) -> Callable[[str], str]:
    """Asks, and raises EOFError where the player answers that there are enough pairs."""

    def ask_player(question: str) -> str:
        while (answer := ask(question)).strip().lower() == TRAIN_WORD:
            if BEGIN in question:
                raise EOFError
            print_result("not yet")
        return answer

    return ask_player


def _find_pairs(options: LearnOptions) -> KnownGame:
    """The game whose pairs the folder holds."""
    assert options.pairs is not None
    folder = options.pairs
    stem = options.name or make_stem(folder.resolve().name)
    if not stem:
        raise UsageError(f'no name for a model can be made of "{folder}"', "choose one with --name")
    return KnownGame("", options.name_model(stem), folder, f"the pairs in {folder.resolve().name}")


def _choose_folder(name: str) -> Path:
    data = paths.require_folder(paths.get_data_folder(), "pairs")
    return data / "pairs" / name


def _find_earlier(name: str, scale: int, models: OwnModels) -> ModelCard | None:
    """The network of that name that this command has made before. Raises UsageError where another one has the name."""
    models.check_name(name)
    folder = paths.require_folder(paths.get_models_folder(), "models")
    user_folder.check_folder(folder)
    for card in zoo.read_user_folder(folder).cards:
        if (card.name.lower(), card.scale) == (name.lower(), scale):
            if not card.notes.startswith(MADE_BY):
                what = f"you have a model {card.label} already, which `live-sr learn` has not made"
                raise UsageError(what, "give the new one another name with --name")
            return card
    file = folder / f"{name}-x{scale}.onnx"
    if file.exists():
        raise UsageError(f"there is a model {file} already, whose card cannot be read", "choose another --name")
    return None


def _keep(file: Path, game: KnownGame, scale: int, models: OwnModels) -> None:
    """Adds the network to the user's models. Raises LiveSRError."""
    try:
        models.add(file, _find_earlier(game.name, scale, models) is not None)
    except (LiveSRError, KeyboardInterrupt):
        print_result(f"the network could not be kept; the pairs stay in {game.pairs}")
        raise


def _check_pairs(game: KnownGame) -> None:
    """Raises UsageError where there are too few."""
    small = game.pairs / "lr"
    try:
        files = [path for path in small.iterdir() if is_picture(path)] if small.is_dir() else []
    except OSError as error:
        raise UsageError(f"{small} cannot be read: {error.strerror}", "give a folder that is yours") from None
    places = {get_place(path.stem) for path in files}
    remedy = "take more with `live-sr learn --window GAME`: it goes on with those that are there"
    if len(files) < FEWEST_PAIRS:
        what = f"{game.pairs} holds {_name_pairs(len(files))}, too few to train with: {FEWEST_PAIRS} are needed"
        raise UsageError(what, remedy)
    if len(places) < FEWEST_PLACES:
        what = f"{game.pairs} holds pairs of {len(places)} places, and {FEWEST_PLACES} are needed, one to measure with"
        raise UsageError(what, remedy)


def _train(game: KnownGame, options: LearnOptions, earlier: ModelCard | None, scratch: Path) -> LearnedFigures:
    """Raises LiveSRError; then the pairs are still there, and nothing else is."""
    idle = "in the time that no other program wants: you can play meanwhile, or have it sooner with --priority normal"
    how = f", {idle}" if options.priority == "idle" else ""
    print_result(f"training begins{how} (Ctrl-C ends it)")
    weights = earlier.onnx.with_suffix(".safetensors") if earlier else None
    request = TrainRequest(
        pairs=str(game.pairs),
        out=str(scratch),
        name=game.name,
        model=options.model,
        scale=options.scale,
        steps=options.steps,
        threads=options.threads,
        idle=options.priority == "idle",
        earlier=str(weights) if weights and weights.is_file() else "",
        trained_on=game.origin,
        notes=f"{MADE_BY}, from {options.model}",
    )
    try:
        return training_process.train(request)
    except KeyboardInterrupt:
        print_result(f"interrupted: no network was made; the pairs stay in {game.pairs}")
        raise
    except LiveSRError as error:
        if error.remedy in NO_ROOM:
            room = f"see that {tempfile.gettempdir()} and the memory have room, and try again"
            error.remedy = f"the pairs stay in {game.pairs}: {room}"
        raise


def _describe(figures: LearnedFigures, game: KnownGame, start: str) -> str:
    share = round(100 * figures.processor_s / max(figures.seconds, 1e-9))
    took = f"{format_duration(figures.seconds)}, with {share} % of one core"
    return (
        f"trained with {_name_pairs(figures.trained)} in {took}\n"
        f"PSNR-Y in dB on {_name_pairs(figures.held_out)} of places that it was not trained with:\n"
        f"{figures.format(game.name, start)}"
    )


def _describe_use(game: KnownGame, scale: int, config: Path | None) -> str:
    """How to see it, to have it always, and to be rid of it."""
    file = config or _name_config_file()
    command = f"live-sr models remove {game.name} --scale {scale}"
    return (
        "a live-sr that is running has it, too; one that shows its predecessor keeps that until you choose again\n"
        f"to use it with this game always, add to {file}:\n\n"
        f"[[profile]]\n{_format_match(game)}\n"
        f"[profile.model]\nname = {json.dumps(game.name)}\nscale = {scale}\n\n"
        f"`{command}` deletes it; the pairs in {game.pairs} stay for the next time"
    )


def _format_match(game: KnownGame) -> str:
    if not game.match:
        return 'match = "TITLE"  # a part of the title of its window'
    return f"match = {json.dumps(re.escape(game.match), ensure_ascii=False)}"


def _name_config_file() -> str:
    folder = paths.get_config_folder()
    return "config.toml" if folder is None else str(folder / "config.toml")


def _name_pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"
