"""`live-sr models`: what there is, what is known of it, and models of the user's own in and out."""

from live_sr.collection.adding import add, remove
from live_sr.collection.checking import check
from live_sr.collection.listing import show, show_list

__all__ = ["add", "check", "remove", "show", "show_list"]
