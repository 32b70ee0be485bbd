"""Pixels and video files, without an engine."""
