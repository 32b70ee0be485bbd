"""A random walk through a level in ViZDoom, the same at every size.

The status bar is drawn at 320x200 and its multiples: elsewhere its sides have a pattern of a fixed size.

The software renderer samples the corner of a pixel, not its middle. Against a picture four times as large that is one
large pixel to the left, and one to one and a half downwards. So the large picture is moved, all but the bar.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.renderers.child_program import ChildJob

BAR_ROWS = 32 / 200  # of the height
CHEATS = ("god", "give weapons", "give ammo", "notarget")


def main() -> None:
    job = ChildJob.from_arguments()
    rng = random.Random(job.scene)
    has_bar = rng.random() < 0.7 and job.size.width * 200 == job.size.height * 320
    game = start_game(job, has_bar, gamma=rng.choice((1.0, 1.0, 1.2, 1.5)))
    action = [0.0] * 5
    for number, kept in job.iterate_numbers():
        if game.is_episode_finished():
            game.new_episode()
        if kept:
            picture = np.asarray(game.get_state().screen_buffer)
            job.write(number, picture if job.scale == 1 else align(picture, has_bar))
        if number % 12 == 0:
            turn = rng.choice((0, 0, 0, -6, -3, 3, 6))
            action = [rng.random() < 0.8, turn, rng.random() < 0.2, rng.random() < 0.5, rng.random() < 0.1]
        game.make_action(action)
    game.close()


def start_game(job: ChildJob, has_bar: bool, gamma: float) -> Any:
    import vizdoom

    folder = Path(vizdoom.__file__).parent
    game = vizdoom.DoomGame()
    is_level = job.scene.startswith(("map", "e"))
    phase = "freedoom1.wad" if job.scene.startswith("e") else "freedoom2.wad"
    game.set_doom_game_path(str(folder / phase))
    if not is_level:
        game.set_doom_scenario_path(str(folder / "scenarios" / f"{job.scene}.wad"))
    game.set_doom_map(job.scene if is_level else "map01")
    size = f"RES_{job.size.width}X{job.size.height}"
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, size))
    game.set_screen_format(vizdoom.ScreenFormat.BGR24)
    game.set_render_hud(has_bar)
    game.set_render_crosshair(False)  # it and the messages have the same size at every resolution
    game.set_render_messages(False)
    game.set_window_visible(False)
    game.set_seed(sum(job.scene.encode()))
    buttons = vizdoom.Button
    game.set_available_buttons(
        [
            *(buttons.MOVE_FORWARD, buttons.TURN_LEFT_RIGHT_DELTA, buttons.ATTACK, buttons.USE),
            buttons.SELECT_NEXT_WEAPON,
        ]
    )
    game.set_episode_timeout(0)
    # 3 is 4:3: the bar is as wide as the picture. By itself the game draws 320x200 as 4:3 but its multiples as 16:10.
    game.add_game_args(f"+vid_aspect {3 if job.size.width * 200 == job.size.height * 320 else 0} +gamma {gamma}")
    game.init()
    for cheat in CHEATS:
        game.send_game_command(cheat)
    return game


def align(picture: Picture, has_bar: bool) -> Picture:
    """A large picture, moved to where the small one shows the same."""
    rows = picture.shape[0] - (round(picture.shape[0] * BAR_ROWS) if has_bar else 0)
    moved = picture.copy()
    moved[: rows - 1, 1:] = picture[1:rows, :-1]
    return moved


if __name__ == "__main__":
    main()
