"""Training: pairs of frames, a network trained on them, and a model file made of it."""

from __future__ import annotations

from importlib import import_module

from live_sr.errors import MissingPart

INSTALL = 'pip install "live-sr[train]"'


def require(*packages: str) -> None:
    """Check that these packages import. Raises MissingPart, which says how to install them."""
    for name in packages:
        try:
            import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library of it does not load
            raise MissingPart(f"this command needs {name}, which does not import: {error}", INSTALL) from None
