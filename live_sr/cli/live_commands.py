"""The commands that capture a game, run, demo and record, and ctl, which controls them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import (
    add_config_flag,
    add_picture_flags,
    add_target_flags,
    find_config,
    get_picture_overrides,
    make_overrides,
)

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands


def add_commands(commands: Commands) -> None:
    run = commands.add_parser("run", help="upscale a game's window while it runs")
    add_target_flags(run)
    run.add_argument("--wait", action="store_true", help="wait for the window to appear, and again after it was closed")
    run.add_argument("--log", type=Path, metavar="FILE.csv", help="write one row for each shown frame")
    run.add_argument("--record", type=Path, metavar="FILE.mkv", help="record what is shown from the start, without HUD")
    run.add_argument("--no-sound", action="store_true", help="record without the sound of the game")
    run.add_argument("--seconds", type=argument_types.parse_seconds, help="end after this time")
    run.add_argument("--capture", metavar="NAME", help="x11, pipewire, dxgi, wgc or mss")
    add_picture_flags(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="upscale a bundled recording of a game")
    demo.add_argument("--seconds", type=argument_types.parse_seconds, help="end after this time")
    demo.add_argument("--output", type=Path, default=Path("demo.png"), help="the picture to write (demo.png)")
    demo.add_argument("--no-window", action="store_true", help="open no window, even if there is a screen")
    add_picture_flags(demo)
    demo.set_defaults(command=_run_demo)

    _add_record_flags(commands.add_parser("record", help="save frames of a game while you play, for training"))
    _add_ctl_flags(commands.add_parser("ctl", help="do in a running live-sr what a hotkey does, such as `ctl pause`"))


def _add_record_flags(record: argparse.ArgumentParser) -> None:
    add_target_flags(record)
    record.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    record.add_argument(
        "--every",
        type=argument_types.parse_seconds,
        default=0.5,
        metavar="SECONDS",
        help="time between two frames (0.5)",
    )
    record.add_argument(
        "--count", type=argument_types.parse_count, metavar="N", help="end after this many saved frames"
    )
    record.add_argument("--seconds", type=argument_types.parse_seconds, help="end after this time")
    record.add_argument("--capture", metavar="NAME", help="x11, pipewire, dxgi, wgc or mss")
    add_config_flag(record)
    record.set_defaults(command=_run_record)


def _add_ctl_flags(ctl: argparse.ArgumentParser) -> None:
    ctl.add_argument(
        "action", metavar="ACTION", help="one of the names in [hotkeys] of config.toml, such as next_model"
    )
    ctl.add_argument("--release", action="store_true", help="the key was released, which ends `ctl compare`")
    ctl.add_argument("--pid", type=int, help="of the live-sr that is meant, if several run (the newest)")
    ctl.set_defaults(command=_run_ctl)


def _run(a: argparse.Namespace) -> int:
    from live_sr.app import run as app

    return app.run(
        app.RunOptions(
            a.window, a.pid, a.region, a.monitor, wait=a.wait, log=a.log, seconds=a.seconds, record=a.record
        ),
        find_config(a.config),
        get_picture_overrides(a, capture=a.capture, sound="off" if a.no_sound else None),
    )


def _run_demo(a: argparse.Namespace) -> int:
    from live_sr.app import demo as demonstration

    return demonstration.run(
        find_config(a.config), get_picture_overrides(a), seconds=a.seconds, output=a.output, window=not a.no_window
    )


def _run_ctl(a: argparse.Namespace) -> int:
    from live_sr.app import control_socket

    control_socket.send(a.action, release=a.release, pid=a.pid)
    return 0


def _run_record(a: argparse.Namespace) -> int:
    from live_sr.app import record as recording
    from live_sr.app.run import RunOptions

    return recording.run(
        RunOptions(a.window, a.pid, a.region, a.monitor, seconds=a.seconds),
        recording.RecordOptions(a.out, a.every, a.count),
        find_config(a.config),
        make_overrides(capture=a.capture),
    )
