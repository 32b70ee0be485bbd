"""The sound codecs of Windows stay in Matroska, packet by packet."""

import re
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import clip, made_of

from live_sr.imaging.video_file import open_input


def with_sound(folder: Path, codec: str, kind: str, tracks: int = 1) -> Path:
    """A video of a second with a tone, a higher one in each further track."""
    rate = 44_100
    plain = clip(folder / "plain.avi", codec="mpeg4")
    with av.open(str(plain)) as container, av.open(str(folder / f"in.{kind}"), "w") as made:
        if kind == "wmv":
            copy = made.add_stream("wmv2", rate=30)
            copy.width, copy.height, copy.pix_fmt = 48, 32, "yuv420p"
        else:
            copy = made.add_stream_from_template(container.streams.video[0], opaque=True)
        sounds = [made.add_stream(codec, rate=rate) for _ in range(tracks)]
        for sound in sounds:
            sound.layout, sound.bit_rate = "mono", 128_000
        if kind == "wmv":
            for number, frame in enumerate(container.decode(video=0)):
                frame.pts, frame.time_base = number, Fraction(1, 30)
                made.mux(copy.encode(frame))
            made.mux(copy.encode(None))
        else:
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    made.mux(packet)
        for track, sound in enumerate(sounds, 1):
            fifo = av.AudioFifo()
            tone = (np.sin(np.arange(rate) * 0.06 * track) * 9000).astype(np.int16)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(sound.codec_context.format.name, "mono", rate)
            for ready in (*resampler.resample(frame), *resampler.resample(None)):
                fifo.write(ready)
            size = sound.codec_context.frame_size or 1024
            while (piece := fifo.read(size, partial=True)) is not None:
                made.mux(sound.encode(piece))
            made.mux(sound.encode(None))
    return folder / f"in.{kind}"


def read_sound(path: Path, track: int = 0) -> tuple[str, list[bytes], np.ndarray]:
    """The codec, the packets and the samples."""
    with open_input(path) as container:
        codec = container.streams.audio[track].codec_context.name
        packets = [bytes(packet) for packet in container.demux(audio=track) if packet.size]
    with open_input(path) as container:
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=track)])
    return codec, packets, samples


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        *(("wmav2", "wmv"), ("wmav1", "wmv"), ("adpcm_ms", "avi"), ("adpcm_ima_wav", "avi")),
        *(("pcm_mulaw", "avi"), ("pcm_alaw", "avi"), ("pcm_alaw", "mov")),
    ],
)
def test_the_sound_is_the_same_in_matroska(tmp_path: Path, codec: str, kind: str) -> None:
    source = with_sound(tmp_path, codec, kind)
    target, said = made_of(source, tmp_path / "out.mkv")
    assert not any("left out" in line for line in said), said
    before, after = read_sound(source), read_sound(target)
    assert after[:2] == before[:2] and before[0] == codec
    assert np.array_equal(after[2], before[2]) and np.abs(after[2].astype(float)).max() > 0


def test_tracks_of_the_same_format_all_get_their_name(tmp_path: Path) -> None:
    source = with_sound(tmp_path, "adpcm_ms", "avi", tracks=2)
    target, _ = made_of(source, tmp_path / "out.mkv")
    for track in range(2):
        before, after = read_sound(source, track), read_sound(target, track)
        assert after[:2] == before[:2] and before[0] == "adpcm_ms"
    assert read_sound(target, 0)[1] != read_sound(target, 1)[1]


def test_the_checksum_of_the_changed_header_is_right(tmp_path: Path) -> None:
    """The tracks of a Matroska file begin with the CRC-32 of all that follows in them."""
    target, _ = made_of(with_sound(tmp_path, "pcm_mulaw", "avi"), tmp_path / "out.mkv")
    data = target.read_bytes()
    at = re.search(rb"(?<!\x53\xab\x84)\x16\x54\xae\x6b", data).end()  # type: ignore[union-attr]
    length = 9 - data[at].bit_length()
    start = at + length
    end = start + (int.from_bytes(data[at:start], "big") & ((1 << 7 * length) - 1))
    assert b"A_MS/ACM" in data[start:end] and b"A_TRUEHD" not in data
    assert data[start : start + 2] == b"\xbf\x84"
    assert int.from_bytes(data[start + 2 : start + 6], "little") == zlib.crc32(data[start + 6 : end])
