"""Builds the image of the Dockerfile without Docker, and tries it: the service, the file tools, no network.

    python3 .ci/container.py [--keep]

FROM is a new Debian made by debootstrap, RUN a command in it, COPY a copy. It takes root, debootstrap and some minutes.
--keep leaves the image's folder there and prints its name.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from second_python import (
    APART,
    CERTIFICATES,
    KEPT,
    LOOPBACK,
    RELEASE,
    ROOT,
    Missing,
    copy_tree,
    kept_archive,
    need_tools,
    prepare,
    reaching_packages,
    run,
    run_steps,
)

BASE = f"debian:{RELEASE}-slim"
METADATA = ("EXPOSE", "HEALTHCHECK", "VOLUME", "WORKDIR")  # which a folder cannot show
BUILD = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mkdir -p "$1/root/.cache/pip"
mount --bind "$2/pip" "$1/root/.cache/pip"
root=$1
shift 2
exec chroot "$root" "$@"
"""
TRY = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t sysfs sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/tmp"
cp "$2/loopback.py" "$2/try.py" "$1/tmp"
root=$1 user=$3
shift 3
exec unshare --net chroot "$root" "$@" sh -c "python3 /tmp/loopback.py &&
    exec setpriv --reuid=$user --regid=$user --clear-groups python3 /tmp/try.py"
"""
# In the image, as its user and with its Python's standard library alone.
TRIED = """
import re, subprocess, sys, urllib.request
from pathlib import Path
command, page = COMMAND, next(Path("/opt/live-sr").glob("lib/python3*/site-packages/live_sr/service/page"))
clip = page.parents[1] / "app/demo_clip/freedoom.mp4"
engine = ["--engine", "openvino"]  # "auto" may choose another one in the second of two trials
def upscale(source, target, *flags):
    subprocess.run([command[0], "upscale", source, "-o", target, *flags], check=True)
    return Path(target).read_bytes()
expected = upscale(page / "example.png", "/tmp/large.png", *engine)
service = subprocess.Popen([*command, *engine, "--port", "0"], stdout=subprocess.PIPE, text=True)
port, token = re.search(r":(\\d+)/#token=(\\S+)", service.stdout.readline()).groups()
def check_health():
    return subprocess.run(HEALTH, check=True, capture_output=True, text=True).stdout
assert f":{port}/healthz: ok" in check_health(), "the health check asks elsewhere than where the service listens"
body = b'--x\\r\\nContent-Disposition: form-data; name="file"; filename="a.png"\\r\\n\\r\\n%b\\r\\n--x--\\r\\n'
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/upscale/file", body % (page / "example.png").read_bytes(),
    {"Content-Type": "multipart/form-data; boundary=x", "Authorization": f"Bearer {token}"},
)
answer = urllib.request.urlopen(request).read()
service.terminate()
assert service.wait() in (0, -15), "the service ends with an error"  # uvicorn ends by the signal that it was sent
assert "no service" in check_health(), "a container that does other work is said to be ill"
assert answer == expected, "the service makes another picture than the command line"
assert upscale(clip, "/tmp/large.mp4", "--model", "bilinear", "--scale", "2")
native = subprocess.run([command[0], "doctor"], capture_output=True, text=True).stdout
assert "native" in native and "no C compiler" not in native, native
print("container: the service and the command line make the same picture, and a video is upscaled")
"""


@dataclass
class Stage:
    """One FROM of a Dockerfile: its steps, and what is known of it."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Image:
    """A built stage: its folder, and the settings that a container of it starts with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    user: str = "root"


def read_stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile. It has no line that goes on, and no command but those of `Builder`."""
    stages: list[Stage] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name, base))
        else:
            stages[-1].steps.append((word, rest))
    return stages


