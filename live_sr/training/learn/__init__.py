"""`live-sr learn`: from a paused game to a network for it, in one command."""
