#!/usr/bin/env bash
# Mesa's llvmpipe: anisotropic filtering of a texture without mipmaps takes hundreds of times as long as without it.
#
# Anisotropy 4 on a floor of 400x225 pixels, whose texture repeats towards the horizon, costs about ten times as much
# with mipmaps, and some 400 times as much with the plain linear filter: a game's scene took minutes a picture. It draws
# the right picture and says nothing, so it looks like a hang. Graphics cards hardly slow down in either case.
# Remedy: set an anisotropy only together with a mipmap filter, or none on llvmpipe.
#
# Seen on 2026-11-29 with Debian 12's Mesa 22.3.6 (LLVM 15.0.6) and Panda3D 1.10.16, processor milliseconds a picture:
#     linear           2    with anisotropy 4   791
#     mipmaps          4    with anisotropy 4    28
# Exits with 1 when the first line is no longer 50 times as slow. Takes Xvfb, Mesa and a python3 of 3.9 to 3.13.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "panda3d==1.10.16" 2>"$folder/pip" || { cat "$folder/pip" >&2; exit 2; }

Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp 3>"$folder/display" 2>/dev/null &
server=$!
for _ in $(seq 300); do [ ! -s "$folder/display" ] || break; sleep 0.1; done
export DISPLAY=":$(cat "$folder/display")" LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe

"$folder/venv/bin/python" - 2>"$folder/log" <<'PY' || { tail -n 5 "$folder/log" >&2; exit 1; }
import sys
import time

from panda3d.core import CardMaker, SamplerState, loadPrcFileData

loadPrcFileData("", "window-type offscreen\nwin-size 400 225\naudio-library-name null")
from direct.showbase.ShowBase import ShowBase

base = ShowBase(windowType="offscreen")
driver = base.win.getGsg()
print(driver.getDriverRenderer(), driver.getDriverVersion())
maker = CardMaker("floor")
maker.setFrame(-60, 60, -60, 60)
maker.setUvRange((0, 0), (40, 40))
floor = base.render.attachNewNode(maker.generate())
floor.setP(-90)
texture = base.loader.loadTexture("models/maps/envir-rock1.jpg")
floor.setTexture(texture)
base.camera.setPos(0, -30, 4)
base.camera.lookAt(0, 0, 0)


def measure(kind, degree):
    texture.setMinfilter(kind)
    texture.setAnisotropicDegree(degree)
    base.graphicsEngine.renderFrame()
    base.win.getScreenshot()
    best = 1e9
    for _ in range(3):
        begin = time.process_time()
        base.graphicsEngine.renderFrame()
        base.win.getScreenshot()
        best = min(best, time.process_time() - begin)
    return 1000 * best


slower = {}
for name, kind in (("linear", SamplerState.FTLinear), ("mipmaps", SamplerState.FTLinearMipmapLinear)):
    without, with_it = measure(kind, 1), measure(kind, 4)
    slower[name] = with_it / without
    print(f"{name:8} {without:8.1f} ms    with anisotropy 4 {with_it:8.1f} ms    {slower[name]:5.0f} times as slow")
sys.exit(slower["linear"] < 50)
PY
