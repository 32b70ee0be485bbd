"""`live-sr evaluate`: how good the pictures of any networks and filters are, and what they cost.

Every picture goes through the engine that shows it on the screen. The metrics are those of well-known libraries; ours
is the loop around them.
"""
