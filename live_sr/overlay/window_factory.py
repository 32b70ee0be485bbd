"""Makes the kind of window that is fastest here."""

from __future__ import annotations

from typing import Literal

from live_sr.errors import LiveSRError
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.overlay.gpu_window import GpuWindow
from live_sr.overlay.layer_surface import open_layer_surface
from live_sr.overlay.raster_window import RasterWindow
from live_sr.overlay.surface import Mode, Surface, Vsync
from live_sr.pipeline.canvas import OpenCanvas

SOFTWARE = ("llvmpipe", "softpipe", "swiftshader", "software", "gdi generic", "basic render")
"""Parts of the names, in lower case, of OpenGL renderers that do not use a GPU."""


def make_window(
    mode: Mode,
    prefer: Literal["auto", "raster", "gl", "gpu", "layer"] = "auto",
    vsync: Vsync = "off",
    aspect: float | None = None,
    open_canvas: OpenCanvas | None = None,
) -> tuple[Surface, str]:
    """The kind of window that is fastest here (or the preferred one, if possible), and a sentence that says why.

    aspect: the ratio of width to height that pictures get; None: their own. open_canvas: lets the graphics card that
    upscales draw the window; None: it cannot.

    OpenGL without a GPU took 5.2 ms for a 960x540 picture where painting with the CPU took 0.2 ms, so the name of the
    renderer is queried first. Needs a QApplication.
    """
    if prefer == "layer" and mode == "cover":
        layer, why = open_layer_surface(aspect)
        if layer is not None:
            return layer, why
        surface, how = make_window(mode, "auto", vsync, aspect, open_canvas)
        return surface, f"{how}; there is no layer for it: {why}"
    if prefer == "gpu" and open_canvas is None:
        surface, how = make_window(mode, "auto", vsync, aspect)
        return surface, f"{how}; the engine in use leaves no pictures on a graphics card that could draw it"
    if prefer in ("auto", "gpu") and open_canvas is not None:
        try:
            return GpuWindow(mode, vsync, aspect, open_canvas), "drawn by the graphics card that upscales"
        except LiveSRError as error:
            surface, how = make_window(mode, "auto", vsync, aspect)
            return surface, f"{how}; pictures go through main memory: {error.message}"
    if prefer == "raster":
        return RasterWindow(mode, aspect), "painted by the CPU, as asked for"
    try:
        from live_sr.overlay.gl_window import GLWindow, query_renderer
    except ImportError as error:
        return RasterWindow(mode, aspect), f"painted by the CPU: OpenGL cannot be used ({error})"
    renderer = query_renderer()
    if not renderer:
        return RasterWindow(mode, aspect), "painted by the CPU: there is no desktop OpenGL 2.1 here"
    if prefer == "auto" and any(word in renderer.lower() for word in SOFTWARE):
        return RasterWindow(mode, aspect), f"painted by the CPU: OpenGL here is software ({renderer})"
    interop = InteropTexture() if "nvidia" in renderer.lower() else None
    return GLWindow(mode, vsync, aspect, interop=interop), f"painted by OpenGL on {renderer}"
