#!/usr/bin/env bash
# PyAV: VideoFrame.from_numpy_buffer takes a YUV 4:2:0 picture of 270 rows for one of 268, without an error. The planes
# of the two colours then begin in the last two rows of the brightness, so the colours are wrong too.
#
# An array of such a picture has 3/2 as many rows as the picture. PyAV computes the height as rows // 6 * 4, which is
# right for heights that are a multiple of 4 only; 4:2:0 needs an even height. VideoFrame.from_ndarray, which copies,
# gets it right.
#
# Seen on 2026-11-28 with av 18.1.0 (Python 3.11) and av 19.0.2 (Python 3.13), each with numpy 2.4.6, on Linux x86-64:
#     272 rows: buffer 272 rows, planes [50] [100] [200]; copy 272 rows
#     270 rows: buffer 268 rows, planes [50] [50, 100] [100, 200]; copy 270 rows
# Exits with 1 when that is no longer so. Takes a python3 of 3.11 or newer; tests av 19.0.2 where it is 3.12 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

cat > "$folder/rows.py" <<'PY'
import sys

import av
import numpy as np


def try_height(height):
    """The height that PyAV finds, the values in each plane, and the height of a copy. The planes have one value each."""
    array = np.zeros((height * 3 // 2, 480), np.uint8)
    luma, *chroma = np.split(array.reshape(-1), (height * 480, height * 600))
    luma[:], chroma[0][:], chroma[1][:] = 50, 100, 200
    frame = av.VideoFrame.from_numpy_buffer(array, "yuv420p")
    planes = [sorted(set(np.frombuffer(memoryview(plane), np.uint8).tolist())) for plane in frame.planes]
    return frame.height, planes, av.VideoFrame.from_ndarray(array, "yuv420p").height


right, wrong = try_height(272), try_height(270)
print(f"Python {sys.version.split()[0]}, av {av.__version__}, numpy {np.__version__}: {right} {wrong}")
sys.exit(right != (272, [[50], [100], [200]], 272) or wrong != (268, [[50], [50, 100], [100, 200]], 270))
PY

versions=18.1.0
if "$folder/venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then versions="18.1.0 19.0.2"; fi
for version in $versions; do
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==$version" numpy==2.4.6
    "$folder/venv/bin/python" "$folder/rows.py"
done
