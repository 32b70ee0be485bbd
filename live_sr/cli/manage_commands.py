"""The commands that manage an installation: doctor, models, engines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import PRECISIONS, add_config_flag, find_config, load_settings
from live_sr.errors import UsageError

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands


def add_commands(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="show what this machine has, what was chosen and why, and how to get the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    add_config_flag(doctor)
    doctor.set_defaults(command=_run_doctor)
    _add_models_flags(commands.add_parser("models", help="list models, and add and remove your own"))
    _add_engines_flags(
        commands.add_parser("engines", help="list compiled engines, build them ahead of time, delete old ones")
    )


def _add_models_flags(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list all models, and what runs them here")
    listing.add_argument("--measure", action="store_true", help="measure their speed, which takes a while")
    show = actions.add_parser("show", help="show what is known of a model")
    show.add_argument("name", metavar="NAME")
    add = actions.add_parser("add", help="try a model and add it to yours")
    add.add_argument(
        "sources",
        nargs="+",
        metavar="FILE|URL",
        help=".onnx, .pth, .pt or .safetensors; an https address is downloaded",
    )
    add.add_argument("--name", help="its name (from its card or file name)")
    add.add_argument("--scale", type=int, choices=(1, 2, 3, 4), help="its scale, if the file does not say it")
    add.add_argument("--replace", action="store_true", help="replace your model of the same name")
    remove = actions.add_parser("remove", help="delete one of your models")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--scale", type=int, choices=(1, 2, 3, 4), help="only this scale (all)")
    check = actions.add_parser("check", help="say what a model file is, and whether it can be used; adds nothing")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    add_config_flag(models)
    for action in actions.choices.values():
        add_config_flag(action, of_action=True)
    models.set_defaults(command=_run_models)


def _add_engines_flags(engines: argparse.ArgumentParser) -> None:
    add_config_flag(engines)
    actions = engines.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", help="list all compiled engines, and whether they can be used here")
    listed.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="where (the engine cache)")
    build = actions.add_parser("build", help="build the engine for a window size ahead of time")
    build.add_argument(
        "--model",
        "--models",
        dest="models",
        type=argument_types.parse_names,
        default=(),
        metavar="NAME,...",
        help="networks (as in the settings)",
    )
    build.add_argument("--scale", type=int, choices=(2, 3, 4), help="2, 3 or 4 (as in the settings)")
    build.add_argument(
        "--size",
        type=argument_types.parse_sizes,
        action="extend",
        metavar="WxH,...",
        help="sizes of the window; may be repeated (those of earlier engines, or six usual ones)",
    )
    build.add_argument("--engine", default="", metavar="NAME", help="tensorrt, rtx ... (as in the settings)")
    build.add_argument(
        "--precision", default="", choices=PRECISIONS, help="auto: the fastest that is safe (as in the settings)"
    )
    build.add_argument("--all-profiles", action="store_true", help="all models and scales that config.toml names")
    build.add_argument(
        "--for",
        dest="capabilities",
        type=argument_types.parse_capabilities,
        metavar="SM,...",
        help="compile for other NVIDIA GPUs with TensorRT-RTX, on any machine: sm75 (GTX 16xx, RTX 20xx), "
        "sm86 (RTX 30xx), sm89 (RTX 40xx), sm120 (RTX 50xx)",
    )
    build.add_argument("--dynamic", action="store_true", help="with --for: also one engine for windows of every size")
    build.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="with --for: where to put them (the engine cache)"
    )
    imported = actions.add_parser("import", help="take in engines that were compiled with `build --for -o`")
    imported.add_argument("folder", type=Path, metavar="FOLDER")
    imported.add_argument("--trust", action="store_true", help="also those that somebody else compiled")
    prune = actions.add_parser("prune", help="delete engines that cannot be used here any more, and leftover files")
    prune.add_argument(
        "--days", type=argument_types.parse_amount, metavar="N", help="also delete what was not used for N days"
    )
    prune.add_argument(
        "--mb",
        type=argument_types.parse_amount,
        metavar="N",
        help="also delete the least recently used, until N MB are left",
    )
    prune.add_argument("--all", action="store_true", help="delete everything")
    for action in actions.choices.values():
        add_config_flag(action, of_action=True)
    engines.set_defaults(command=_run_engines)


def _run_doctor(a: argparse.Namespace) -> int:
    from live_sr.manage import doctor

    return doctor.run(as_json=a.json, config=find_config(a.config))


def _run_models(a: argparse.Namespace) -> int:
    from live_sr import manage

    settings = load_settings(a)
    match a.action:
        case "show":
            return manage.show_model(a.name, settings)
        case "add":
            sources = [manage.parse_model_source(text) for text in a.sources]
            return manage.add_models(sources, a.name, a.scale, replace=a.replace, settings=settings)
        case "remove":
            return manage.remove_model(a.name, a.scale)
        case "check":
            return manage.check_models(a.files, settings)
    return manage.list_models(settings, measure=getattr(a, "measure", False))


def _run_engines(a: argparse.Namespace) -> int:
    from live_sr.manage import engine_cache as engines

    path = find_config(a.config)
    match a.action:
        case "build" if a.capabilities:
            return _compile_engines(a, path)
        case "build":
            return _build_engines(a, path)
        case "import":
            from live_sr.manage import engine_sharing

            return engine_sharing.import_engines(a.folder, path, trust=a.trust)
        case "prune":
            return engines.prune_engines(path, days=a.days, megabytes=a.mb, everything=a.all)
    return engines.list_engines(path, getattr(a, "folder", None))


def _build_engines(a: argparse.Namespace, path: Path | None) -> int:
    from live_sr.manage.engine_cache import BuildOptions, build_engines

    if a.dynamic or a.output:
        raise UsageError("--dynamic and -o only go with --for", "name compute capabilities with it, such as sm86")
    options = BuildOptions(a.models, a.scale, tuple(a.size or ()), a.engine, a.precision, all_profiles=a.all_profiles)
    return build_engines(options, path)


def _compile_engines(a: argparse.Namespace, path: Path | None) -> int:
    from live_sr.manage.engine_cache import SIZES
    from live_sr.manage.engine_sharing import CompileOptions, compile_engines

    if a.all_profiles or a.engine not in ("", "rtx"):
        raise UsageError(
            "--for compiles with the engine rtx, and takes no profiles", "leave out --engine and --all-profiles"
        )
    sizes = tuple(a.size or (() if a.dynamic else SIZES))
    options = CompileOptions(
        a.capabilities, (*sizes, *([None] if a.dynamic else [])), a.models, a.scale, a.precision, a.output
    )
    return compile_engines(options, path)
