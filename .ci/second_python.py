"""Runs the README's first command, and the tests that need no torch, with another Python than that of .venv.

Best in a Debian 13 that has nothing installed: root and debootstrap make one, and it is thrown away afterwards. Else
with another interpreter of this machine. What is missing is told in a line, and the next is tried.

Kept between two runs, in /var/tmp: the bare Debian as one archive, for a week, and pip's downloads.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = Path(f"/var/tmp/live-sr-ci-{os.getuid()}")
KEPT_S = 7 * 24 * 3600
RELEASE, PACKAGES = "trixie", "python3,python3-venv,ca-certificates,git"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Of pip's settings, those that say how packages are reached. Folders of this machine are not there in the new system.
REACHING = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
SET_UP = "python3 tools/start.py demo && test -s demo.png && python3 tools/start.py test --light --version"
TESTS = "(python3 tools/start.py test --light || python3 tools/start.py test --light --last-failed)"  # as in .ci/run
# In namespaces of its own: what a command mounts is gone when it ends, however it ends, and so is all that it started.
APART = ("unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child")
# The tests have a network of their own as well: X servers of both systems would meet under one name in a common one.
INSIDE = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mkdir -p "$1/root/.cache/pip"
mount --bind "$2/pip" "$1/root/.cache/pip"
root=$1 set_up=$3 tests=$4
shift 4
chroot "$root" "$@" sh -c "cd /root/live-sr && $set_up"
exec unshare --net chroot "$root" "$@" sh -c "python3 /root/loopback.py && cd /root/live-sr && $tests"
"""
LOOPBACK = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running
"""


class Missing(Exception):
    """This way is not to be had here, and why."""


def run(*command: object, **options: object) -> None:
    subprocess.run([str(c) for c in command], check=True, **options)  # type: ignore[call-overload]


def run_steps(*command: object, **options: object) -> int:
    """The exit code of what has many processes of its own: they are ended with this one."""
    process = subprocess.Popen([str(c) for c in command], start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        return int(process.wait())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def copy_tree(target: Path) -> None:
    """The working tree as it stands, without what git ignores."""
    target.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():  # else deleted, and not yet committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


# In a Debian of its own


def need_tools() -> None:
    """Raises Missing where a new Debian cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Missing("it takes root on Linux")
    if not shutil.which("debootstrap") and shutil.which("apt-get"):
        install = [
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=300",
            "debootstrap",
        ]
        subprocess.run(install, capture_output=True)
    for tool in ("debootstrap", "unshare", "tar"):
        if not shutil.which(tool):
            raise Missing(f"{tool} is missing")
    if subprocess.run([*APART, "true"], capture_output=True).returncode:
        raise Missing("no namespaces are allowed here")


def kept_archive(name: str = RELEASE, packages: str = PACKAGES) -> Path:
    """A bare system with these packages as an archive, made when there is none or it is old. Raises Missing."""
    KEPT.mkdir(mode=0o700, exist_ok=True)
    if KEPT.is_symlink() or KEPT.stat().st_uid != os.getuid():
        raise Missing(f"{KEPT} belongs to somebody else")
    (KEPT / "pip").mkdir(exist_ok=True)
    archive = KEPT / f"{name}.tar"
    if archive.exists() and time.time() - archive.stat().st_mtime < KEPT_S:
        return archive
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        root, part = Path(folder, "root"), Path(folder, "tar")
        included = [f"--include={packages}"] if packages else []
        made = subprocess.run(
            [*APART, "debootstrap", "--variant=minbase", *included, RELEASE, root],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Missing(f"debootstrap failed: {made.stdout.strip().splitlines()[-1:]}")
        run("tar", "-C", root, "--one-file-system", "--exclude=./var/cache/apt/archives/*.deb", "-cf", part, ".")
        part.replace(archive)  # whole, or not there
    return archive


def reaching_packages() -> dict[str, str]:
    """The environment in which pip inside reaches what pip here reaches."""
    settings = {name: os.environ[name] for n in PROXIES for name in (n, n.upper()) if name in os.environ}
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        option = key.rpartition(".")[2]
        elsewhere = [word for word in str(ast.literal_eval(value)).split() if not word.startswith(("/", "file:"))]
        if option in REACHING and elsewhere:
            settings[f"PIP_{option.upper().replace('-', '_')}"] = " ".join(elsewhere)
    return settings


def prepare(root: Path) -> None:
    """What the new system needs of this one to reach the packages: certificates, names, apt's proxies."""
    trusted = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    if trusted and Path(trusted).exists():
        (root / CERTIFICATES[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(trusted, root / CERTIFICATES[1:])
    for name in ("etc/resolv.conf", "etc/hosts"):
        if Path("/", name).exists():
            shutil.copy(Path("/", name), root / name)
    apt = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    proxies = [line for line in apt.stdout.splitlines() if line.lower().startswith("acquire::http") and "roxy" in line]
    (root / "etc/apt/apt.conf.d/90proxy").write_text("\n".join(proxies) + "\n")


def in_new_debian(folder: Path) -> int:
    need_tools()
    archive = kept_archive()
    root = folder / "root"
    root.mkdir()
    run("tar", "-C", root, "-xf", archive)
    prepare(root)
    copy_tree(root / "root/live-sr")
    (root / "root/loopback.py").write_text(LOOPBACK)
    environment = {
        "HOME": "/root",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PIP_CERT": CERTIFICATES,
        "SSL_CERT_FILE": CERTIFICATES,
        **reaching_packages(),
    }
    print(f"second python: in a new Debian ({RELEASE})", flush=True)
    return run_steps(
        *(*APART, "sh", "-c", INSIDE, "sh", root, KEPT, SET_UP, TESTS),
        *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
    )


# With another interpreter of this machine


def another_python() -> str:
    """The newest interpreter of another version that is at hand: one of pyenv's, or one on PATH. Raises Missing."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = [str(path) for path in versions.glob("3.*/bin/python3")]
    found += [path for minor in range(11, 20) if (path := shutil.which(f"python3.{minor}"))]
    ask = "import ensurepip, sys; print(*sys.version_info[:2])"
    usable: dict[tuple[int, ...], str] = {}
    for path in found:
        answer = subprocess.run([path, "-c", ask], capture_output=True, text=True)  # one of pyenv's shims may not work
        if answer.returncode == 0:
            usable[tuple(int(word) for word in answer.stdout.split())] = path
    newest = max(
        (version for version in usable if version >= (3, 11) and version != sys.version_info[:2]), default=None
    )
    if newest is None:
        raise Missing("there is no other Python, 3.11 or newer, neither of pyenv nor on PATH")
    return usable[newest]


def with_another_python(folder: Path) -> int:
    python = another_python()
    copy_tree(folder / "live-sr")
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    print(f"second python: {python}", flush=True)
    steps = f"{SET_UP} && {TESTS}".replace("python3", f'"{python}"')
    return run_steps("sh", "-c", steps, cwd=folder / "live-sr", env=environment)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what is begun is ended, and thrown away
    for name, way in (("a new Debian", in_new_debian), ("another interpreter", with_another_python)):
        folder = tempfile.mkdtemp(prefix="live-sr-", dir="/var/tmp")
        try:
            return way(Path(folder))
        except Missing as why:
            print(f"second python: not with {name}: {why}", flush=True)
        finally:
            subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)
    print("second python: not tested", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
