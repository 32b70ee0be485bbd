"""Finds the folders of this user, and expands paths that people write in settings.

A user may have no home: HOME is not set, and the system has no entry for the user, as in a container started with a
mere user number. Then the folders are None.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs

from live_sr.errors import LiveSRError
from live_sr.system import platform

APP = "live-sr"
NO_HOME = "there is no home folder: HOME is not set, and this user has none"


def unset_empty_variables() -> None:
    """Removes HOME and the XDG variables from the environment where they are empty, for the whole process."""
    for name in [name for name, value in os.environ.items() if not value]:
        if name == "HOME" or name.startswith("XDG_"):
            del os.environ[name]


def get_config_folder() -> Path | None:
    """Where this user's config.toml is."""
    return _find_folder(lambda: platformdirs.user_config_path(APP, appauthor=False, roaming=True))


def get_data_folder() -> Path | None:
    """Where the models that this user added are kept, and the secret that signs compiled engines."""
    return _find_folder(lambda: platformdirs.user_data_path(APP, appauthor=False))


def get_desktop_entries_folder() -> Path | None:
    """Where this user's .desktop files are, which tell a desktop on Linux about programs."""
    data = get_data_folder()
    return None if data is None else data.parent / "applications"


def get_state_folder() -> Path | None:
    """Where live-sr keeps what it remembers from one run to the next."""
    return _find_folder(lambda: platformdirs.user_state_path(APP, appauthor=False))


def get_models_folder() -> Path | None:
    """Where the models that this user added are kept."""
    folder = get_data_folder()
    return None if folder is None else folder / "models"


def get_cache_folder() -> Path | None:
    """Where compiled engines are kept unless the settings name a folder: engines/ here, else the user's cache."""
    if Path("engines").is_dir():
        return Path("engines")
    return _find_in_cache("engines")


def get_native_folder() -> Path | None:
    """Where the native engine's compiled library is kept. Never a folder of the working directory: it is executed."""
    return _find_in_cache("native")


def get_npm_folder() -> Path | None:
    """Where packages of npm are kept, with which `live-sr pairs engine` draws."""
    return _find_in_cache("npm")


def _find_in_cache(name: str) -> Path | None:
    if platform.get_platform() == "win32":  # there the cache is beside the data, in %LOCALAPPDATA%
        folder = get_data_folder()
    else:
        folder = _find_folder(lambda: platformdirs.user_cache_path(APP, appauthor=False))
    return None if folder is None else folder / name


def get_runtime_folder() -> Path | None:
    """Where sockets are that last as long as this user is logged in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR, platformdirs warns of the folder that it takes
        return _find_folder(lambda: platformdirs.user_runtime_path(APP, appauthor=False))


def require_folder(folder: Path | None, what: str) -> Path:
    """Returns the folder, in which `what` is to be kept. Raises LiveSRError if it is None."""
    if folder is None:
        raise LiveSRError(f"{what} cannot be kept: {NO_HOME}", "set HOME to a folder that you can write to")
    return folder


def expand_path(text: str) -> str:
    """A path from the settings with `~` and environment variables ($NAME, ${NAME}, on Windows also %NAME%) replaced.

    Variables that are not set stay as they are. Raises ValueError for a `~` where there is no home.
    """
    expanded = os.path.expandvars(text)
    if not expanded.startswith("~"):
        return expanded
    try:
        return str(Path(expanded).expanduser())
    except RuntimeError:
        raise ValueError(f"{NO_HOME}; write the whole path") from None


def _find_folder(find: Callable[[], Path]) -> Path | None:
    """Calls platformdirs. Without a home, its versions either raise RuntimeError or return a relative path."""
    try:
        folder = find()
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None
