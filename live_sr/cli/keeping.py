"""Commands that look after what is installed: doctor, models, engines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import typed
from live_sr.cli.settings import PRECISIONS, config_path

if TYPE_CHECKING:
    from live_sr.cli.settings import Commands


def add_to(commands: Commands) -> None:
    doctor = commands.add_parser("doctor", help="what is here, what was chosen and why, how to get the rest")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=_doctor)
    _models_flags(commands.add_parser("models", help="the models there are; add and remove your own"))
    _engines_flags(commands.add_parser("engines", help="compiled engines: list, build ahead of play, clear away"))


def _models_flags(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all there are, and what runs them here")
    show = actions.add_parser("show", help="what is known of one")
    show.add_argument("name", metavar="NAME")
    add = actions.add_parser("add", help="try a model and keep it among yours")
    add.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".onnx, .pth, .pt or .safetensors")
    add.add_argument("--name", help="what to call it (what its card or its file's name says)")
    add.add_argument("--scale", type=int, choices=(1, 2, 3, 4), help="by how much, where the file does not tell")
    add.add_argument("--replace", action="store_true", help="in the place of one of yours with the same name")
    remove = actions.add_parser("remove", help="delete one of yours")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--scale", type=int, choices=(1, 2, 3, 4), help="only this one (all)")
    check = actions.add_parser("check", help="say what a file is, and why it cannot be used if so; keeps nothing")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    models.set_defaults(command=_models)


def _engines_flags(engines: argparse.ArgumentParser) -> None:
    engines.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")
    actions = engines.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all there are, and whether they can be used here")
    build = actions.add_parser("build", help="build ahead of play what a window of some size needs")
    build.add_argument("--model", default="", metavar="NAME", help="a network (that of the settings)")
    build.add_argument("--scale", type=int, choices=(2, 3, 4), help="how much it enlarges (as in the settings)")
    build.add_argument("--size", type=typed.size, action="append", metavar="WxH", help="of the window; may be repeated")
    build.add_argument("--engine", default="", metavar="NAME", help="tensorrt, rtx ... (as in the settings)")
    build.add_argument("--precision", default="", choices=PRECISIONS, help="auto: the fastest that is safe")
    build.add_argument("--all-profiles", action="store_true", help="all models and scales that config.toml names")
    prune = actions.add_parser("prune", help="delete what cannot be used here any more, and what is left over")
    prune.add_argument("--days", type=float, metavar="N", help="also what was not used for so long")
    prune.add_argument("--mb", type=float, metavar="N", help="also what was not used longest, down to so many MB")
    prune.add_argument("--all", action="store_true", help="everything")
    engines.set_defaults(command=_engines)


def _doctor(a: argparse.Namespace) -> int:
    from live_sr import doctor

    return doctor.main(as_json=a.json, config=config_path(None))


def _models(a: argparse.Namespace) -> int:
    from live_sr import collection

    match a.action:
        case "show":
            return collection.show(a.name)
        case "add":
            return collection.add(a.files, a.name, a.scale, replace=a.replace)
        case "remove":
            return collection.remove(a.name, a.scale)
        case "check":
            return collection.check(a.files)
    return collection.show_list()


def _engines(a: argparse.Namespace) -> int:
    from live_sr import engines

    path = config_path(a.config)
    match a.action:
        case "build":
            sizes = tuple(a.size or ())
            order = engines.Order(a.model, a.scale, sizes, a.engine, a.precision, all_profiles=a.all_profiles)
            return engines.build(order, path)
        case "prune":
            return engines.prune(path, days=a.days, megabytes=a.mb, everything=a.all)
    return engines.show_list(path)
