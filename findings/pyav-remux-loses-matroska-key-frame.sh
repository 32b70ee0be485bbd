#!/usr/bin/env bash
# PyAV: the remux loop of its own examples loses the first key frame of a Matroska file, and with it all pictures up to
# the second one, without an error.
#
# The example says `if packet.dts is None: continue  # the "flushing" packets`. FFmpeg cannot know the decoding time of
# the first packets of a Matroska file that has B-frames, because Matroska stores only when a picture is shown. So they
# have no dts either, and are skipped. A flushing packet is better known by its size of 0.
#
# Seen on 2026-11-28 with av 18.1.0 (FFmpeg 8.1, Python 3.11 and 3.13) and av 19.0.2 (FFmpeg 9.0, Python 3.13), each
# with numpy 2.4.6, on Linux x86-64:
#     by dts:  28 of 30 packets, 20 of 30 pictures
#     by size: 30 of 30 packets, 30 of 30 pictures
# Exits with 1 when that is no longer so. Takes a python3 of 3.11 or newer; tests av 19.0.2 where it is 3.12 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

cat > "$folder/remux.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np


def make(path):
    """30 pictures of H.264 with B-frames, a key frame every ten."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 10
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remux(source, target, is_flushing):
    with av.open(source) as reader, av.open(target, "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if not is_flushing(packet):
                packet.stream = copy
                writer.mux(packet)


def count(path):
    """Packets and pictures."""
    with av.open(path) as container:
        packets = sum(packet.size > 0 for packet in container.demux(video=0))
    with av.open(path) as container:
        return packets, sum(1 for _ in container.decode(video=0))


folder = sys.argv[1]
source = f"{folder}/source.mkv"
make(source)
remux(source, f"{folder}/by_dts.mkv", lambda packet: packet.dts is None)
remux(source, f"{folder}/by_size.mkv", lambda packet: not packet.size)
found = {name: count(f"{folder}/{name}.mkv") for name in ("source", "by_dts", "by_size")}
print(f"Python {sys.version.split()[0]}, av {av.__version__}, numpy {np.__version__}: {found}")
sys.exit(found != {"source": (30, 30), "by_dts": (28, 20), "by_size": (30, 30)})
PY

versions=18.1.0
if "$folder/venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then versions="18.1.0 19.0.2"; fi
for version in $versions; do
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==$version" numpy==2.4.6
    "$folder/venv/bin/python" "$folder/remux.py" "$folder"
done
