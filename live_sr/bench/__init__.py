"""`live-sr bench`: frame rate and latency of the real pipeline, without a window, over a matrix of combinations.

options says what is to be run, measure runs one combination once, run all of them in interleaved rounds, rows holds
what came out; table, files, page (with plots) and submission tell it, compare sets two reports side by side, roofline
says how fast it could have been, and peers are the runtimes that are there only to be compared with.
"""

from live_sr.bench.options import PATTERN_SIZE, BenchOptions, modes
from live_sr.bench.run import main

__all__ = ["PATTERN_SIZE", "BenchOptions", "main", "modes"]
