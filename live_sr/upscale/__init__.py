"""`live-sr upscale`: pictures and videos in files, made larger.

options   what is asked for                      stills    pictures
run       which file goes which way              video     prepare, upscale_segment, join: a whole video
footage   what a video holds                     segments  where it is cut
decode, colour, belt, press, encode              the pictures' way, on three threads
segmentfile, workshop                            what is finished is kept, whatever happens
join      segments and sound to one file         cluster, remote  the same on several machines
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from live_sr.upscale.options import UpscaleOptions


def main(options: UpscaleOptions) -> int:
    """Makes what was asked for; the exit code. Raises LiveSRError where nothing could be done."""
    from live_sr.upscale import run

    return run.run(options)
