"""`python -m xalign.cli.reference FILE`: the table of every config key, from the docstrings where the keys
are declared."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from xalign.config import schema as config
from xalign.config.parts import AnalysisConfig
from xalign.config.presets import config_folder
from xalign.config.text import PlaceConfig, SourceConfig
from xalign.data.readers import READERS
from xalign.data.transforms import TRANSFORMS
from xalign.evaluation.analyses import ANALYSES
from xalign.evaluation.tasks import TASKS
from xalign.models.adapters import ADAPTERS
from xalign.objectives import OBJECTIVES
from xalign.options.short_keys import CLIP, of_objectives, shorts_of_task

HEAD = """# Config reference

Written by `make docs` from the docstrings where the keys are declared; a test keeps it true. Give any key on
the command line: `python -m xalign.run loss.tau=0.02 trainer.steps=200`. Defaults shown here are those of the
class; the YAML of the chosen option (`conf/<group>/<option>.yaml`) may set others.
"""

OPTIONS = """## loss.objectives

`loss.objectives.<name>.<option>`, where `<name>` is the kind of objective, or any name with `kind=...` beside
it. Options with a short key can be given by that as well: it sets the option of every objective that has it
and is not given its own.
"""


READER_OPTIONS = """## data.options

`data.options.<option>` of the layout that `data.format` says, or that is found.
"""


SOURCES = """## data.sources

`data.sources.<name>.<key>`: any of the keys `format`, `options`, `path`, `packages`, `hub`, `hub_config`,
`hub_revision`, `hub_split` and `columns` of `data`, and ([data.md](data.md)):
"""


TRANSFORM_OPTIONS = """## data.transforms

`data.transforms.<name>.<option>`, where `<name>` is the kind of transform, or any name with `kind=...` beside
it. They are applied in the order in which they are given ([data.md](data.md)).
"""


TASK_OPTIONS = """## benchmark.options

`benchmark.options.<task>.<option>`. The short key sets the option of every task that has it and is not given
its own; of the benchmark that is measured during training it is `validation.<...>`.
"""

ANALYSIS_OPTIONS = """## analyses

