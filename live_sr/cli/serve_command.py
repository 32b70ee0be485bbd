"""The command that upscales over HTTP: serve."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import PRECISIONS, add_config_flag, load_settings, make_overrides
from live_sr.errors import UsageError

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands

TOKEN_VARIABLE = "LIVE_SR_TOKEN"
LEAST_TOKEN = 16  # characters


def add_commands(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="upscale pictures and videos over HTTP, with a web page")
    flag = parser.add_argument
    flag("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1: only this machine)")
    flag("--port", type=_parse_port, default=8080, metavar="N", help="the port; 0 takes a free one (8080)")
    flag("--folder", type=Path, metavar="DIR", help="where jobs are kept (the user's folder for states)")
    flag("--model", metavar="NAME", help="the model for requests that name none (as in the settings)")
    flag("--engine", metavar="NAME", help="the engine for networks (as in the settings)")
    flag("--precision", choices=PRECISIONS, help="auto: the fastest that is safe (as in the settings)")
    flag(
        "--triton-repository",
        type=Path,
        metavar="DIR",
        help="write models for NVIDIA's Triton there, and serve nothing; --model may be NAME,... then",
    )
    add_config_flag(parser)
    limits = parser.add_argument_group("limits")
    flag = limits.add_argument
    whole, positive = argument_types.parse_positive_integer, argument_types.parse_positive
    flag("--max-mb", type=whole, default=1024, metavar="N", help="MB of an upload (1024)")
    flag("--max-megapixels", type=positive, default=64.0, metavar="N", help="of a result, or of its frames (64)")
    flag("--max-seconds", type=positive, default=600.0, metavar="N", help="of a video (600)")
    flag("--queue", type=whole, default=16, metavar="N", help="jobs that may wait (16)")
    flag("--keep-hours", type=positive, default=24.0, metavar="N", help="until a result is deleted (24)")
    parser.epilog = (
        f"At an address that other machines reach, requests need a token: {TOKEN_VARIABLE} in the environment, "
        "or else a new one that is printed."
    )
    parser.set_defaults(command=_run_serve)


def _run_serve(a: argparse.Namespace) -> int:
    if a.triton_repository is not None:
        return _write_triton_repository(a)
    from live_sr import service
    from live_sr.engines.options import EngineOptions
    from live_sr.service.options import ServiceLimits, ServiceOptions
    from live_sr.system import paths

    settings = load_settings(a, make_overrides(model=a.model, engine=a.engine, precision=a.precision))
    folder = a.folder or paths.require_folder(paths.get_state_folder(), "jobs") / "service"
    return service.main(
        ServiceOptions(
            host=a.host,
            port=a.port,
            folder=folder.absolute(),
            token=_choose_token(a.host),
            model=settings.model.name,
            limits=ServiceLimits(a.max_mb << 20, a.max_megapixels, a.max_seconds, a.queue),
            engine=EngineOptions.from_settings(settings),
            keep_hours=a.keep_hours,
        )
    )


def _write_triton_repository(a: argparse.Namespace) -> int:
    from live_sr.engines.options import EngineOptions
    from live_sr.service.triton_repository import write_repository
    from live_sr.terminal import print_result

    settings = load_settings(a, make_overrides(engine=a.engine, precision=a.precision))
    names = (settings.model.name,) if a.model is None else argument_types.parse_names(a.model)
    if not names:
        raise UsageError("--model names no model", "write it like fast,quality")
    written = write_repository(a.triton_repository, names, EngineOptions.from_settings(settings))
    for sentence in written.left_out:
        print_result(f"live-sr: {sentence}")
    print_result(f"live-sr: in {a.triton_repository}: {', '.join(written.names)}")
    return 0


def _choose_token(host: str) -> str:
    """The token from the environment; else a new one where other machines reach the address, or an empty string."""
    import secrets

    from live_sr.service.options import is_loopback

    given = os.environ.get(TOKEN_VARIABLE, "")
    if given and len(given) < LEAST_TOKEN:
        raise UsageError(f"{TOKEN_VARIABLE} is shorter than {LEAST_TOKEN} characters", "choose a longer one")
    if not (given.isascii() and given.isprintable() and given == given.strip()):
        raise UsageError(f"{TOKEN_VARIABLE} has characters that a header cannot hold", "use letters and digits")
    return given or ("" if is_loopback(host) else secrets.token_urlsafe(24))


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f'"{text}" is not a port; give 0 to 65535')
    return int(text)
