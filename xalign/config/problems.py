"""What pydantic finds wrong with a value, as one sentence: dotted key, value, what is allowed, the nearest
valid name."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic_core import ErrorDetails

from xalign.base.errors import did_you_mean
from xalign.config import other_names


def problem(error: ErrorDetails, key: str, schema: type) -> str:
    """The sentence; `key` is the value's dotted key, `schema` the dataclass that was validated."""
    value = error["input"]
    match error["type"]:
        case "unexpected_keyword_argument":
            *path, name = [str(part) for part in error["loc"]]
            return unknown_key(key, name, field_names(schema, path))
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"{key}: required, but not given"
        case "enum":
            allowed = error["ctx"]["expected"].replace("'", "")
            return one_of(key, str(value), allowed.replace(" or ", ", ").split(", "))
        case _:
            return f"{key}={value}: {error['msg'][0].lower()}{error['msg'][1:]}"


def unknown_key(key: str, name: str, allowed: Sequence[str]) -> str:
    """The message for a key that there is not; `name` is its last part."""
    if name in other_names.KEYS:
        return f"{key}: unknown key (here: {other_names.KEYS[name]})"
    return f"{key}: unknown key{did_you_mean(name, allowed)} (allowed: {', '.join(allowed)})"


def one_of(key: str, value: str, allowed: Sequence[str]) -> str:
    """The message for a value outside a fixed set."""
    return f"{key}={value}: must be one of {', '.join(allowed)}{nearest(key, value, allowed)}"


def nearest(key: str, value: str, allowed: Sequence[str]) -> str:
    """The allowed value that was probably meant, as the end of a message; empty where none is near."""
    theirs = other_names.hint(key, value)
    return f"; here: {theirs}" if theirs else did_you_mean(value, allowed)


def field_type(schema: type, path: Sequence[str]) -> Any:
    """Type of the field at a dotted path of a schema; None where there is no such path."""
    kind: Any = schema
    for part in path:
        kind = get_type_hints(kind).get(part) if is_dataclass(kind) else None
        # A group that may be null.
        kind = next((k for k in get_args(kind) if is_dataclass(k)), kind)
    return kind


def field_names(schema: type, path: Sequence[str]) -> list[str]:
    """Names of the fields of the group at a dotted path; empty where there is no such group."""
    kind = field_type(schema, path)
    return [f.name for f in fields(kind)] if is_dataclass(kind) else []
