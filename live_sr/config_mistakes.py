"""Says what is wrong with settings: one sentence for each wrong value, with what is allowed in its place."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from live_sr.errors import did_you_mean

LONGEST = 60  # characters of a wrong value
CUSTOM = "Value error, "  # what pydantic puts before the sentences of our own validators

FLAGS = {
    "capture.backend": "--capture",
    "model.name": "--model",
    "model.scale": "--scale",
    "engine.backend": "--engine",
    "engine.precision": "--precision",
    "overlay.mode": "--mode",
    "overlay.aspect": "--aspect",
    "overlay.monitor": "--output-monitor",
    "hud.level": "--hud",
}
"""The flags that change a setting."""


def find_mistakes(model: type[BaseModel], raw: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A sentence for each value that the model does not take. `prefix`: where they are from, such as "profile 2"."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        found = (_describe_mistake(model, raw, dict(one), prefix) for one in error.errors(include_url=False))
        return list(dict.fromkeys(found))  # pydantic reports each of the types that a value may have
    return []


def name_flags(mistakes: list[str]) -> list[str]:
    """The sentences for a user who has given flags, which they name in place of the settings."""
    parts = (mistake.partition(" = ") for mistake in mistakes)
    return [f"{FLAGS.get(name, name)} {words}" for name, _, words in parts]


def _describe_mistake(model: type[BaseModel], raw: Mapping[str, Any], error: dict[str, Any], prefix: str) -> str:
    path, field, unknown = _find_field(model, error["loc"])
    name = ".".join(([prefix] if prefix else []) + path)
    if field is None:
        return f"{name} is not a setting.{did_you_mean(path[-1], unknown)}"
    value: Any = raw
    for step in path:
        value = value[step]
    if error["msg"].startswith(CUSTOM):
        return f"{name} = {_format_value(value)}: {error['msg'].removeprefix(CUSTOM)}"
    words = _list_words(field.annotation)
    allowed = " or ".join(_describe(field.annotation, field.metadata))
    if words and allowed == ", ".join(words):
        return f"{name} = {_format_value(value)}: must be one of {allowed}.{did_you_mean(str(value), words)}"
    return f"{name} = {_format_value(value)}: must be {allowed}"


def _find_field(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], FieldInfo | None, list[str]]:
    """The setting that pydantic means, as a path and its field; None with the names that there are if it is unknown.

    What follows in `loc` are parts of the value and names of its possible types.
    """
    path: list[str] = []
    field: FieldInfo | None = None
    inner: Any = model
    for step in loc:
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        path.append(str(step))
        field = inner.model_fields.get(str(step))
        if field is None:
            return path, None, list(inner.model_fields)
        inner = field.annotation
    return path, field, []


def _describe(kind: Any, limits: list[Any]) -> list[str]:
    """What a type allows, in words; for a union each of its types."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return _describe(inner, [limit for one in more for limit in getattr(one, "metadata", [one])])
    if get_origin(kind) in (Union, UnionType):
        return [words for one in get_args(kind) for words in _describe(one, limits)]
    if get_origin(kind) is Literal:
        return [", ".join(str(word) for word in get_args(kind))]
    if get_origin(kind) is list:
        of_texts = get_args(kind) == (str,)
        return ['a list such as ["one", "two"]' if of_texts else "tables, each below a line [[profile]]"]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return ["a table, below a line with its name in [brackets]"]
    words = {str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number"}[kind]
    return [words + _describe_limits(limits)]


def _describe_limits(limits: list[Any]) -> str:
    low = next((limit.ge for limit in limits if getattr(limit, "ge", None) is not None), None)
    high = next((limit.le for limit in limits if getattr(limit, "le", None) is not None), None)
    return (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")


def _list_words(kind: Any) -> list[str]:
    return [str(word) for word in get_args(kind)] if get_origin(kind) is Literal else []


def _format_value(value: Any) -> str:
    """As TOML has it, more or less."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str | int | float | list | dict) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
