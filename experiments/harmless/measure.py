"""Alignment and use of aligned models, and of the way between the base and them, on Tatoeba.

    python experiments/harmless/measure.py choose|report RUN ... [--blend 1 0.7] [--tasks NAME ...]

On the half that is chosen by, or the one that is reported (texts.py). Writes
`<RUN>/tatoeba/<half>-<blend>.json`, and the base's figures once.
"""

import argparse
from pathlib import Path

import torch
from texts import halves

from xalign.base.decisions import Decisions
from xalign.config.choices import Precision
from xalign.config.schema import ModelConfig
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.texts import setting_of
from xalign.options.composed import benchmark_of
from xalign.performance.automatic import choose_layer, choose_precision, choose_threads
from xalign.runs.measurement import load_backbone
from xalign.workspace.environment import keep_freed_memory, quiet_libraries

HERE = Path(__file__).parent
TASKS = ("retrieval", "translation_likelihood", "bits_per_byte")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("half", choices=("choose", "report"))
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--blend", nargs="+", type=float, default=[1.0])
    parser.add_argument("--blend-above", type=float, help="of the blocks that read the aligned layer, alone")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--base", type=Path, default=HERE.parents[1] / "outputs" / "harmless" / "base")
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data" / "tatoeba")
    arguments = parser.parse_args()
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions(quiet=True)
    choose_threads(None, 1, decisions)
    dtype = choose_precision(Precision.auto, torch.device("cpu"), decisions)
    texts = halves(arguments.data)[arguments.half]
    base = load_backbone(ModelConfig(name="gemma3_270m", artifact="gemma3_270m"), torch.device("cpu"), 0)
    layer = choose_layer(None, base.depth, decisions)
    benchmark = benchmark_of(
        name="tatoeba", tasks=[*arguments.tasks], likelihood_limit=arguments.limit,
        limit=arguments.limit if "translation" in arguments.tasks else 100,  # generation takes long
        **({"shots": 4} if "translation" in arguments.tasks else {}),
    )  # fmt: skip
    setting = setting_of(benchmark, texts, pivot="en", layer=layer, seed=0)
    kept = {name: value.clone() for name, value in base.model.state_dict().items()}
    ending = "" if [*arguments.tasks] == [*TASKS] else "-" + "-".join(arguments.tasks)

    def measure(name: str, folder: Path, file: str) -> None:
        path = folder / f"{file}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            evaluate(base, setting, model=name, dtype=dtype).evaluation.write(path)

    measure("base", arguments.base, f"{arguments.half}{ending}")
    for run in arguments.runs:
        aligned = load_backbone(ModelConfig(name=run.name, path=str(run / "model")), torch.device("cpu"), 0)
        state = aligned.model.state_dict()
        below = {id(p) for p in aligned.makers_of(layer)}
        reads = {n for n, p in aligned.model.named_parameters() if id(p) not in below}
        del aligned
        for blend in arguments.blend:
            above = blend if arguments.blend_above is None else arguments.blend_above
            way = {name: above if name in reads else blend for name in kept}
            base.model.load_state_dict({n: torch.lerp(v, state[n], way[n]) for n, v in kept.items()})
            name = f"{arguments.half}-{blend:g}" + f"-above-{above:g}" * (above != blend) + ending
            measure(f"{run.name} {blend:g}", run / "tatoeba", name)
        base.model.load_state_dict(kept)


if __name__ == "__main__":
    main()
