"""The GStreamer element in a live pipeline: a window of the screen, captured, enlarged, and shown again."""

from __future__ import annotations

import pytest
from gstreamer_install import Gst
from overlay_process import compute_psnr, grab_screen, upscale_to_screen
from patience import until
from screens import Screen, ToyWindow

from live_sr.pipeline.frame import Pixels, Size


@pytest.mark.parametrize("screen", [""], indirect=True)  # without a window manager, the new window is at the corner
def test_a_window_is_shown_enlarged_and_follows_what_it_draws(screen: Screen, gst: Gst) -> None:
    toy = ToyWindow(screen, Size(160, 100), at=(900, 500))
    toy.draw(1)
    pipeline = (
        f"ximagesrc xid={toy.id} use-damage=false show-pointer=false ! video/x-raw,framerate=15/1 ! videoconvert ! "
        "livesrupscale model=fast scale=2 ! videoconvert ! ximagesink"
    )
    player = screen.run("gst-launch-1.0", *pipeline.split(), HOME=gst.env["HOME"], PATH=gst.env["PATH"])
    for seed in (2, 3, 4):
        picture = upscale_to_screen(toy.draw(seed), room=Size(320, 200))

        def is_shown(picture: Pixels = picture) -> bool:
            assert player.poll() is None, screen.log.read_text()[-2000:]
            return compute_psnr(grab_screen(screen)[:200, :320], picture) > 40

        until(is_shown, f"picture {seed}, enlarged")
