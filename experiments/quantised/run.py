"""What few bits cost: retrieval and bits per byte of a base model in float32, bf16, int8 and nf4.

    python experiments/quantised/run.py [--model gemma3_270m] [--limit N] [--only bf16 nf4 ...]

Each is measured by `python -m xalign.evaluate` in a process of its own, on the held-out text of the default
run; a line each, as a markdown table, goes to standard output. Needs `pip install 'xalign[quantization]'`.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

FORMS = {
    "float32": ("benchmark.precision=fp32",),
    "bf16": ("benchmark.precision=bf16",),
    "int8": ("benchmark.precision=fp32", "model.quantization=int8"),
    "nf4": ("benchmark.precision=fp32", "model.quantization=nf4"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="gemma3_270m")
    parser.add_argument("--limit", type=int, default=100, help="sentences a language")
    parser.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS))
    arguments = parser.parse_args()
    print("| weights | retrieval@1, best layer | bits per byte, English | others | weights in memory |")
    print("| --- | --- | --- | --- | --- |")
    for form in arguments.only:
        print(
            f"| {form} | " + " | ".join(measured(form, arguments.model, arguments.limit)) + " |", flush=True
        )


def measured(form: str, model: str, limit: int) -> list[str]:
    """Figures of one form of the weights."""
    with TemporaryDirectory() as place:
        output = Path(place) / "results.json"
        command = [
            sys.executable, "-m", "xalign.evaluate", f"model={model}", *FORMS[form], f"output={output}",
            "benchmark.tasks=[retrieval,bits_per_byte]", f"benchmark.limit={limit}", "threads=1",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        rows = json.loads(output.read_text())["results"]
    layers: dict[int, list[float]] = {}
    for row in rows:
        if row["metric"] == "retrieval@1" and row["language"] != "mean":
            layers.setdefault(row["layer"], []).append(row["value"])
    best = max(layers, key=lambda layer: mean(layers[layer]))
    bits = {row["language"]: row["value"] for row in rows if row["metric"] == "bits_per_byte"}
    others = mean(value for language, value in bits.items() if language not in ("en", "mean"))
    said = re.search(r"matrices in \w+: ([\d.]+) GB", done.stderr + done.stdout)
    size = f"{said[1]} GB" if said else ""
    return [f"{mean(layers[best]):.3f} (layer {best})", f"{bits['en']:.3f}", f"{others:.3f}", size]


if __name__ == "__main__":
    main()
