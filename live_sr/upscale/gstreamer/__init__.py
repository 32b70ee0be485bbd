"""The GStreamer element `livesrupscale`, and `live-sr gstreamer`, which makes it known to GStreamer.

plugin            writes and removes the small file through which GStreamer finds the element
element           the element; it is imported by GStreamer's own Python, and is the only module that needs `gi`
buffer_upscaler   enlarges pictures, from memory to memory
"""
