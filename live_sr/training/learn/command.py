"""`live-sr learn`: takes pairs of a paused game, trains `fast` on them, and keeps the network if it is better.

The player is asked for the pairs only; everything else happens by itself. Pairs stay for the next time; a network stays
only if it is measurably better on places that it was not trained with.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from live_sr.desktop import window_picker
from live_sr.desktop.open import open_desktop
from live_sr.errors import LiveSRError, SourceClosed, UsageError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.system import paths
from live_sr.system.termination import end_as_with_ctrl_c
from live_sr.terminal import format_duration, print_result
from live_sr.training.learn import training_process
from live_sr.training.learn.figures import LearnedFigures, TrainRequest
from live_sr.training.learn.options import START, LearnOptions
from live_sr.training.pairs import paused_session
from live_sr.training.pairs.options import PairsOptions, PausedInput
from live_sr.training.pairs.pair_folder import get_place
from live_sr.training.pairs.paused_session import Ask, Ending

FEWEST_PAIRS = 10
LARGEST_SCALE = 4  # of the window that pairs are captured in, where the screen has room
MADE_BY = "made by `live-sr learn`"  # in the notes of a card: such a network may be replaced by the next one
TRAIN_WORD = "t"


@dataclass(frozen=True)
class KnownGame:
    """What is learned: `title` for people, `match` for a profile, `name` of the model, and the folder of pairs."""

    title: str
    match: str
    name: str
    pairs: Path


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
        _check_pairs(game)
        with tempfile.TemporaryDirectory(prefix="live-sr-learn-") as scratch:
            figures = _train(game, options, earlier, Path(scratch))
            print_result(_describe(figures, game))
            if figures.defect:
                print_result(f"not kept: {figures.defect}. The pairs stay in {game.pairs}: more of them may help")
                return 1
            models.add(Path(figures.onnx), earlier is not None)
    print_result(_describe_use(game, options.scale, config))
    return 0


def _take_pairs(options: LearnOptions, models: OwnModels, ask: Ask) -> KnownGame:
    """Pairs of a game that runs, as many as the player wants. Raises LiveSRError, and KeyboardInterrupt."""
    with closing(open_desktop()) as desktop:
        window = paused_session.choose_window(PausedInput(options.window, options.pid), desktop, ask)
        title = window_picker.make_printable(window.title) or window.process
        match = options.window or title
        name = options.name or paused_session.make_stem(match)
        game = KnownGame(title, match, name, options.pairs or _choose_folder(name))
        _find_earlier(name, options.scale, models)  # before the player's work
        scales = tuple(range(LARGEST_SCALE, options.scale - 1, -1))
        target = PairsOptions(game.pairs, title)
        try:
            taken = paused_session.take_pairs(desktop, window, scales, target, _end_with_word(ask), _ask_for_pause)
        except LiveSRError as error:
            if error.exit_code == LiveSRError.exit_code:  # a pair could not be written
                error.remedy = "make room on that disk: the same command goes on with the pairs that are there"
            raise
    if taken.ending is Ending.INTERRUPT:
        print_result(f"interrupted: {_name_pairs(taken.places)} in {game.pairs}; the same command goes on with them")
        raise KeyboardInterrupt
    if taken.ending is Ending.CLOSED and taken.places < FEWEST_PAIRS:
        what = f"the game's window was closed, and {_name_pairs(taken.places)} of it are too few to train with"
        raise SourceClosed(what, f"start it again: the same command goes on, until there are {FEWEST_PAIRS}")
    return game


def _ask_for_pause(pairs: int) -> str:
    if pairs < FEWEST_PAIRS:
        return f"Pair {pairs + 1} of at least {FEWEST_PAIRS}: pause the game and press Enter here (Ctrl-C ends it): "
    return f"{pairs} pairs. Enter takes another one; {TRAIN_WORD} and Enter begins the training: "


def _end_with_word(ask: Ask) -> Callable[[str], str]:
    """Asks, and raises EOFError where the player answers that there are enough pairs."""

    def ask_player(question: str) -> str:
        answer = ask(question)
        if answer.strip().lower() == TRAIN_WORD:
            raise EOFError
        return answer

    return ask_player


def _find_pairs(options: LearnOptions) -> KnownGame:
    """The game whose pairs the folder holds."""
    assert options.pairs is not None
    folder = options.pairs
    name = options.name or paused_session.make_stem(folder.resolve().name)
    return KnownGame(name, name, name, folder)


def _choose_folder(name: str) -> Path:
    data = paths.require_folder(paths.get_data_folder(), "pairs")
    return data / "pairs" / name


def _find_earlier(name: str, scale: int, models: OwnModels) -> ModelCard | None:
    """The network of that name that this command has made before. Raises UsageError where another one has the name."""
    models.check_name(name)
    for card in zoo.read_user_folder(paths.get_models_folder()).cards:
        if (card.name.lower(), card.scale) == (name.lower(), scale):
            if not card.notes.startswith(MADE_BY):
                what = f"you have a model {card.label} already, which `live-sr learn` has not made"
                raise UsageError(what, "give the new one another name with --name")
            return card
    return None


def _check_pairs(game: KnownGame) -> None:
    """Raises UsageError where there are too few."""
    small = game.pairs / "lr"
    files = [path for path in small.iterdir() if path.suffix != ".part"] if small.is_dir() else []
    places = {get_place(path.stem) for path in files}
    if len(files) < FEWEST_PAIRS or len(places) < 3:
        what = f"{game.pairs} holds {_name_pairs(len(files))}, too few to train with: {FEWEST_PAIRS} are needed"
        raise UsageError(what, "take more with `live-sr learn --window GAME`: it goes on with those that are there")


def _train(game: KnownGame, options: LearnOptions, earlier: ModelCard | None, scratch: Path) -> LearnedFigures:
    """Raises LiveSRError; then the pairs are still there, and nothing else is."""
    how = ", in the time that no other program wants: you can play meanwhile" if options.priority == "idle" else ""
    print_result(f"training begins{how} (Ctrl-C ends it)")
    weights = earlier.onnx.with_suffix(".safetensors") if earlier else None
    request = TrainRequest(
        pairs=str(game.pairs),
        out=str(scratch),
        name=game.name,
        scale=options.scale,
        steps=options.steps,
        threads=options.threads,
        idle=options.priority == "idle",
        earlier=str(weights) if weights and weights.is_file() else "",
        trained_on=f"pairs of {game.title}, captured while it was paused",
        notes=f"{MADE_BY}, from {START}",
    )
    try:
        return training_process.train(request)
    except KeyboardInterrupt:
        print_result(f"interrupted: no network was made; the pairs stay in {game.pairs}")
        raise
    except LiveSRError as error:
        if error.exit_code == LiveSRError.exit_code:  # nothing that the player gave
            error.remedy = f"the pairs stay in {game.pairs}: see that {tempfile.gettempdir()} has room, and try again"
        raise


def _describe(figures: LearnedFigures, game: KnownGame) -> str:
    share = round(100 * figures.processor_s / max(figures.seconds, 1e-9))
    took = f"{format_duration(figures.seconds)}, with {share} % of one core"
    return (
        f"trained with {_name_pairs(figures.trained)} in {took}\n"
        f"PSNR-Y in dB on {_name_pairs(figures.held_out)} of places that it was not trained with:\n"
        f"{figures.format(game.name, START)}"
    )


def _describe_use(game: KnownGame, scale: int, config: Path | None) -> str:
    """How to see it, to have it always, and to be rid of it."""
    file = config or _name_config_file()
    return (
        "a live-sr that is running now has it under the same key\n"
        f"to use it with this game always, add to {file}:\n\n"
        f"[[profile]]\nmatch = {json.dumps(re.escape(game.match), ensure_ascii=False)}\n"
        f"[profile.model]\nname = {json.dumps(game.name)}\nscale = {scale}\n\n"
        f"`live-sr models remove {game.name}` deletes it; the pairs in {game.pairs} stay for the next time"
    )


def _name_config_file() -> str:
    folder = paths.get_config_folder()
    return "config.toml" if folder is None else str(folder / "config.toml")


def _name_pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"
