"""`python -m xalign.cli.methods FILE`: every method in a table, from the docstrings and from what steps cost.

A docstring's first paragraph says what a method does, the next what it computes and where that is published;
one that begins with `Published:` what its authors chose and what is different here, and one with `Take it
when` who needs it.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from xalign.base.registry import Registry
from xalign.config.presets import comment_of, config_folder
from xalign.data.transforms import TRANSFORMS
from xalign.models.adapters import ADAPTERS
from xalign.objectives import OBJECTIVES

COSTS = Path(__file__).parents[2] / "experiments" / "methods" / "costs.json"
PUBLISHED, WHEN = "Published:", "Take it when "

HEAD = """# Methods

Written by `make docs` from the docstrings; a test keeps it true. Options of each are in
[config.md](config.md), how objectives are put together and how one adds one's own in
[objectives.md](objectives.md).

Every method is a preset of the group `loss`, with its paper's values, and trains on the default data by one
command; whatever else is given is an ordinary option.

```bash
python -m xalign.run loss=contrastive
```
"""

PRESETS = """## Presets

Cost: operations and seconds of a step, against those of a step of `loss=afp`; Gemma 3 270M, the default data,
two cores (`experiments/methods/costs.py`).
"""


def methods() -> str:
    """The whole page as Markdown."""
    parts = [
        HEAD,
        PRESETS + "\n" + _table(["`loss=`", "what it is", "objectives", "operations", "seconds"], _presets()),
        "## Objectives\n\n" + _described(OBJECTIVES),
        "## Transforms\n\n" + _described(TRANSFORMS),
        "## Adapters\n\n" + _described(ADAPTERS),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _presets() -> Iterator[Sequence[str]]:
    costs = json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}
    base = costs.get("afp")
    for file in sorted((config_folder() / "loss").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        written = yaml.safe_load(text)
        loss = written.get("loss", written)
        own = costs.get(file.stem)
        cost = [f"{own[k] / base[k]:.2f}" if own and base else "" for k in ("operations", "seconds")]
        yield f"`{file.stem}`", comment_of(text), ", ".join(_objectives_of(loss)), *cost


def _objectives_of(loss: Mapping[str, object]) -> Iterator[str]:
    objectives = loss.get("objectives")
    assert isinstance(objectives, dict)
    for name, own in objectives.items():
        weight = (own or {}).get("weight", loss.get(f"{name}_weight"))
        yield f"{name} {weight}" if weight is not None else name


def _described(registry: "Registry[type]") -> str:
    rows = []
    for name in registry.own_names():
        does, computed, when = described(registry.load(name))
        rows.append([f"[`{name}`](config.md#{name})", f"{does} {computed}".strip(), when])
    return _table(["method", "what it computes, and its source", "take it when"], rows)


def described(kind: type) -> tuple[str, str, str]:
    """Of a method's docstring: what it does, what it computes, and when to take it, a line each."""
    paragraphs = [" ".join(own.split()) for own in (inspect.getdoc(kind) or "").split("\n\n")]
    when = next((own.removeprefix(WHEN) for own in paragraphs if own.startswith(WHEN)), "")
    computed = [own for own in paragraphs[1:] if not own.startswith((PUBLISHED, WHEN))]
    return paragraphs[0], " ".join(computed), when


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(methods(), encoding="utf-8")
