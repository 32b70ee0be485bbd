"""Where the pointer of a small game belongs on the enlarged picture, and the other way round. Pure functions.

Both rectangles are of the desktop, in physical pixels. A point has parts of pixels: 10.0 is the left edge of pixel 10,
10.5 its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect

Point = tuple[float, float]
FAR = 1 << 12  # pixels that an open side is wider, so that the pointer does not stop there


@dataclass(frozen=True)
class PictureMapping:
    """The game's window, the enlarged picture of it, and the monitor that the overlay covers.

    `windows`: the game's, and those of its dialogs in the picture.
    """

    windows: tuple[int, ...]
    game: Rect
    picture: Rect
    monitor: Rect

    @property
    def scale(self) -> float:
        """How much larger the picture is, across."""
        return self.picture.width / self.game.width

    def to_picture(self, x: float, y: float) -> Point:
        """The point of the picture that shows this point of the game."""
        return _carry_over(x, y, self.game, self.picture)

    def to_game(self, x: float, y: float) -> tuple[int, int]:
        """The game's pixel that is shown at this point of the desktop; beside the picture, the nearest one."""
        return clamp_to_pixel(*_carry_over(x, y, self.picture, self.game), self.game)


def _carry_over(x: float, y: float, source: Rect, target: Rect) -> Point:
    return (
        target.x + (x - source.x) * target.width / source.width,
        target.y + (y - source.y) * target.height / source.height,
    )


def contains(rect: Rect, x: float, y: float) -> bool:
    return rect.x <= x < rect.x + rect.width and rect.y <= y < rect.y + rect.height


def clamp_to_pixel(x: float, y: float, rect: Rect) -> tuple[int, int]:
    """The pixel of the rectangle that is nearest to a point."""
    return (
        min(max(floor(x), rect.x), rect.x + rect.width - 1),
        min(max(floor(y), rect.y), rect.y + rect.height - 1),
    )


def compute_area(mapping: PictureMapping, monitors: Sequence[Monitor], let_go: bool) -> Rect:
    """Where the pointer may be: on the game, and, with `let_go`, beyond each side behind which there is a monitor."""
    game, around = mapping.game, mapping.monitor
    left, top, right, bottom = game.x, game.y, game.x + game.width, game.y + game.height
    for other in (monitor.rect for monitor in monitors) if let_go else ():
        beside = other.y < around.y + around.height and around.y < other.y + other.height
        stacked = other.x < around.x + around.width and around.x < other.x + other.width
        if beside and other.x + other.width <= around.x:
            left = game.x - FAR
        if beside and other.x >= around.x + around.width:
            right = game.x + game.width + FAR
        if stacked and other.y + other.height <= around.y:
            top = game.y - FAR
        if stacked and other.y >= around.y + around.height:
            bottom = game.y + game.height + FAR
    return Rect(left, top, right - left, bottom - top)


def find_exit(x: float, y: float, mapping: PictureMapping, monitors: Sequence[Monitor]) -> tuple[int, int] | None:
    """The pixel on another monitor that a pointer reaches which left the game at this point; None if there is none.

    The black bars beside the picture are skipped: the pointer crosses them at once.
    """
    game, around = mapping.game, mapping.monitor
    at_x, at_y = mapping.to_picture(*clamp_to_pixel(x, y, game))
    if x < game.x:
        at_x = around.x - 1
    elif x >= game.x + game.width:
        at_x = around.x + around.width
    elif y < game.y:
        at_y = around.y - 1
    elif y >= game.y + game.height:
        at_y = around.y + around.height
    else:
        return None
    reached = any(contains(monitor.rect, at_x, at_y) for monitor in monitors)
    return (floor(at_x), floor(at_y)) if reached else None
