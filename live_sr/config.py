"""The settings as frozen values: defaults < config.toml < the profile of this game < flags. Lists all mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from live_sr.config_mistakes import find_mistakes, name_flags
from live_sr.errors import UsageError, did_you_mean
from live_sr.system import paths, toml
from live_sr.system.platform import get_platform

SAVE_AS_UTF8 = "save it as UTF-8: editors offer that where they save"
SOURCE_ASPECT = "source"
WIDEST_ASPECT = 4  # width by height, and height by width
JOIN = "+"  # between the parts of a chain
MODIFIERS = ("ctrl", "alt", "shift", "super")
NAMED_KEYS = (
    *(f"f{n}" for n in range(1, 25)),
    *("space", "tab", "enter", "esc", "backspace", "insert", "delete", "home", "end", "page_up", "page_down"),
    *("up", "down", "left", "right", "pause", "print_screen", "scroll_lock"),
)

Key = Annotated[str, Field(description="for example ctrl+alt+m; empty: not bound")]


Flags = Mapping[str, Mapping[str, Any]]
"""What the command line changes: values by section and name, as in config.toml."""


class SettingsSection(BaseModel):
    """A table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CaptureSettings(SettingsSection):
    backend: Literal["auto", "x11", "pipewire", "dxgi", "wgc", "mss"] = "auto"


def _expand(text: str) -> str:
    return paths.expand_path(text)


def parse_aspect(text: str) -> float:
    """ "4:3" -> 1.333. Raises ValueError with a sentence."""
    width, _, height = text.partition(":")
    try:
        ratio = float(width) / float(height)
    except (ValueError, ZeroDivisionError):
        ratio = 0.0
    if not 1 / WIDEST_ASPECT <= ratio <= WIDEST_ASPECT:
        raise ValueError(
            f'must be "{SOURCE_ASPECT}" or width:height, such as "4:3" or "16:9", at most {WIDEST_ASPECT}:1'
        )
    return ratio


def _check_aspect(text: str) -> str:
    if text != SOURCE_ASPECT:
        parse_aspect(text)
    return text


PathText = Annotated[str, AfterValidator(_expand)]
"""A path, in which `~` and environment variables are replaced."""


class ModelSettings(SettingsSection):
    """If there is a chain, it is the model, and `name` becomes its parts joined by +."""

    name: str = "fast"
    chain: list[str] = Field(default_factory=list)
    scale: Literal[2, 3, 4, "fit"] = 2

    @model_validator(mode="before")
    @classmethod
    def _join_chain(cls, raw: Any) -> Any:
        parts = raw.get("chain") if isinstance(raw, dict) else None
        whole = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
        return {**raw, "name": JOIN.join(parts)} if parts and whole else raw

    @field_validator("name")
    @classmethod
    def _expand_paths(cls, name: str) -> str:
        """In each part of a chain."""
        return JOIN.join(map(_expand, name.split(JOIN)))


class EngineSettings(SettingsSection):
    backend: Literal[
        "auto", "tensorrt", "rtx", "cuda", "webgpu", "openvino-gpu", "onnx-webgpu", "native", "openvino", "filters"
    ] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8", "fp8"] = "auto"
    adapter: Annotated[str, Field(min_length=1)] = "auto"
    plain: Literal["nearest", "bilinear", "bicubic", "lanczos", "fsr"] = "bicubic"
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    cache: PathText = ""
    queue: Annotated[int, Field(ge=0, le=2)] = 0
    changed_regions: bool = True
    budget_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"


class OverlaySettings(SettingsSection):
    mode: Literal["cover", "beside"] = "cover"
    present: Literal["auto", "raster", "gl", "gpu", "layer"] = "auto"
    vsync: Literal["off", "on", "adaptive"] = "off"
    pointer: Literal["map", "view"] = "map"
    pointer_scale: Literal["picture", 1, 2, 3, 4] = "picture"
    pointer_edges: Literal["keep", "leave"] = "keep"
    hotkeys: Literal["auto", "registerhotkey", "record", "portal", "pynput"] = "auto"
    when_inactive: Literal["hide", "stay", "below"] = "hide"
    aspect: Annotated[str, AfterValidator(_check_aspect)] = "source"
    monitor: str | Annotated[int, Field(ge=1)] = "auto"
    hide_from_recorders: bool = True
    screenshots: PathText = "screenshots"

    @property
    def aspect_ratio(self) -> float | None:
        """Width divided by height; None: that of the game's window."""
        return None if self.aspect == SOURCE_ASPECT else parse_aspect(self.aspect)


class RecordingSettings(SettingsSection):
    folder: PathText = "recordings"
    fps: Annotated[float, Field(ge=0, le=1000)] = 30.0
    preset: Literal["small", "fastest"] = "small"
    sound: Literal["auto", "off"] = "auto"


class HudSettings(SettingsSection):
    level: Literal["off", "line", "detail"] = "line"
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "top-left"
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 5.0


HOTKEY_MODIFIERS = "alt+shift" if get_platform() == "win32" else "ctrl+alt"
"""Of the default hotkeys. On Windows Ctrl+Alt is AltGr, with which many keyboards type characters."""


