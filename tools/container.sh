#!/bin/sh
# The steps of the Dockerfile, which .ci/container.py does without Docker. They run as root in a bare Debian 13.
#
#   container.sh system                    what live-sr needs of Debian, and a user for it
#   container.sh tools                     what the next step needs
#   container.sh install SOURCE EXTRA...   live-sr from a folder, with these extras, into /opt/live-sr
set -eu

target=/opt/live-sr
home=/var/lib/live-sr
# Dependencies for windows on a screen, which there is none of. (six is python-xlib's.)
windows="PyQt6 python-xlib six mss"

install_packages() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log
}

install_system() {
    install_packages python3 ca-certificates
    useradd --system --uid 990 --home-dir "$home" live-sr
    # Also for `docker run --user`, which may name any user
    install -d -o live-sr -g live-sr -m 1777 "$home"
}

list_requirements() { # SOURCE EXTRA...
    python3 - "$windows" "$@" << 'PYTHON'
import re, sys, tomllib
from pathlib import Path
windows, source, *extras = sys.argv[1:]
project = tomllib.loads(Path(source, "pyproject.toml").read_text("utf-8"))["project"]
wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
print(*(line for line in wanted if re.match(r"[\w.-]+", line)[0] not in windows.split()), sep="\n")
PYTHON
}

install_live_sr() { # SOURCE EXTRA...
    source=$1
    version=$(python3 -c 'import sys; print(*sys.version_info[:2], sep="")')
    work=$(mktemp -d)
    list_requirements "$@" > "$work/requirements"
    python3 -m venv "$work/pip" # pip itself stays out of the result
    python3 -m venv --without-pip "$target"
    pip="$work/pip/bin/pip --python $target/bin/python --disable-pip-version-check --quiet install"
    $pip -c "$source/tools/constraints/py$version.txt" -r "$work/requirements"
    $pip --no-deps "$source"
    # The native engine, which would look for a compiler at the first start
    "$target/bin/python" -c 'from live_sr.engines.native import library; library.build_beside_source()'
    remove_unused "$target"/lib/python3*/site-packages
    rm -rf "$work"
}

# Parts of packages that live-sr has no use for: OpenVINO on GPUs and NPUs, and readers of formats that it never reads.
remove_unused() { # SITE-PACKAGES
    libraries=$1/openvino/libs
    rm -f "$libraries"/libopenvino_intel_[gn]pu_plugin.so "$libraries"/cache.json
    for format in gguf jax paddle pytorch tensorflow_lite; do
        rm -f "$libraries/libopenvino_${format}_frontend.so"*
    done
    rm -rf "$1/openvino/include" "$1/openvino/cmake" "$1/numpy/_core/include"
    find "$1/numpy" -type d -name tests -prune -exec rm -rf {} +
}

step=$1
shift
case $step in
    system) install_system ;;
    tools) install_packages python3-venv gcc libc6-dev ;;
    install) install_live_sr "$@" ;;
    *)
        echo "container.sh: there is no step $step" >&2
        exit 2
        ;;
esac
