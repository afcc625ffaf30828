"""What a step of every preset costs: operations, seconds, memory, side by side in one process.

    python experiments/methods/costs.py [--repeats 3] [NAME ...]

Each repeat plans every preset once, in an order of its own (`plan=true`: two steps timed after one to warm
up), on Gemma 3 270M and the default data; figures are medians. Writes costs.json, of which `make docs` makes
a part of docs/methods.md, and prints the table: seconds over operations, both against `loss=afp`, is how much
longer a method takes than what it computes.
"""

import argparse
import json
import random
import statistics
from pathlib import Path

from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import Config
from xalign.runs.planner import Plan, make_plan

FILE = Path(__file__).with_name("costs.json")
OPTIONS: dict[str, list[str]] = {}
"""What a preset needs beside its name."""


def main() -> None:
    names = sorted(file.stem for file in (config_folder() / "loss").glob("*.yaml"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = sorted({"afp", *(arguments.names or names)})
    plans: dict[str, list[Plan]] = {name: [] for name in chosen}
    for repeat in range(arguments.repeats):
        for name in random.Random(repeat).sample(chosen, len(chosen)):
            config = resolve(compose_config("config", [f"loss={name}", *OPTIONS.get(name, [])]), Config)
            plans[name].append(make_plan(config))
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found |= {name: costs(own) for name, own in plans.items()}
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(table({name: found[name] for name in chosen}))


def costs(plans: list[Plan]) -> dict[str, float]:
    """Of a step: floating-point operations, median seconds, and gigabytes that training holds."""
    seconds = [plan.seconds for plan in plans if plan.seconds is not None]
    first = plans[0]
    held = first.memory.weights + first.memory.reference + first.memory.to_come + first.activations
    return {
        "operations": statistics.mean(plan.step_operations for plan in plans),
        "seconds": round(statistics.median(seconds), 3),
        "gigabytes": round(held / 1e9, 2),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown; costs against those of `afp`."""
    base = found["afp"]
    lines = [
        "| loss | operations | seconds | seconds / operations | seconds a step | GB |",
        "|" + " --- |" * 6,
    ]
    for name, own in found.items():
        operations, seconds = (own[key] / base[key] for key in ("operations", "seconds"))
        ratios = " | ".join(f"{value:.2f}" for value in (operations, seconds, seconds / operations))
        lines.append(f"| {name} | {ratios} | {own['seconds']:.2f} | {own['gigabytes']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