class Builder:
    """Builds stages in folders of `folder`."""

    def __init__(self, stages: list[Stage], folder: Path) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._folder = folder
        self._images: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """Builds a stage, once, with all that it needs. Raises CalledProcessError."""
        if name in self._images:
            return self._images[name]
        stage = self._stages[name]
        image = self._begin(stage)
        for word, rest in stage.steps:
            if word == "RUN":
                self._run(image, rest)
            elif word == "COPY":
                self._copy(image, shlex.split(rest))
            elif word == "ENV":
                image.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
            elif word == "USER":
                image.user = rest
            elif word in ("ENTRYPOINT", "CMD"):
                setattr(image, "entry" if word == "ENTRYPOINT" else "command", tuple(json.loads(rest)))
            elif word not in METADATA:
                raise ValueError(f"the Dockerfile has {word}, which this does not know")
            if word == "HEALTHCHECK":
                image.health = tuple(json.loads(rest.removeprefix("CMD ")))
        self._images[name] = image
        return image

    def _begin(self, stage: Stage) -> Image:
        root = self._folder / stage.name
        if stage.base == BASE:
            root.mkdir()
            run("tar", "-C", root, "-xf", kept_archive(f"{RELEASE}-bare", ""))
            return Image(root)
        base = self.build(stage.base)
        run("cp", "-a", "--reflink=auto", base.root, root)
        return Image(root, dict(base.environment), base.entry, base.command, base.health)

    def _run(self, image: Image, command: str) -> None:
        print(f"container: {command}", flush=True)
        prepare(image.root)  # each time, since a package may put its own certificates in place of this machine's
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PIP_CERT": CERTIFICATES,
            "PIP_CACHE_DIR": "/root/.cache/pip",
            **reaching_packages(),
            **image.environment,
        }
        code = run_steps(
            *APART, "sh", "-c", BUILD, "sh", image.root, KEPT, *format_environment(environment), "sh", "-c", command
        )
        if code:
            raise subprocess.CalledProcessError(code, command)

    def _copy(self, image: Image, words: list[str]) -> None:
        *sources, target = [word for word in words if not word.startswith("--from=")]
        where = next((self.build(word[7:]).root for word in words if word.startswith("--from=")), None)
        place = image.root / target.lstrip("/")
        if sources == ["."]:
            copy_tree(place)
            for path in sorted(place.rglob("*"), reverse=True):
                remove_ignored(path, place)
            return
        for source in sources:
            path = (where or ROOT) / source.lstrip("/")
            goal = place / path.name if target.endswith("/") else place
            goal.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-a", path, goal)


def remove_ignored(path: Path, context: Path) -> None:
    """Deletes what .dockerignore keeps out: all but the lines that begin with an exclamation mark."""
    kept = [Path(line[1:]) for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"]
    name = path.relative_to(context)
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
    elif not any(name.is_relative_to(place) for place in kept):
        path.unlink()


def format_environment(values: Mapping[str, str]) -> Iterator[str]:
    yield from ("env", "-i", *(f"{name}={value}" for name, value in values.items()))


def try_image(image: Image, folder: Path) -> int:
    """Starts what a container would, as its user and without a network. The exit code."""
    program = TRIED.replace("COMMAND", repr([*image.entry, *image.command])).replace("HEALTH", repr([*image.health]))
    (folder / "try.py").write_text(program)
    (folder / "loopback.py").write_text(LOOPBACK)
    user = re.search(rf"^{image.user}:x:(\d+):", (image.root / "etc/passwd").read_text(), re.MULTILINE)
    assert user, f"the image has no user {image.user}"
    return run_steps(*APART, "sh", "-c", TRY, "sh", image.root, folder, user[1], *format_environment(image.environment))


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="live-sr-container-", dir="/var/tmp"))
    try:
        need_tools()
        stages = read_stages((ROOT / "Dockerfile").read_text("utf-8"))
        image = Builder(stages, folder).build(stages[-1].name)
        code = try_image(image, folder)
        for path in ("", "opt/live-sr"):
            size = subprocess.run(["du", "-smx", image.root / path], capture_output=True, text=True, check=True).stdout
            print(f"container: /{path} has {size.split()[0]} MB")
        if "--keep" in sys.argv:
            print(f"container: kept in {image.root}")
        return code
    except Missing as why:
        print(f"container: not tried: {why}")
        return 0
    finally:
        if "--keep" not in sys.argv:
            subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)


if __name__ == "__main__":
    sys.exit(main())