class HotkeySettings(SettingsSection):
    """One field for each action, named after it."""

    next_model: Key = f"{HOTKEY_MODIFIERS}+m"
    previous_model: Key = f"{HOTKEY_MODIFIERS}+n"
    next_scale: Key = f"{HOTKEY_MODIFIERS}+s"
    hud: Key = f"{HOTKEY_MODIFIERS}+h"
    overlay: Key = f"{HOTKEY_MODIFIERS}+o"
    compare: Key = f"{HOTKEY_MODIFIERS}+c"
    split: Key = f"{HOTKEY_MODIFIERS}+x"
    divider_left: Key = f"{HOTKEY_MODIFIERS}+,"
    divider_right: Key = f"{HOTKEY_MODIFIERS}+."
    screenshot: Key = f"{HOTKEY_MODIFIERS}+p"
    record: Key = f"{HOTKEY_MODIFIERS}+r"
    pause: Key = f"{HOTKEY_MODIFIERS}+space"
    quit: Key = f"{HOTKEY_MODIFIERS}+q"

    @field_validator("*")
    @classmethod
    def _check_key(cls, key: str) -> str:
        if key:
            parse_key(key)
        return key.lower()


class Settings(SettingsSection):
    """All settings of one command."""

    capture: CaptureSettings = CaptureSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    overlay: OverlaySettings = OverlaySettings()
    recording: RecordingSettings = RecordingSettings()
    hud: HudSettings = HudSettings()
    hotkeys: HotkeySettings = HotkeySettings()


class SettingsFile(Settings):
    """config.toml as it is written: the settings, and the profiles that change them for some games."""

    profile: list[dict[str, Any]] = []


def parse_key(key: str) -> tuple[frozenset[str], str]:
    """ "ctrl+alt+m" -> ({"ctrl", "alt"}, "m"). Raises ValueError with a sentence."""
    *modifiers, last = (part.strip() for part in key.lower().split("+"))
    for word in modifiers:
        if word not in MODIFIERS:
            raise ValueError(f'"{word}" is not a modifier: use {", ".join(MODIFIERS)}.{did_you_mean(word, MODIFIERS)}')
    if len(last) != 1 and last not in NAMED_KEYS:
        raise ValueError(f'"{last}" is not a key: use one character or a name like f8.{did_you_mean(last, NAMED_KEYS)}')
    return frozenset(modifiers), last


def find(folders: Iterable[Path | None]) -> Path | None:
    """config.toml in the first of the folders that has one."""
    candidates = (folder / "config.toml" for folder in folders if folder is not None)
    return next((file for file in candidates if file.is_file()), None)


def load(path: Path | None, game: tuple[str, ...] = (), flags: Flags | None = None) -> Settings:
    """The settings for a game known by the names in `game`. Raises UsageError that lists all mistakes.

    path: of config.toml; None: the defaults. flags: what the command line changes, in the shape of config.toml.
    """
    raw, profiles = _read(path)
    for profile in profiles:
        if matches_game(profile["match"], game):
            raw = merge(raw, _without_match(profile))
    raw = merge(raw, flags or {})
    mistakes = find_mistakes(Settings, raw)
    if mistakes:  # of the flags, since the file has been checked
        raise UsageError("\n  ".join(name_flags(mistakes)), "correct the command line; `--help` says more")
    settings = Settings.model_validate(raw)
    doubled = _find_doubled_keys(settings.hotkeys)
    if doubled:
        raise _refuse(str(path or "the settings"), doubled)
    return settings


def _find_doubled_keys(hotkeys: HotkeySettings) -> list[str]:
    """A sentence for each action that has the keys of another one. Only the settings as a whole can tell."""
    owners: dict[tuple[frozenset[str], str], str] = {}
    mistakes = []
    for action, key in hotkeys.model_dump().items():
        other = owners.setdefault(parse_key(key), action) if key else action
        if other != action:
            mistakes.append(f'hotkeys.{action} = {key!r}: {other} has these keys already; "" gives an action no key')
    return mistakes


def load_all(path: Path | None, flags: Flags | None = None) -> list[Settings]:
    """The settings without a profile, then with each profile alone. Raises UsageError that lists all mistakes."""
    raw, profiles = _read(path)
    return [
        load(path, (), flags),
        *(Settings.model_validate(merge(merge(raw, _without_match(one)), flags or {})) for one in profiles),
    ]


def _read(path: Path | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings of a file as written, and its profiles. Raises UsageError that lists all mistakes."""
    if path is None:
        return {}, []
    try:
        raw = toml.read(path)
    except toml.WrongEncoding as error:
        raise UsageError(f"{path} cannot be read: {error}", SAVE_AS_UTF8) from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}", "correct that line, or delete the file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    mistakes = find_mistakes(SettingsFile, raw)
    listed = raw.pop("profile", [])
    profiles = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) else []
    for number, profile in enumerate(profiles, 1):
        mistakes += _find_profile_mistakes(profile, f"profile {number}")
    if mistakes:
        raise _refuse(str(path), mistakes)
    return raw, profiles


def _refuse(where: str, mistakes: list[str]) -> UsageError:
    lines = "\n  ".join([f"{where}:", *mistakes])
    return UsageError(lines, "correct these; config.toml of the project lists every setting")


def _without_match(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a profile. A model that it names also replaces a chain of the sections above."""
    settings = {section: values for section, values in profile.items() if section != "match"}
    model = settings.get("model")
    if isinstance(model, dict) and "name" in model:
        settings["model"] = {"chain": [], **model}
    return settings


def matches_game(pattern: str, game: tuple[str, ...]) -> bool:
    """Whether the pattern, a regular expression that ignores case, matches a part of the title or process name."""
    return any(re.search(pattern, name, re.IGNORECASE) for name in game)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables merged, nested ones too; values of `above` win."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def _find_profile_mistakes(profile: dict[str, Any], name: str) -> list[str]:
    mistakes = find_mistakes(Settings, _without_match(profile), name)
    pattern = profile.get("match")
    if not isinstance(pattern, str) or not pattern:
        mistakes.append(f'{name}: "match" is missing: a part of the window\'s title or process name')
    else:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            mistakes.append(f'{name}.match: "{pattern}" is not a regular expression: {error}')
    return mistakes
