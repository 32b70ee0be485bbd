"""Whether the WebGPU engine can be used here."""

from __future__ import annotations

from live_sr.errors import MissingPart, reason


def unavailable_reason(adapter: str) -> str:
    """Why it cannot be used with that adapter ("auto": any graphics card), or an empty string."""
    try:
        from live_sr.engines.webgpu.adapters import find_adapter

        find_adapter(adapter)
    except MissingPart as error:
        return error.message
    except Exception as error:  # wgpu of another version, or without its library: other engines can still be used
        return f"wgpu does not work here ({reason(error)})"
    return ""