`analyses=[<name>,...]` asks for them, `analyses.<name>.<option>` sets an option ([analyses.md](analyses.md)).
Every analysis has those of the first table.
"""


def reference() -> str:
    """The whole table as Markdown."""
    parts = [HEAD]
    top = []
    for name, kind in get_type_hints(config.Config).items():
        if is_dataclass(kind) and isinstance(kind, type):
            parts.append(_group(name, kind))
            if name == "data":
                parts += [READER_OPTIONS, *_readers(), SOURCES, _sources()]
                parts += [TRANSFORM_OPTIONS, *_transforms()]
            if name == "loss":
                parts += [OPTIONS, *_objectives()]
            if name == "adapter":
                parts += _adapters()
            if name == "benchmark":
                parts += [TASK_OPTIONS, *_tasks()]
        else:
            field = next(f for f in fields(config.Config) if f.name == name)
            top.append(_row(name, field, config.Config))
    parts += [ANALYSIS_OPTIONS, *_analyses()]
    parts.insert(1, "## top level\n\n" + _table(top))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _group(name: str, kind: type) -> str:
    folder = config_folder() / name
    options = sorted(p.stem for p in folder.glob("*.yaml")) if folder.is_dir() else []
    listed = f"\n\nOptions: {', '.join(f'`{o}`' for o in options)}" if options else ""
    rows = [_row(f"{name}.{f.name}", f, kind) for f in fields(kind)]
    if name == "trainer":
        rows.append(
            _cells(
                CLIP,
                "per_objective, total",
                "null",
                "Older key of `loss.combine`: `clip_each`, `weighted_sum`.",
            )
        )
    return f"## {name}\n\n{inspect.getdoc(kind)}{listed}\n\n{_table(rows)}"


def _objectives() -> Iterator[str]:
    shorts = {(own.part, own.option): key for key, options in of_objectives().items() for own in options}
    for kind in OBJECTIVES.own_names():
        objective = OBJECTIVES.load(kind)
        rows = [
            _row(f.name, f, objective.Config, shorts.get((kind, f.name)))
            for f in fields(objective.Config)
            if f.name != "kind"
        ]
        yield f"### {kind}\n\n{inspect.getdoc(objective)}\n\n{_table(rows, short=True)}"
    from xalign.config.parts import ScheduleConfig

    rows = [_row(f"schedule.{f.name}", f, ScheduleConfig) for f in fields(ScheduleConfig)]
    yield f"### schedule\n\n{inspect.getdoc(ScheduleConfig)}\n\n{_table(rows)}"


def _readers() -> Iterator[str]:
    for name in READERS.own_names():
        reader = READERS.load(name)
        rows = [_row(f.name, f, reader.Config) for f in fields(reader.Config)]
        if rows:
            yield f"### {name}\n\n{inspect.getdoc(reader)}\n\n{_table(rows)}"


def _sources() -> str:
    common = {f.name for f in fields(PlaceConfig)}
    return _table([_row(f.name, f, SourceConfig) for f in fields(SourceConfig) if f.name not in common])


def _transforms() -> Iterator[str]:
    for kind in TRANSFORMS.own_names():
        transform = TRANSFORMS.load(kind)
        rows = [_row(f.name, f, transform.Config) for f in fields(transform.Config) if f.name != "kind"]
        yield f"### {kind}\n\n{inspect.getdoc(transform)}\n\n{_table(rows)}"


def _adapters() -> Iterator[str]:
    for method in ADAPTERS.own_names():
        adapter = ADAPTERS.load(method)
        rows = [
            _row(f"adapter.{f.name}", f, adapter.Config) for f in fields(adapter.Config) if f.name != "method"
        ]
        yield f"### {method}\n\n{inspect.getdoc(adapter)}" + (f"\n\n{_table(rows)}" if rows else "")


def _tasks() -> Iterator[str]:
    for name in TASKS.own_names():
        config = TASKS.load(name).Config
        shorts = {option: f"benchmark.{key}" for key, option in shorts_of_task(name).items()}
        rows = [_row(f.name, f, config, shorts.get(f.name)) for f in fields(config)]
        if rows:
            yield f"### {name}\n\n{inspect.getdoc(TASKS.load(name))}\n\n{_table(rows, short=True)}"


def _analyses() -> Iterator[str]:
    common = [f.name for f in fields(AnalysisConfig)]
    yield _table([_row(f.name, f, AnalysisConfig) for f in fields(AnalysisConfig)])
    for name in ANALYSES.own_names():
        config = ANALYSES.load(name).Config
        rows = [_row(f.name, f, config) for f in fields(config) if f.name not in common]
        yield f"### {name}\n\n{inspect.getdoc(ANALYSES.load(name))}" + (f"\n\n{_table(rows)}" if rows else "")


def _table(rows: list[str], short: bool = False) -> str:
    head = ["key", "values", "default", *(["short key"] if short else []), "meaning"]
    return "\n".join([f"| {' | '.join(head)} |", "| " + " | ".join(["---"] * len(head)) + " |", *rows])


def _row(key: str, field: "Field[Any]", owner: type, short: str | bool | None = False) -> str:
    if field.default is not MISSING:
        default = "null" if field.default is None else str(field.default)
    elif field.default_factory is not MISSING:
        default = str(field.default_factory())
    else:
        default = "(required)"
    if is_dataclass(field.default):
        default = "constant"
    column = () if short is False else (f"`{short}`" if short else "",)
    return _cells(
        key, _values(get_type_hints(owner)[field.name]), default, _meaning(owner, field.name), *column
    )


def _cells(key: str, values: str, default: str, meaning: str, *short: str) -> str:
    cells = [f"`{key}`", values, f"`{default}`", *short, meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(kind)
    if isinstance(kind, type):
        return kind.__name__
    enums = [k for k in get_args(kind) if isinstance(k, type) and issubclass(k, StrEnum)]
    # Classes of ours by their names alone.
    return ", ".join([*enums[0], "null"]) if enums else re.sub(r"xalign\.[\w.]+\.(\w+)", r"\1", str(kind))


def _meaning(owner: type, name: str) -> str:
    """The string under a field, in the class that declares it or one that it derives from.

    Raises:
        KeyError: there is none; every field must have one.
    """
    for kind in owner.__mro__:
        texts = _field_docstrings(sys.modules[kind.__module__]).get(kind.__qualname__, {})
        if name in texts:
            return texts[name]
    if owner is config.Config:
        return ""  # groups are documented by their class
    raise KeyError(f"{owner.__qualname__}.{name} has no docstring")


@cache
def _field_docstrings(module: ModuleType) -> Mapping[str, Mapping[str, str]]:
    """Class, by its qualified name -> field -> the string under it, joined to one line."""
    found: dict[str, dict[str, str]] = {}

    def visit(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if not isinstance(node, ast.ClassDef):
                continue
            texts = found.setdefault(prefix + node.name, {})
            for statement, following in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(statement, ast.AnnAssign)
                    and isinstance(statement.target, ast.Name)
                    and isinstance(following, ast.Expr)
                    and isinstance(following.value, ast.Constant)
                ):
                    texts[statement.target.id] = " ".join(str(following.value.value).split())
            visit(node.body, f"{prefix}{node.name}.")

    if module.__file__ is not None:
        visit(ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body, "")
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
