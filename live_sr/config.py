"""config.toml as frozen values: defaults < config.toml < profile of this game < flags. All mistakes told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from live_sr import toml
from live_sr.errors import UsageError, did_you_mean

MODIFIERS = ("ctrl", "alt", "shift", "super")
NAMED_KEYS = (
    *(f"f{n}" for n in range(1, 25)),
    *("space", "tab", "enter", "esc", "backspace", "insert", "delete", "home", "end", "page_up", "page_down"),
    *("up", "down", "left", "right", "pause", "print_screen", "scroll_lock"),
)

Key = Annotated[str, Field(description="for example ctrl+alt+m; empty: not bound")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Capture(Section):
    backend: Literal["auto", "x11", "dxgi", "wgc", "mss"] = "auto"


class Model(Section):
    """A chain, if there is one, is the model: `name` is then its parts with a + between."""

    name: str = "fast"
    chain: list[str] = Field(default_factory=list)
    scale: Literal[2, 3, 4, "fit"] = 2

    @model_validator(mode="before")
    @classmethod
    def _chained(cls, raw: Any) -> Any:
        parts = raw.get("chain") if isinstance(raw, dict) else None
        whole = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
        return {**raw, "name": "+".join(parts)} if parts and whole else raw


class EngineChoice(Section):
    backend: Literal["auto", "tensorrt", "rtx", "cuda", "openvino", "filters"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    plain: Literal["nearest", "bilinear", "bicubic", "lanczos", "fsr"] = "bicubic"
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    cache: str = ""
    queue: Annotated[int, Field(ge=0, le=2)] = 0
    budget_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0


class Overlay(Section):
    mode: Literal["cover", "beside"] = "cover"
    present: Literal["auto", "raster", "gl"] = "auto"
    vsync: Literal["off", "on", "adaptive"] = "off"
    pointer: Literal["view"] = "view"
    hide_from_recorders: bool = True
    screenshots: str = "screenshots"


class Hud(Section):
    level: Literal["off", "line", "detail"] = "line"
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "top-left"
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 5.0


class Keys(Section):
    """One field an action; the field's name is the action's."""

    next_model: Key = "ctrl+alt+m"
    previous_model: Key = "ctrl+alt+n"
    next_scale: Key = "ctrl+alt+s"
    hud: Key = "ctrl+alt+h"
    overlay: Key = "ctrl+alt+o"
    compare: Key = "ctrl+alt+c"
    split: Key = "ctrl+alt+x"
    divider_left: Key = "ctrl+alt+,"
    divider_right: Key = "ctrl+alt+."
    screenshot: Key = "ctrl+alt+p"
    pause: Key = "ctrl+alt+space"
    quit: Key = "ctrl+alt+q"

    @field_validator("*")
    @classmethod
    def _spelled(cls, key: str) -> str:
        if key:
            key_parts(key)
        return key.lower()


class Config(Section):
    capture: Capture = Capture()
    model: Model = Model()
    engine: EngineChoice = EngineChoice()
    overlay: Overlay = Overlay()
    hud: Hud = Hud()
    hotkeys: Keys = Keys()


class File(Config):
    """config.toml as written: the settings, and what to change for which game."""

    profile: list[dict[str, Any]] = []


def key_parts(key: str) -> tuple[frozenset[str], str]:
    """ "ctrl+alt+m" -> ({"ctrl", "alt"}, "m"). Raises ValueError with a sentence."""
    *modifiers, last = (part.strip() for part in key.lower().split("+"))
    for word in modifiers:
        if word not in MODIFIERS:
            raise ValueError(f'"{word}" is not a modifier: use {", ".join(MODIFIERS)}.{did_you_mean(word, MODIFIERS)}')
    if len(last) != 1 and last not in NAMED_KEYS:
        raise ValueError(f'"{last}" is not a key: use one character or a name like f8.{did_you_mean(last, NAMED_KEYS)}')
    return frozenset(modifiers), last


def find(folders: Iterable[Path]) -> Path | None:
    """config.toml in the first of the folders that has one."""
    return next((f / "config.toml" for f in folders if (f / "config.toml").is_file()), None)


def load(path: Path | None, game: tuple[str, ...] = (), flags: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """The settings for a game known by the names in `game`. Raises UsageError that tells all mistakes."""
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = toml.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{path} is not valid TOML: {error}", "correct that line, or delete the file") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    where = str(path or "the command line")
    mistakes = _mistakes(File, raw)
    listed = raw.get("profile", [])
    profiles = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) else []
    for number, profile in enumerate(profiles, 1):
        mistakes += _profile_mistakes(profile, f"profile {number}")
    if not mistakes:
        for profile in profiles:
            if matches(profile["match"], game):
                raw = merged(raw, {k: v for k, v in profile.items() if k != "match"})
        raw = merged({k: v for k, v in raw.items() if k != "profile"}, flags or {})
        mistakes = _mistakes(Config, raw)
        where = "the command line" if mistakes else where
    if mistakes:
        raise UsageError(
            "\n  ".join([f"{where}:", *mistakes]), "correct these; config.toml of the project lists every setting"
        )
    return Config.model_validate(raw)


def matches(pattern: str, game: tuple[str, ...]) -> bool:
    """Whether the pattern, a regular expression without regard to case, occurs in the title or process name."""
    return any(re.search(pattern, name, re.IGNORECASE) for name in game)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Section by section, the upper one's values win."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


def _profile_mistakes(profile: dict[str, Any], name: str) -> list[str]:
    mistakes = _mistakes(Config, {k: v for k, v in profile.items() if k != "match"}, name)
    pattern = profile.get("match")
    if not isinstance(pattern, str) or not pattern:
        mistakes.append(f'{name}: "match" is missing: a part of the window\'s title or process name')
    else:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            mistakes.append(f'{name}.match: "{pattern}" is not a regular expression: {error}')
    return mistakes


def _mistakes(model: type[Section], raw: Mapping[str, Any], prefix: str = "") -> list[str]:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return [_sentence(model, dict(e), prefix) for e in error.errors(include_url=False)]
    return []


def _sentence(model: type[Section], error: dict[str, Any], prefix: str) -> str:
    """One of pydantic's findings, for people."""
    path = [str(step) for step in error["loc"] if not (isinstance(step, str) and "[" in step)]
    name = ".".join(([prefix] if prefix else []) + path)
    if error["type"] == "extra_forbidden":
        for step in path[:-1]:
            inner = model.model_fields[step].annotation
            assert isinstance(inner, type) and issubclass(inner, Section)
            model = inner
        return f"{name} is not a setting.{did_you_mean(path[-1], model.model_fields)}"
    if error["type"] == "literal_error":
        expected = re.findall(r"'([^']*)'|(\d+)", error["ctx"]["expected"])
        words = [a or b for a, b in expected]
        value = error["input"]
        return f"{name} = {value!r}: must be one of {', '.join(words)}.{did_you_mean(str(value), words)}"
    return f"{name} = {error['input']!r}: {error['msg'].removeprefix('Value error, ')}"
