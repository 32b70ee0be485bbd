"""The Dockerfile's health check: asks the service in this container whether it works, wherever it listens.

    python3 container_health.py

Ends with 1 if it does not work, and with 0 if it does, or if this container runs another command of live-sr. Where the
service listens is read from the sockets of its process: flags, settings and the system all have a say in that.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path, PurePath
from urllib.request import ProxyHandler, build_opener

PROC = Path("/proc")
LISTENING = "0A"  # the state in /proc/net/tcp
TIMEOUT_S = 10


def find_services() -> Iterator[Path]:
    """The folder in /proc of each process that runs `live-sr serve`."""
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            names = [PurePath(word).name for word in words]
            if "serve" in names and {"live-sr", "live_sr"} & {*names[: names.index("serve")]}:
                yield folder


def find_sockets(process: Path) -> set[str]:
    """The inodes of a process's sockets, as text."""
    found = set()
    with suppress(OSError):  # it has ended, or is somebody else's
        for handle in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                kind, _, inode = str(handle.readlink()).partition(":")
                if kind == "socket":
                    found.add(inode.strip("[]"))
    return found


def list_listeners() -> Iterator[tuple[str, str]]:
    """The inode of each socket that listens, and its address as in a URL."""
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a system without IPv6
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING:
                    yield fields[9], format_address(*fields[1].split(":"))


def format_address(address: str, port: str) -> str:
    """From hexadecimal digits, of which each four bytes are a number in the order of this machine."""
    numbers = (int(address[i : i + 8], 16) for i in range(0, len(address), 8))
    host = ip_address(b"".join(number.to_bytes(4, sys.byteorder) for number in numbers))
    is_six = isinstance(host, IPv6Address)
    if host.is_unspecified:  # all addresses
        host = ip_address("::1" if is_six else "127.0.0.1")
    return f"{f'[{host}]' if is_six else host}:{int(port, 16)}"


def main() -> int:
    services = [*find_services()]
    if not services:
        print("there is no service in this container")
        return 0
    sockets = set().union(*(find_sockets(process) for process in services))
    addresses = [address for inode, address in list_listeners() if inode in sockets]
    if not addresses:
        print("the service does not listen")
        return 1
    opener = build_opener(ProxyHandler({}))  # a proxy from the environment does not reach it
    for address in addresses:
        url = f"http://{address}/healthz"
        try:
            opener.open(url, timeout=TIMEOUT_S).close()
        except OSError as error:
            print(f"{url}: {error}")
            return 1
        print(f"{url}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
