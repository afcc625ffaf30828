"""How numbers are written, on the page, in the terminal and in the model card alike."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is no value."""
    return MISSING if value is None else _proper_minus(f"{value:.3f}")


def signed(value: float | None) -> str:
    """Three decimals with their sign."""
    return MISSING if value is None else _proper_minus(f"{value:+.3f}")


def percent(value: float) -> str:
    """One decimal with its sign and a percent sign."""
    return _proper_minus(f"{value:+.1f}\N{NO-BREAK SPACE}%")


def level(value: float) -> str:
    """A level of confidence in percent, with as many decimals as tell it from 100: '95 %', '99.969 %'."""
    rest = 100 * (1 - value)
    decimals = max(0, 1 - math.floor(math.log10(rest)))
    return f"{100 - rest:.{decimals}f}".rstrip("0").rstrip(".") + " %"


def p_value(value: float | None) -> str:
    """Three decimals, '< 0.001', or nothing where there is no value."""
    return "" if value is None else "< 0.001" if value < 0.0005 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """'45 s', '4 min 02 s' or '2 h 05 min'."""
    whole = math.floor(seconds + 0.5)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(text: str) -> str:
    """'2026-08-02 10:14 UTC' for an ISO 8601 time; any other text unchanged."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text


def listing(names: Sequence[str], total: int) -> str:
    """Up to four names, or how many of `total` languages there are."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"all {total} languages" if len(names) == total else f"{len(names)} of {total} languages"


def plain(value: object) -> str:
    """A config value as it would be typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(plain(inner) for inner in value) + "]"
    return str(value)


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted config keys and their values, as `plain` writes them."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = plain(value)
    return flat


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, also in a table, in code and where HTML is allowed."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;")
    return " ".join(escaped.split())


def _proper_minus(text: str) -> str:
    return text.replace("-", MINUS)
