"""`live-sr serve`: upscales over HTTP, with a web page.

options       what the user wants
run           takes the address, and starts everything
jobs, store   what a job is, and the database that keeps jobs over a restart
worker        the thread that does one job after another with one engine at a time
catalogue     which models may be named, and the files of those that were uploaded
intake        turns an upload into a job, or refuses it
changes       wakes those who wait for a job, on the event loop
gate          what every request must pass: address, token, size, place in the queue
service       all of these in one value, for the routes
routes, job_routes, replies   the interface over HTTP
measuring     measures networks in a process of its own
figures       how good and how fast the networks are, for the page
metrics       figures for Prometheus
page/         the web page

triton_repository, triton_model   the same engines served by Triton instead: its models' files, and what runs in it
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from live_sr.errors import MissingPart

if TYPE_CHECKING:
    from live_sr.service.options import ServiceOptions

PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""What the extra `serve` installs, by the name that is imported."""


def main(options: ServiceOptions) -> int:
    """Serves until it is stopped. Raises LiveSRError where it cannot begin."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingPart(f"`live-sr serve` needs {', '.join(missing)}", 'pip install "live-sr[serve]"')
    from live_sr.service import run

    return run.run(options)
