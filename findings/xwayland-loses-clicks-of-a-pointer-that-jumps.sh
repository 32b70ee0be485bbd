#!/usr/bin/env bash
# Xwayland: of a pointer that jumps into an X11 window, clicks without a movement inside it, and jumps out again, the
# window gets the first click and none of the later ones. With one more movement inside, it gets every click.
#
# A hand always moves a little before it clicks. Programs do not: remote desktops, automation and tests place the pointer
# and click at once. The compositor sends all of it (WAYLAND_DEBUG=client shows enter, button and leave), and the window
# sees the pointer come and go, but no button. Native Wayland windows get these clicks.
#
# Seen on 2026-11-28 with Debian 12's xwayland 2:22.1.9-1 and sway 1.7-6, in the same way with Debian 13's xwayland
# 2:24.1.6-1 and sway 1.10.1-2, and with python-xlib 0.33:
#     placed, clicked:        1 of 6 clicks
#     placed, moved, clicked: 6 of 6 clicks
# Exits with 1 when that is no longer so. Takes sway, Xwayland and a python3 of 3.9 or newer.
set -euo pipefail
folder=$(mktemp -d)
compositor=
trap '[ -z "$compositor" ] || kill "$compositor"; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "python-xlib==0.33" 2>"$folder/pip" || { cat "$folder/pip" >&2; exit 2; }
dpkg-query --show --showformat='${Package} ${Version}\n' sway xwayland

export XDG_RUNTIME_DIR="$folder/runtime" HOME="$folder" WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1
unset DISPLAY WAYLAND_DISPLAY XAUTHORITY
mkdir -m 700 "$XDG_RUNTIME_DIR"
cat >"$folder/sway.conf" <<CONF
output HEADLESS-1 resolution 1280x720 position 0 0
default_border none
for_window [title=".*"] floating enable, move position 100 100
exec env >$folder/part && mv $folder/part $folder/inner
CONF
apart=() # older versions of sway refuse root
[ "$(id -u)" != 0 ] || ! unshare --user --map-user=1 --map-group=1 true 2>/dev/null || apart=(unshare --user --map-user=1 --map-group=1)
"${apart[@]}" sway --config "$folder/sway.conf" >"$folder/log" 2>&1 &
compositor=$!
for _ in $(seq 300); do [ ! -e "$folder/inner" ] || break; sleep 0.1; done
export "$(grep ^DISPLAY= "$folder/inner")" "$(grep ^WAYLAND_DISPLAY= "$folder/inner")"

"$folder/venv/bin/python" - <<'PY'
import os
import socket
import struct
import sys
import time

from Xlib import X
from Xlib.display import Display

WIDTH, HEIGHT = 1280, 720
LEFT_BUTTON = 0x110


class Wayland:
    """As much of a client as a virtual pointer takes."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.path.join(os.environ["XDG_RUNTIME_DIR"], os.environ["WAYLAND_DISPLAY"]))
        self.last = 1
        self.globals = {}
        self.registry = self.new()
        self.send(1, 1, struct.pack("=I", self.registry))  # wl_display.get_registry
        self.roundtrip()

    def new(self):
        self.last += 1
        return self.last

    def send(self, thing, what, content=b""):
        self.socket.sendall(struct.pack("=IHH", thing, what, 8 + len(content)) + content)

    def roundtrip(self):
        done = self.new()
        self.send(1, 0, struct.pack("=I", done))  # wl_display.sync
        while True:
            thing, what, size = struct.unpack("=IHH", self.read(8))
            content = self.read(size - 8)
            if thing == self.registry and what == 0:
                name, length = struct.unpack_from("=II", content)
                self.globals[content[8 : 7 + length].decode()] = name
            if thing == done:
                return

    def read(self, size):
        found = b""
        while len(found) < size:
            found += self.socket.recv(size - len(found))
        return found

    def bind(self, interface):
        number, text = self.new(), interface.encode() + b"\0"
        padded = text + b"\0" * (-len(text) % 4)
        content = struct.pack("=II", self.globals[interface], len(text)) + padded + struct.pack("=II", 1, number)
        self.send(self.registry, 0, content)
        return number


wayland = Wayland()
seat, manager = wayland.bind("wl_seat"), wayland.bind("zwlr_virtual_pointer_manager_v1")
pointer = wayland.new()
wayland.send(manager, 0, struct.pack("=II", seat, pointer))
wayland.roundtrip()


def now():
    return int(time.monotonic() * 1000) & 0xFFFFFFFF


def move(x, y):
    wayland.send(pointer, 1, struct.pack("=5I", now(), x, y, WIDTH, HEIGHT))
    wayland.send(pointer, 4)  # frame
    wayland.roundtrip()


def click():
    for state in (1, 0):
        wayland.send(pointer, 2, struct.pack("=3I", now(), LEFT_BUTTON, state))
        wayland.send(pointer, 4)
        wayland.roundtrip()


def count_clicks(path):
    """Of six clicks with a second between them, those that a new window sees."""
    display = Display()
    screen = display.screen()
    window = screen.root.create_window(
        0, 0, 400, 300, 0, screen.root_depth, background_pixel=screen.white_pixel, event_mask=X.ButtonPressMask
    )
    window.set_wm_name("a window")
    window.map()
    display.sync()
    time.sleep(2)
    for _ in range(6):
        for place in path:
            move(*place)
        click()
        time.sleep(0.5)
        move(WIDTH - 1, HEIGHT - 1)
        time.sleep(0.5)
    display.sync()
    presses = [display.next_event().type for _ in range(display.pending_events())].count(X.ButtonPress)
    display.close()
    return presses


move(WIDTH - 1, HEIGHT - 1)
jumped = count_clicks([(300, 200)])
moved = count_clicks([(297, 200), (300, 200)])
print(f"placed, clicked:        {jumped} of 6 clicks")
print(f"placed, moved, clicked: {moved} of 6 clicks")
sys.exit(not (jumped < 6 and moved == 6))
PY
