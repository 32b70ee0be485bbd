"""live-sr: neural super-resolution on a live game window, with honest latency."""

__version__ = "0.2.0"
