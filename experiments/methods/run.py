"""Every method on the same model, data and wall-clock budget, chosen on validation, reported on Tatoeba.

    python experiments/methods/run.py [--minutes 5] [--seed 0] [--data DIR] [NAME ...]

A method gets as many steps as fit into the budget by costs.json (measured side by side; write it first), so
that a busy machine changes nothing. Each is an ordinary run, `loss=<method>`, that keeps, of its middle and
its end, what aligns most among what costs nothing significant on validation sentences of the training corpus
(`trainer.select=harmless`), or the end where both do. Then it is measured on text that nothing was chosen by:
the first half of each Tatoeba file (retrieval, bits), sentences that the corpus holds out for tests
(translation), and XWinograd. Everything that is done stays done: the same command goes on. The table goes to
standard output.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
OUTPUT = HERE.parents[1] / "outputs" / "methods"
LAYER = 9
PRESETS = sorted(file.stem for file in (HERE.parents[1] / "conf" / "loss").glob("*.yaml"))
VALIDATION = [
    *("benchmark@validation=use", "validation.limit=24", "validation.likelihood_limit=12"),
    *("validation.tasks=[retrieval,translation_likelihood,bits_per_byte]", "trainer.select=harmless"),
]
COLUMNS = (
    *(
        "method",
        "steps",
        "kept",
        "s/step",
        "GB",
        "layer 9",
        "centred",
        "best",
        "Spanish",
        "probe",
        "variance",
    ),
    *("choice", "chrF++ into", "out of", "English bits", "XWinograd"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(PRESETS)}")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="of training, on the machine of costs.json"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(PRESETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PRESETS)}")
    costs = json.loads((HERE / "costs.json").read_text(encoding="utf-8"))
    text = first_halves(arguments.data / "tatoeba")
    measure("base", "gemma3_270m", OUTPUT / "base", text, arguments.data)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    print(row("base", OUTPUT / "base", "", "", {}), flush=True)
    for name in arguments.names or PRESETS:
        steps = max(2, round(60 * arguments.minutes / costs[name]["seconds"]))
        folder = OUTPUT / f"{name}-{arguments.minutes:g}-{arguments.seed}"
        options = [f"seed={arguments.seed}", f"trainer.steps={steps}", "benchmark.tasks=[bits_per_byte]"]
        middle = f"trainer.evaluate_every={(steps + 1) // 2}"
        run("xalign.run", f"loss={name}", f"run.dir={folder}", *options, *VALIDATION, middle)
        measure(name, str(folder), folder / "tatoeba", text, arguments.data)
        print(row(name, folder / "tatoeba", str(steps), kept(folder, steps), costs[name]), flush=True)


def first_halves(folder: Path) -> Path:
    """The first half of each Tatoeba file: the second is where things were chosen (experiments/harmless)."""
    made = OUTPUT / "text"
    made.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("tatoeba.*-eng.*"):
        lines = file.read_text(encoding="utf-8").splitlines()
        (made / file.name).write_text("\n".join(lines[: len(lines) // 2]) + "\n", encoding="utf-8")
    return made


def measure(name: str, model: str, folder: Path, text: Path, data: Path) -> None:
    """Write what the table needs of a model, a run's folder or an embedded one, unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    tatoeba = ["benchmark=tatoeba", f"benchmark.path={text}"]
    wanted: dict[str, list[str]] = {
        "retrieval": [*tatoeba, "benchmark.tasks=[retrieval,bits_per_byte]"],
        "choice": ["benchmark=heldout", "benchmark.tasks=[translation_choice]", "benchmark.choice_limit=24"],
        "translation": ["benchmark=translation", "benchmark.limit=12"],
        "xwinograd": ["benchmark=xwinograd", f"benchmark.path={data / 'xwinograd'}", "benchmark.limit=200"],
    }
    for task, options in wanted.items():
        if not [*folder.glob(f"{task}/*.json")]:
            run("xalign.evaluate", f"models=[{model}]", *options, f"output={folder / task}")
    if not (folder / "analyses").exists():
        looked = [f"analyses.{own}.layers=[{LAYER}]" for own in ("concept_variance", "language_probe")]
        run(
            "xalign.analyze", model, *tatoeba, "analyses=[concept_variance,language_probe]", *looked,
            f"output={folder / 'analyses'}",
        )  # fmt: skip


def run(module: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=sys.stderr)


def row(name: str, folder: Path, steps: str, kept: str, cost: dict[str, float]) -> str:
    cells = [name, steps, kept, *(f"{cost[key]:.2f}" if cost else "" for key in ("seconds", "gigabytes"))]
    tasks = {task: rows_of(folder / task) for task in ("retrieval", "choice", "translation", "xwinograd")}
    rows = tasks["retrieval"]
    for metric, layer in (("retrieval@1", LAYER), ("retrieval@1_centred", LAYER), ("retrieval@1_best", None)):
        cells.append(f"{mean(rows, metric, layer):.3f}")
    cells.append(f"{mean(rows, 'retrieval@1', LAYER, 'es'):.2f}")
    found = findings(folder / "analyses")
    before = findings(OUTPUT / "base" / "analyses")
    cells.append(f"{np.mean(found['language_probe']['values']):.2f}")
    ratios = np.array(found["concept_variance"]["variance"]) / np.array(
        before["concept_variance"]["variance"]
    )
    cells.append(f"{np.exp(np.log(ratios).mean()):.2f}")
    cells.append(f"{mean(tasks['choice'], 'accuracy'):.3f}")
    cells += [f"{mean(tasks['translation'], f'chrf++_{way}'):.1f}" for way in ("into", "from")]
    cells += [f"{mean(rows, 'bits_per_byte', None, 'en'):.3f}", f"{mean(tasks['xwinograd'], 'accuracy'):.3f}"]
    return f"| {' | '.join(cells)} |"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Of the one model that was measured into the folder."""
    (file,) = folder.glob("*.json")
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return found


def mean(
    rows: list[dict[str, Any]], metric: str, layer: int | None = None, language: str | None = None
) -> float:
    """Over languages, or of one."""
    own = [
        r["value"]
        for r in rows
        if (r["metric"], r["layer"]) == (metric, layer)
        and (r["language"] == language if language else r["language"] != "mean")
    ]
    return float(np.mean(own)) if own else float("nan")


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    """Of the last model there: of a run its aligned one."""
    *_, last = sorted(
        folder.glob("*.analyses.json"), key=lambda file: "before" not in file.name and "base" not in file.name
    )
    found: dict[str, dict[str, Any]] = json.loads(last.read_text(encoding="utf-8"))["analyses"]
    return {name: own.get("findings", own) for name, own in found.items()}


def kept(folder: Path, steps: int) -> str:
    """The step whose parameters validation has chosen."""
    chosen = [int(line) for line in _chosen(folder)]
    return str(chosen[-1]) if chosen else str(steps)


def _chosen(folder: Path) -> Iterator[str]:
    for line in (folder / "run.log").read_text(encoding="utf-8").splitlines():
        _, found, rest = line.partition("the parameters of step ")
        if found:
            yield rest.split()[0]


if __name__ == "__main__":
    main()
