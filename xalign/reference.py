"""`python -m xalign.reference FILE`: the table of every config key, from the docstrings of the schema."""

import ast
import sys
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

from xalign import config

HEAD = """# Config reference

Written by `make docs` from the docstrings in `xalign/config.py`; a test keeps it true. Give any key on
the command line: `python -m xalign.run loss.tau=0.02 trainer.steps=200`. Defaults shown here are the
schema's; the YAML of the chosen option (`conf/<group>/<option>.yaml`) may set others.
"""


def reference() -> str:
    """The whole table as Markdown."""
    documented = _field_docstrings()
    parts = [HEAD]
    top = []
    for name, kind in get_type_hints(config.Config).items():
        if is_dataclass(kind) and isinstance(kind, type):
            options = sorted(p.stem for p in _folder(name).glob("*.yaml")) if _folder(name).is_dir() else []
            listed = f"\n\nOptions: {', '.join(f'`{o}`' for o in options)}" if options else ""
            rows = [_row(name, f, kind, documented[kind.__name__]) for f in fields(kind)]
            parts.append(f"## {name}\n\n{kind.__doc__}{listed}\n\n{_table(rows)}")
        else:
            field = next(f for f in fields(config.Config) if f.name == name)
            top.append(_row("", field, config.Config, documented["Config"]))
    parts.insert(1, "## top level\n\n" + _table(top))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _folder(group: str) -> Path:
    from xalign.command_line import config_folder

    return Path(config_folder()) / group


def _table(rows: list[str]) -> str:
    return "\n".join(["| key | values | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _row(group: str, field: "Field[Any]", owner: type, documented: dict[str, str]) -> str:
    kind = get_type_hints(owner)[field.name]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        values = ", ".join(kind)
    else:
        values = getattr(kind, "__name__", str(kind)) if isinstance(kind, type) else str(kind)
    if field.default is not MISSING:
        default = "null" if field.default is None else str(field.default)
    elif field.default_factory is not MISSING:
        default = str(field.default_factory())
    else:
        default = "(required)"
    key = f"{group}.{field.name}" if group else field.name
    cells = [f"`{key}`", values, f"`{default}`", documented[field.name]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _field_docstrings() -> dict[str, dict[str, str]]:
    """Class -> field -> the string under it, joined to one line. Every field must have one."""
    found: dict[str, dict[str, str]] = {}
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts: dict[str, str] = {}
        for statement, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                texts[statement.target.id] = " ".join(str(following.value.value).split())
        found[node.name] = texts
    # Groups of the root are documented by their class.
    found["Config"] |= {f.name: "" for f in fields(config.Config) if f.name not in found["Config"]}
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
