"""`live-sr pairs paused`: pairs of a game that stands still, captured small and, in a larger window, large.

The player pauses the game and presses Enter in the terminal, for each pair. A pair is written only if the game itself
has drawn both sizes of one instant; else the reason is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from live_sr.capture.select import select_capture
from live_sr.desktop import window_picker
from live_sr.desktop.open import open_desktop
from live_sr.errors import SourceClosed, SourceLost, UsageError, explain
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.desktop_contracts import Desktop, WindowInfo
from live_sr.pipeline.frame import Rect, Size
from live_sr.system.termination import HeldInterrupt
from live_sr.terminal import print_result
from live_sr.training.pairs.options import PairsOptions, PausedInput
from live_sr.training.pairs.pair_folder import PairFolder, PairOrigin
from live_sr.training.pairs.paused_game import PausedGame, fit_into
from live_sr.training.pairs.render_check import find_defect, has_moved

Ask = Callable[[str], str]
"""Shows its argument and returns a line, as `input` does. Raises EOFError at the end of the input."""


Question = Callable[[int], str]
"""What the player is asked before a pair, by the number of pairs in the folder."""


class Ending(StrEnum):
    """Why no more pairs are taken."""

    INPUT = "the input ended"
    INTERRUPT = "it was interrupted"
    CLOSED = "the game's window was closed"


@dataclass(frozen=True)
class TakenPairs:
    """What came of it. `places`: in the folder, with those that it held before. Each pair is a place of its own."""

    written: int
    refused: int
    places: int
    ending: Ending


def run(source: PausedInput, options: PairsOptions, ask: Ask = input) -> int:
    """Make pairs until the player ends it, and print how many there are. The exit code: 1 if there are none.

    Raises LiveSRError. It also ends, with what it has, when the game's window is closed.
    """
    with closing(open_desktop()) as desktop:
        window = choose_window(source, desktop, ask)
        pairs = take_pairs(desktop, window, (source.scale,), options, ask)
    if pairs.ending is Ending.CLOSED:
        print_result(pairs.ending)
    what = f"{pairs.written} pairs written, {pairs.refused} refused, {pairs.places} places in all"
    print_result(f"{options.out}: {what}")
    if pairs.places < 10:
        print_result("fewer than ten places: `live-sr train` holds out one in ten of them to measure itself with")
    return 0 if pairs.written else 1


def ask_for_pause(_: int) -> str:
    return "Pause the game and press Enter here (Ctrl-C ends it): "


def take_pairs(
    desktop: Desktop,
    window: WindowInfo,
    scales: Sequence[int],
    options: PairsOptions,
    ask: Ask = input,
    question: Question = ask_for_pause,
    stem: str = "",
) -> TakenPairs:
    """Make pairs of the window until the player ends it. Raises LiveSRError.

    scales: how many times larger it becomes, best first: the first with which it fits the screen. stem: how the names
    of the pairs begin; empty: like the game's.
    """
    capture = select_capture("auto", whole_window=True)
    ending = Ending.INPUT
    with HeldInterrupt() as interrupt, PairFolder(options.out, options.format, list(options.never)) as pairs:

        def ask_player(words: str) -> str:
            with interrupt.let_through():
                return ask(words)

        game = PausedGame(desktop, capture, window, interrupt)
        name = options.game or window_picker.make_printable(window.title) or options.out.name
        origin = PairOrigin(name, options.licence)
        stem = stem or make_stem(name) or "game"
        session = PausedSession(game, pairs, origin, stem, scales, ask_player, question)
        try:
            session.run()
        except (KeyboardInterrupt, EOFError) as end:
            ending = Ending.INPUT if isinstance(end, EOFError) else Ending.INTERRUPT
            print_result("")  # the terminal's line, with the question or ^C, ends here
        except SourceClosed:
            ending = Ending.CLOSED
    return TakenPairs(pairs.written, session.refused, len(pairs.places), ending)


def choose_window(source: PausedInput, desktop: Desktop, ask: Ask) -> WindowInfo:
    """The window that is named, or that the player names. Raises WindowNotFound."""
    windows = desktop.list_windows()
    if source.window is None and source.pid is None:
        return window_picker.ask_for_window(windows, ask)
    return window_picker.find_window(windows, source.window or "", source.pid or 0)


class PausedSession:
    """Asks the player to pause the game, takes a pair, and so on. `refused`: how many were no pairs."""

    def __init__(
        self,
        game: PausedGame,
        pairs: PairFolder,
        origin: PairOrigin,
        stem: str,
        scales: Sequence[int],
        ask: Ask,
        question: Question,
    ) -> None:
        self._game = game
        self._pairs = pairs
        self._origin = origin
        self._stem = stem
        self._scales = scales
        self._ask = ask
        self._question = question
        self.refused = 0
        self._last: Picture | None = None  # the small picture of the pair before

    def run(self) -> None:
        """Raises EOFError at the end of the input, KeyboardInterrupt, and SourceClosed."""
        while True:
            self._ask(self._question(len(self._pairs.places)))
            try:
                small, large = self._capture_both()
            except SourceClosed:
                raise
            except (UsageError, SourceLost) as error:
                self.refused += 1
                print_result(f"refused: {explain(error)}")
            else:
                self._write(small, large)

    def _capture_both(self) -> tuple[Picture, Picture]:
        """Raises UsageError where they are not one instant, drawn twice."""
        small = self._game.take_picture()
        if self._last is not None and not has_moved(self._last, small):
            raise UsageError("it is the same picture as before", "play on, and pause somewhere else")
        with self._game.returned_afterwards():
            place = self._game.find_place()
            wanted = self._choose_size(place)
            followed = self._enlarge(place, wanted)
            large = self._find_large(small, wanted)
            if not self._game.resize(place) and not followed:
                self._ask(f"Change it back to {place.size}, return to the same picture, and press Enter here: ")
                self._game.wait_for_size(place.size)
            self._compare_with_now(small)
        return small, large

    def _compare_with_now(self, small: Picture) -> None:
        """Raises UsageError if the game does not show the same again. It may take a while to draw it."""
        error = UsageError("the game's picture does not stand still", "pause the game first")
        for again in self._game.iterate_still_pictures():
            if not has_moved(small, again):
                return
            error = UsageError("the game has moved meanwhile", "pause it, or take a picture in which nothing moves")
            if again.shape != small.shape:
                size = f"{small.shape[1]}x{small.shape[0]}"
                what = f"the window is not {size} again, so nobody knows whether the game has stood still"
                error = UsageError(what, "give it the same size as before")
        raise error

    def _choose_size(self, place: Rect) -> Size:
        """The large size. Raises UsageError if none fits the screen."""
        screen = self._game.find_screen(place)
        for scale in self._scales:
            wanted = place.size.times(scale)
            if wanted.width <= screen.width and wanted.height <= screen.height:
                return wanted
        what = f"{place.size} x{scale} is {wanted}, larger than the screen ({screen.size})"
        raise UsageError(
            what, "make the game's window smaller" + (", or choose a smaller --scale" if scale > 2 else "")
        )

    def _enlarge(self, place: Rect, wanted: Size) -> bool:
        """Returns whether the window follows by itself; if not, the player changes its size."""
        screen = self._game.find_screen(place)
        if self._game.resize(fit_into(screen, wanted, place)):
            return True
        self._game.resize(place)
        print_result(f"the window does not grow to {wanted} when it is asked to")
        self._ask(f"Choose {wanted} in the game's own menu, return to the same picture, and press Enter here: ")
        if not self._game.wait_for_size(wanted):
            raise UsageError(f"the window did not grow to {wanted}: it is {self._game.find_place().size}", "")
        return False

    def _find_large(self, small: Picture, wanted: Size) -> Picture:
        """The first still picture that is what `small` shows, drawn larger: a game may take a while to draw it."""
        defect = "the game's large picture does not stand still"
        for large in self._game.iterate_still_pictures():
            size = Size(large.shape[1], large.shape[0])
            defect = find_defect(small, large) if size == wanted else f"the large picture is {size}, not {wanted}"
            if not defect:
                return large
        raise UsageError(defect, "")

    def _write(self, small: Picture, large: Picture) -> None:
        """Each pair is a place of its own: training holds out one place in ten."""
        stem = self._stem
        taken = (re.fullmatch(rf"{re.escape(stem)}-(\d+)", place) for place in self._pairs.places)
        number = 1 + max((int(found[1]) for found in taken if found), default=0)
        name, before = f"{stem}-{number:03}_00001", len(self._pairs.left_out)
        self._pairs.add(name, small, large, "render", self._origin.game, self._origin)
        notes = self._pairs.left_out[before:]
        self._last = None if notes else small
        self.refused += len(notes)
        sizes = f"{small.shape[1]}x{small.shape[0]} and {large.shape[1]}x{large.shape[0]}"
        print_result(f"refused: {notes[0]}" if notes else f"written: {name}, {sizes}")


def make_stem(game: str) -> str:
    """ "my-game-2" for "My Game 2": without an underscore, which ends the place in a pair's name.

    Empty where the title has no Latin letter and no digit.
    """
    return "-".join(re.findall(r"[a-z0-9]+", game.lower()))[:48].strip("-")
