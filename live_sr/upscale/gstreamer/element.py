"""The GStreamer element `livesrupscale`, which enlarges video with a network, a filter, or a chain of models.

GStreamer's loader for Python plug-ins imports this in the Python that GStreamer was built for, which also has `gi`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
from gi.repository import GObject, Gst, GstBase  # noqa: E402  # the versions are named before

from live_sr.errors import LiveSRError, explain  # noqa: E402
from live_sr.pipeline.frame import Size  # noqa: E402
from live_sr.upscale.gstreamer.buffer_upscaler import BufferUpscaler  # noqa: E402

log = logging.getLogger(__name__)

MAX_SIDE = 16384  # pixels, of either picture
CAPS = f"video/x-raw, format=BGRx, width=[1,{MAX_SIDE}], height=[1,{MAX_SIDE}], framerate=[0/1,2147483647/1]"


class LiveSRUpscale(GstBase.BaseTransform):  # type: ignore[misc]  # gi has no types
    """Opens the model when the pipeline is paused, and its engine when the size of the video is known."""

    __gtype_name__ = "LiveSRUpscale"
    __gstmetadata__ = ("live-sr", "Filter/Effect/Video/Scaler", "Enlarges video with a neural network", "live-sr")
    __gsttemplates__ = tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(CAPS))
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )

    model = GObject.Property(type=str, default="fast", nick="Model", blurb="a network, a filter, a model file, or a+b")
    scale = GObject.Property(
        type=int, default=0, minimum=0, maximum=8, nick="Scale", blurb="how many times larger; 0: the model's default"
    )
    engine = GObject.Property(type=str, default="auto", nick="Engine", blurb="what runs the model, as in live-sr run")

    def __init__(self) -> None:
        super().__init__()
        self._upscaler: BufferUpscaler | None = None
        self._latency_ns = 0
        self.set_qos_enabled(True)  # where a sink is too late already, the next frames are not enlarged for nothing

    def do_start(self) -> bool:
        return self._try(self._open)

    def do_stop(self) -> bool:
        upscaler, self._upscaler = self._upscaler, None
        if upscaler is not None:
            upscaler.close()
        return True

    def do_transform_caps(self, direction: Gst.PadDirection, caps: Gst.Caps, only: Gst.Caps | None) -> Gst.Caps:
        """What the other pad has for `caps` at this one: all sizes while the model is not known yet."""
        kept = [
            structure.to_string()
            for structure in _read_structures(caps)
            if all(self._convert_side(structure, name, direction) for name in ("width", "height"))
        ]
        found = Gst.Caps.from_string(";".join(kept)) if kept else Gst.Caps.new_empty()
        return found if only is None else only.intersect_full(found, Gst.CapsIntersectMode.FIRST)

    def do_get_unit_size(self, caps: Gst.Caps) -> tuple[bool, int]:
        size = _read_size(caps)
        return True, size.width * size.height * 4

    def do_set_caps(self, caps: Gst.Caps, _: Gst.Caps) -> bool:
        return self._try(lambda: self._prepare(_read_size(caps)))

    def do_transform(self, source: Gst.Buffer, target: Gst.Buffer) -> Gst.FlowReturn:
        return Gst.FlowReturn.OK if self._try(lambda: self._upscale(source, target)) else Gst.FlowReturn.ERROR

    def do_gst_base_transform_query(self, direction: Gst.PadDirection, query: Gst.Query) -> bool:
        """Adds the time that a frame takes to the latency of a live pipeline, so that no sink drops it as late.

        gi wants the class in the name, because Gst.Element has a query of its own.
        """
        answered = bool(GstBase.BaseTransform.do_query(self, direction, query))
        if answered and direction == Gst.PadDirection.SRC and query.type == Gst.QueryType.LATENCY:
            live, least, most = query.parse_latency()
            most = most if most == Gst.CLOCK_TIME_NONE else most + self._latency_ns
            query.set_latency(live, least + self._latency_ns, most)
        return answered

    def _open(self) -> None:
        self._upscaler = BufferUpscaler(self.model, self.scale, self.engine)

    def _prepare(self, size: Size) -> None:
        assert self._upscaler is not None
        self._latency_ns = self._upscaler.prepare(size)
        self.post_message(Gst.Message.new_latency(self))

    def _upscale(self, source: Gst.Buffer, target: Gst.Buffer) -> None:
        assert self._upscaler is not None
        if source.has_flags(Gst.BufferFlags.DISCONT):
            self._upscaler.begin()
        with source.map(Gst.MapFlags.READ) as small, target.map(Gst.MapFlags.WRITE) as large:
            self._upscaler.upscale(small.data, large.data)

    def _convert_side(self, structure: Gst.Structure, name: str, direction: Gst.PadDirection) -> bool:
        """Gives a side of the picture its value at the other pad. False: there is none."""
        if self._upscaler is None:
            structure.set_value(name, Gst.IntRange(range(1, MAX_SIDE)))
            return True
        scale, side = self._upscaler.scale, structure.get_value(name)
        least, most = (side, side) if isinstance(side, int) else (1, MAX_SIDE)
        if isinstance(side, Gst.IntRange):
            least, most = side.range.start, side.range.stop
        if direction == Gst.PadDirection.SINK:
            least, most = least * scale, min(most * scale, MAX_SIDE)
        else:
            least, most = -(-least // scale), most // scale
        if least > most:
            return False
        structure.set_value(name, least if least == most else Gst.IntRange(range(least, most)))
        return True

    def _try(self, work: Callable[[], None]) -> bool:
        """Whether it succeeded; a failure becomes an error message of the pipeline."""
        try:
            work()
        except LiveSRError as error:
            self._post_error(explain(error))
        except Exception as error:  # it must not pass through GStreamer, which would print it and go on
            log.debug("where the error was raised:", exc_info=True)
            self._post_error(f"unexpected error: {type(error).__name__}: {error}")
        else:
            return True
        return False

    def _post_error(self, sentence: str) -> None:
        caller = inspect.currentframe()
        line = caller.f_lineno if caller is not None else 0
        kind, domain, code = Gst.MessageType.ERROR, Gst.StreamError.quark(), Gst.StreamError.FAILED
        self.message_full(kind, domain, code, sentence, None, __file__, "livesrupscale", line)


def _read_structures(caps: Gst.Caps) -> list[Gst.Structure]:
    """Copies, by way of text: what `get_structure` returns is not the same in GStreamer 1.22 and 1.26."""
    texts = [caps.copy_nth(number).to_string() for number in range(caps.get_size())]
    return [structure for text in texts if (structure := Gst.Structure.new_from_string(text)) is not None]


def _read_size(caps: Gst.Caps) -> Size:
    structure = _read_structures(caps)[0]
    return Size(structure.get_value("width"), structure.get_value("height"))


ELEMENT = ("livesrupscale", Gst.Rank.NONE, LiveSRUpscale)
"""What GStreamer's loader looks for: name, rank and class."""
