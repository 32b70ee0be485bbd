#!/usr/bin/env bash
# PyAV's SVT-AV1, run by root: opening the encoder makes the calling thread real-time, SCHED_FIFO with priority 99, and
# leaves it so.
#
# So does every thread and every program that this thread starts afterwards. In a container or in CI, where one is often
# root, a few of them stop everything else on the machine: three frames of 64x64 took 20 s while other programs had work,
# and 0.3 s once the threads had their usual schedule back.
#
# Seen on 2026-11-28 with av 18.1.0 (Python 3.11) and av 19.0.2 (Python 3.13), on Linux x86-64, two cores, as root:
#     before: policy 0, priority 0
#     opened: policy 1, priority 99
# As another user it stays at 0. To undo it: os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0)) for each
# thread in /proc/self/task.
# Exits with 1 when that is no longer so, and with 2 where it is not run by root. Takes a python3 of 3.11 or newer.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "to be run by root" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# PyAV 19 has wheels for Python 3.12 and newer only
version=$(python3 -c 'import sys; print("19.0.2" if sys.version_info >= (3, 12) else "18.1.0")')
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==$version"

"$folder/venv/bin/python" - <<'PY'
import os
import sys
from fractions import Fraction

os.environ["SVT_LOG"] = "1"
import av


def schedule():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


before = schedule()
encoder = av.CodecContext.create("libsvtav1", "w")
encoder.width = encoder.height = 64
encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
encoder.open()
opened = schedule()
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
print("av", av.__version__)
print("before: policy %d, priority %d" % before)
print("opened: policy %d, priority %d" % opened)
sys.exit((before, opened) != ((os.SCHED_OTHER, 0), (os.SCHED_FIFO, 99)))
PY
