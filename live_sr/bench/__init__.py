"""`live-sr bench`: frame rate and latency of the real pipeline, without a window, over a matrix of combinations.

options holds the flags, measure runs one combination once, run runs all of them in interleaved rounds, and results are
the records of it. table, report (JSON, CSV), html_report and submission write them, compare sets two reports side by
side, roofline computes how fast a device could be, and baselines are other runtimes to compare with.
"""

from live_sr.bench.options import PATTERN_SIZE, BenchOptions, choose_modes
from live_sr.bench.run import run_bench

__all__ = ["PATTERN_SIZE", "BenchOptions", "choose_modes", "run_bench"]
