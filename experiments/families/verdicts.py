"""The results as the README beside this file: counts, and a row for each type."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WRONG = ("states", "early_exit", "right_padding", "generation", "packing", "load", "lora", "full")
"""Checks whose failure would be numbers that are silently wrong, or a run that ends in a traceback."""

WITHOUT = {
    "left_padding": "left padding (texts of one length are continued together)",
    "generation": "generation",
    "lora": "LoRA",
    "full": "full training",
    "flops": "an exact count of operations",
}
"""Checks without which a type can be used, if xalign says so."""

COUNTED = 0.02
"""Relative difference between operations counted and seen."""

INTRODUCTION = """# Every causal family of transformers

`run.py` builds a tiny random model (four blocks of width 32) of each type in the mapping of transformers
{version} from types to causal language models, writes it as a checkpoint, and takes it through xalign's own
code, each type in a process of its own (this page is its output):

    python experiments/families/run.py     # what is not there yet; --again: everything; TYPE ...: some types

Configs are made small by rules on the names of their values ([shrink.py](shrink.py)); [hints.py](hints.py)
holds what no rule finds. What is checked ([checks.py](checks.py)): hidden states after every block equal the
model's own `hidden_states` (of several streams, their mean); blocks above a layer do not run; texts padded on
the right or the left have the representation of the text alone, prompts are continued as each alone;
xalign's verdict on packing is right at every
layer; LoRA and full training for one step of both kinds of objective, with finite weights that change,
merged, exported, and loaded by plain transformers with equal logits; operations counted by xalign within 2 %
of those that torch sees, forward and backward (convolutions, which xalign leaves out, left out of both).
"""


def write_table(results: Sequence[Mapping[str, Any]], path: Path, version: str) -> None:
    """Write the page."""
    rows = [(result, *verdict(result)) for result in results]
    counts = Counter(kind for _, kind, _ in rows)
    built = len(rows) - counts["not built"]
    lines = [INTRODUCTION.format(version=version), "## Counts", "", "| result | types |", "| --- | --- |"]
    lines += [f"| {kind} | {counts[kind]} |" for kind in KINDS if counts[kind] or kind == "wrong"]
    good = counts["works"] + counts["works without"]
    decoders = built - counts[NO_DECODER]
    lines += [
        "",
        f"Of {len(rows)} types {built} can be built here; {decoders} of those are generative decoders, of "
        f"which {good} ({good / max(1, decoders):.0%}) work. *wrong* are those with other numbers than the "
        "model's own, or with an error that is no message.",
        "",
        "## Types",
        "",
        "*+towers*: the whole multimodal class; its towers are not trained, and are in the export to the "
        "bit. *packs*: whether texts share rows (tried when a run starts; slower where they do not).",
        "",
        "| type | result | packs | what is missing, or the message |",
        "| --- | --- | --- | --- |",
    ]
    for result, kind, why in rows:
        packs = {True: "yes", False: "no", None: ""}[result.get("packs")]
        lines.append(f"| {result['type']} | {kind} | {packs} | {why} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


NO_DECODER = "refused: no generative decoder"
KINDS = ("works", "works without", "refused", NO_DECODER, "wrong", "not built")


def verdict(result: Mapping[str, Any]) -> tuple[str, str]:
    """One of `KINDS`, and what is missing."""
    if "unbuilt" in result:
        return "not built", _cell(result["unbuilt"])
    if "died" in result:
        return "wrong", _cell(result["died"])
    if "refused" in result:
        other = re.search(r"is (an encoder|a part|not a causal)|is an encoder-decoder", result["refused"])
        return NO_DECODER if other else "refused", _cell(result["refused"].replace("model.path=DIR: ", ""))
    problems = dict(result["problems"])
    seen = result.get("flops", {})
    if any(abs(ratio - 1) > COUNTED for ratio in seen.values()):
        problems["flops"] = f"counted/seen {seen['forward']:.2f} forward, {seen['backward']:.2f} backward"
    if not problems:
        return "works", ""
    said = "; ".join(f"{WITHOUT.get(check, check)} ({_cell(text)})" for check, text in problems.items())
    wrong = [check for check, text in problems.items() if check in WRONG and not text.startswith("said: ")]
    return "wrong" if wrong else "works without", said


def _cell(text: str) -> str:
    return " ".join(re.sub(r"/tmp/\S+", "DIR", text).removeprefix("said: ").split()).replace("|", "\\|")[:240]
