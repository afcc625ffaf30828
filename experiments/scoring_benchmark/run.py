"""Items per second and peak memory: xalign's scoring engine and lm-evaluation-harness 0.4.13's HFLM.

    python experiments/scoring_benchmark/run.py [--data DIR] [--items N] [--repeats 5] [--threads 2] ...

Gemma 3 270M in float32; the same items, prompts and demonstrations (the first five of the split, the others
are asked) for both. Each engine lives in a process of its own, so that memory is its own; only one works at a
time, by turns. Needs `pip install 'xalign[lm-eval]'`.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

SHOTS = 5
CASES = ("xcopa-0", "xcopa-5", "xnli-0", "xnli-5")
CONNECTORS = {"sw": ("kwa sababu", "kwa hiyo"), "zh": ("因为", "所以"), "id": ("karena", "maka")}
WORDS = {"sw": ("sahihi", "Ndiyo", "Hivyo", "Hapana"), "ur": ("صحیح", "جی ہاں", "اس لئے", "نہیں")}
LABELS = ("entailment", "neutral", "contradiction")
GAP = "\n\n"


@dataclass(frozen=True)
class Item:
    """The harness's prompt: `context`, a space and each of the choices."""

    context: str
    choices: tuple[str, ...]
    gold: int


@dataclass(frozen=True)
class Timing:
    """One engine's seconds for one case, the process's peak memory while at it, its sums in nats."""

    seconds: float
    peak_mib: float
    sums: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--xcopa", nargs="+", choices=CONNECTORS, default=["sw", "zh", "id"])
    parser.add_argument("--xnli", nargs="+", choices=WORDS, default=["sw"])
    parser.add_argument("--items", type=int, default=95, help="of each language")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4, help="requests, the harness's")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens, xalign's")
    parser.add_argument("--model", help="folder or hub id (default: gemma3_270m from the package index)")
    parser.add_argument("--random-blocks", type=int, help="a random Llama 2 7B of so many blocks (7B: 32)")
    parser.add_argument("--device", default="cpu", help="memory is then the device's: cpu, cuda")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"no folder {arguments.data}; give --data DIR")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    engines = {name: start(name, arguments) for name in ("harness", "xalign")}
    print("| case | items | harness items/s | xalign items/s | ratio | harness peak MiB | xalign peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    worst = 0.0
    for case in arguments.cases:
        items = read(case, arguments)
        timings: dict[str, list[Timing]] = {name: [] for name in engines}
        for repeat in range(arguments.repeats):
            # By turns, and who begins alternates too: the machine's mood is shared fairly.
            for name in list(engines)[:: 1 if repeat % 2 == 0 else -1]:
                engines[name].send(items)
                timings[name].append(engines[name].recv())
        speed = {name: median(len(items) / t.seconds for t in own) for name, own in timings.items()}
        ratio = median(
            h.seconds / x.seconds for h, x in zip(timings["harness"], timings["xalign"], strict=True)
        )
        peak = {name: max(t.peak_mib for t in own) for name, own in timings.items()}
        print(
            f"| {case} | {len(items)} | {speed['harness']:.2f} | {speed['xalign']:.2f} | {ratio:.2f} "
            f"| {peak['harness']:.0f} | {peak['xalign']:.0f} |",
            flush=True,
        )
        pairs = zip(timings["harness"][0].sums, timings["xalign"][0].sums, strict=True)
        worst = max(worst, *(abs(a - b) for a, b in pairs))
    print(f"\nLargest difference of a log-likelihood: {worst:.1e} nats.")
    for engine in engines.values():
        engine.send(None)


def read(case: str, arguments: argparse.Namespace) -> list[Item]:
    """Items of all languages of a case."""
    name, shots = case.split("-")
    items = []
    for language in getattr(arguments, name):
        folder = arguments.data / name
        own = list(xcopa(folder, language) if name == "xcopa" else xnli(folder, language))
        shown = "".join(f"{i.context} {i.choices[i.gold]}{GAP}" for i in own[: int(shots)])
        items += [Item(shown + i.context, i.choices, i.gold) for i in own[SHOTS : SHOTS + arguments.items]]
    return items


def xcopa(folder: Path, language: str) -> Iterator[Item]:
    """Validation items in the harness's wording."""
    for line in (folder / f"val.{language}.jsonl").read_text(encoding="utf-8").splitlines():
        doc = json.loads(line)
        joint = CONNECTORS[language][doc["question"] == "effect"]
        choices = [doc["choice1"], doc["choice2"]]
        yield Item(
            f"{doc['premise'].strip()[:-1]} {joint}",
            tuple(text[0].lower() + text[1:] for text in choices),
            doc["label"],
        )


def xnli(folder: Path, language: str) -> Iterator[Item]:
    """Validation items in the harness's wording: all of the text is scored."""
    right, *answers = WORDS[language]
    with (folder / f"{language}.genre.dev.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            premise, hypothesis = row[f"sentence1_{language}"], row[f"sentence2_{language}"]
            choices = tuple(f"{premise}, {right}? {word}, {hypothesis}" for word in answers)
            yield Item("", choices, LABELS.index(row["label"]))


def start(name: str, arguments: argparse.Namespace) -> Connection:
    """An engine in a process of its own: items in, `Timing` out, None ends it."""
    ours, theirs = get_context("spawn").Pipe()
    get_context("spawn").Process(target=serve, args=(name, arguments, theirs), daemon=True).start()
    return ours


def serve(name: str, arguments: argparse.Namespace, pipe: Connection) -> None:
    """Load the model, then time what comes through the pipe."""
    import torch

    from xalign.workspace.environment import keep_freed_memory

    torch.set_num_threads(arguments.threads)
    if name == "xalign":
        keep_freed_memory()  # as `python -m xalign.evaluate` does
    backbone = load(arguments)
    ask = harness(backbone, arguments.batch_size) if name == "harness" else own(backbone, arguments)
    while (items := pipe.recv()) is not None:
        reset_peak(arguments.device)
        begin = time.perf_counter()
        sums = ask([(item.context, f" {choice}") for item in items for choice in item.choices])
        pipe.send(Timing(time.perf_counter() - begin, peak_mib(arguments.device), sums))


def load(arguments):  # type: ignore[no-untyped-def]
    """The model; random ones have the default model's tokenizer and its vocabulary."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from xalign.config.schema import ModelConfig
    from xalign.models.backbone import Backbone
    from xalign.models.loading import load_model_and_tokenizer

    dtype = getattr(torch, arguments.dtype)
    config = ModelConfig(
        name="benchmark", path=arguments.model, artifact=None if arguments.model else "gemma3_270m"
    )
    model, tokenizer = load_model_and_tokenizer(config)
    if arguments.random_blocks is not None:
        shape = LlamaConfig(num_hidden_layers=arguments.random_blocks, max_position_embeddings=4096)
        shape.vocab_size = model.get_output_embeddings().weight.shape[0]
        torch.manual_seed(0)
        with torch.device(arguments.device):
            model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    return Backbone(model.to(arguments.device, dtype), tokenizer).eval()


def harness(backbone, size):  # type: ignore[no-untyped-def]
    """The harness's model on the same weights."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=size)

    def ask(pairs: list[tuple[str, str]]) -> list[float]:
        instances = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
        return [value for value, _ in model.loglikelihood(instances, disable_tqdm=True)]

    return ask


def own(backbone, arguments):  # type: ignore[no-untyped-def]
    """xalign's engine."""
    from xalign.evaluation.engine import scoring, tree_engine

    def ask(pairs: list[tuple[str, str]]) -> list[float]:
        tree_engine.CHECKED.clear()  # the check at the start is part of the price, each time
        requests = [scoring.Request("", *pair) for pair in pairs]
        return [
            s.log_likelihood for s in scoring.score(backbone, requests, batch_tokens=arguments.batch_tokens)
        ]

    return ask


def reset_peak(device: str) -> None:
    """The peak begins anew."""
    Path("/proc/self/clear_refs").write_text("5")
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_mib(device: str) -> float:
    """Highest resident memory of this process since it was last reset; on a GPU, what it had there."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
