"""Commands that look at a game: run, demo, record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import typed
from live_sr.cli.settings import config_path, overrides, picture_flags, subject_flags

if TYPE_CHECKING:
    from live_sr.cli.settings import Commands


def add_to(commands: Commands) -> None:
    run = commands.add_parser("run", help="upscale a game's window while it runs")
    subject_flags(run)
    run.add_argument("--wait", action="store_true", help="wait for the window to appear, and to come back once closed")
    run.add_argument("--log", type=Path, metavar="FILE.csv", help="write one row for each shown frame")
    run.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    run.add_argument("--capture", metavar="NAME", help="x11, dxgi, wgc or mss")
    picture_flags(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="see it work on a bundled recording of a game")
    demo.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    demo.add_argument("--output", type=Path, default=Path("demo.png"), help="picture left behind (demo.png)")
    demo.add_argument("--no-window", action="store_true", help="do not open a window even if there is a screen")
    picture_flags(demo)
    demo.set_defaults(command=_demo)

    _record_flags(commands.add_parser("record", help="save frames of a game while it is played, to train with"))


def _record_flags(record: argparse.ArgumentParser) -> None:
    subject_flags(record)
    record.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    record.add_argument("--every", type=typed.seconds, default=0.5, metavar="SECONDS", help="between two frames (0.5)")
    record.add_argument("--count", type=typed.number, metavar="N", help="end after so many frames were saved")
    record.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    record.add_argument("--capture", metavar="NAME", help="x11, dxgi, wgc or mss")
    record.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")
    record.set_defaults(command=_record)


def _run(a: argparse.Namespace) -> int:
    from live_sr.app import run as app

    return app.run(
        app.Request(a.window, a.pid, a.region, a.monitor, wait=a.wait, log=a.log, seconds=a.seconds),
        config_path(a.config),
        overrides(a),
    )


def _demo(a: argparse.Namespace) -> int:
    from live_sr import demonstration

    return demonstration.run(
        config_path(a.config), overrides(a), seconds=a.seconds, output=a.output, window=not a.no_window
    )


def _record(a: argparse.Namespace) -> int:
    from live_sr import recording
    from live_sr.app.run import Request

    return recording.run(
        Request(a.window, a.pid, a.region, a.monitor, seconds=a.seconds),
        recording.Order(a.out, a.every, a.count),
        config_path(a.config),
        {"capture": {"backend": a.capture}} if a.capture else {},
    )
