"""`live-sr upscale`: enlarges pictures and videos in files.

options       what the user wants, as values that can be sent to other processes
command       finds the files and runs one job for each
kinds         tells pictures and videos apart by their content
preview       a thumbnail of the current frame
images/       load reads and file writes pictures, belongings is what they hold besides pixels; alpha treats
              transparency; job enlarges; journal remembers what is finished
video/        source_info, segments, clock what a video contains, where it is cut, and its times
              decode, encode               one frame's way through the libraries
              transcode, segment_encoder   the pipeline on three threads
              segment_file, job_folder     what is finished is kept, so that a job can be resumed
              containers, streams          what a format of files can hold, and the streams of the result
              windows_sound, matroska_template  sound that PyAV does not copy as it is
              mux, job                     all segments and the sound in one file
              ray_cluster, ray_worker      the same on several machines
gstreamer/    the element livesrupscale for GStreamer's pipelines
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from live_sr.upscale.options import UpscaleOptions


def main(options: UpscaleOptions) -> int:
    """Runs the command and returns its exit code. Raises LiveSRError where nothing could be done."""
    from live_sr.upscale import command

    return command.run(options)
