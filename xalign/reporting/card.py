"""The model card of an aligned model: `model/README.md`, with the front matter that the hub reads."""

import re
from pathlib import Path
from typing import Any

import yaml

from xalign.base.files import write_atomically
from xalign.base.languages import canonical, is_language
from xalign.reporting.benchmarks import benchmarks_of
from xalign.reporting.html import environment
from xalign.reporting.measures import language_name
from xalign.reporting.records import Run
from xalign.reporting.run_folder import load_run
from xalign.reporting.summary import findings_of, means_by_verdict, notes_on_tests, tables_of
from xalign.reporting.verdict import opening_of

UPSTREAM = {
    "gemma3_270m": ("google/gemma-3-270m", "gemma"),
    "smollm2_135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "qwen2_5_coder_0_5b": ("Qwen/Qwen2.5-Coder-0.5B-Instruct", "apache-2.0"),
    "qwen2_5_coder_1_5b": ("Qwen/Qwen2.5-Coder-1.5B-Instruct", "apache-2.0"),
    "xglm": ("facebook/xglm-564M", "mit"),
    "xglm_1_7b": ("facebook/xglm-1.7B", "mit"),
    "xglm_7_5b": ("facebook/xglm-7.5B", "mit"),
    "bloom": ("bigscience/bloom-560m", "bigscience-bloom-rail-1.0"),
    "bloom_7b1": ("bigscience/bloom-7b1", "bigscience-bloom-rail-1.0"),
    "qwen3_0_6b": ("Qwen/Qwen3-0.6B-Base", "apache-2.0"),
    "qwen3_8b": ("Qwen/Qwen3-8B-Base", "apache-2.0"),
}
"""Our short name -> id on the hub and licence of the model that was aligned."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def write_card(run_dir: Path) -> Path:
    """Write `<run>/model/README.md`.

    Raises:
        RunError: `run_dir` is not a run's folder.
        DataError: one of its files is damaged.
    """
    run = load_run(run_dir)
    base, licence = _base_and_licence(run)
    findings = findings_of(run)
    languages = list(dict.fromkeys((run.pivot, *run.targets)))
    front: dict[str, Any] = {
        "base_model": base,
        "language": [canonical(code).split("-")[0] for code in languages if is_language(code)],
        "license": licence or "other",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["cross-lingual-alignment", "multilingual", "xalign"],
    }
    card = (
        environment()
        .get_template("card.md.jinja")
        .render(
            run=run,
            opening=opening_of(run),
            front=yaml.safe_dump(
                {key: value for key, value in front.items() if value}, allow_unicode=True
            ).strip(),
            base=base or run.model,
            licence=licence,
            languages=[language_name(code) for code in run.targets],
            tables=tables_of(run),
            findings=findings,
            means=means_by_verdict(findings),
            tests=notes_on_tests(run),
            benchmarks=benchmarks_of(run),
        )
    )
    path = run.path / "model" / "README.md"
    write_atomically(path, card)
    return path


def _base_and_licence(run: Run) -> tuple[str | None, str | None]:
    model = run.config.get("model")
    path = model.get("path") if isinstance(model, dict) else None
    if isinstance(model, dict) and model.get("pretrained") is False:
        return None, None  # random weights are nobody's
    if path is None:
        return UPSTREAM.get(run.model, (None, None))
    # A path that is a folder here says nothing to the readers of a card.
    hub_id = str(path) if HUB_ID.fullmatch(str(path)) and not Path(path).exists() else None
    return hub_id, dict(UPSTREAM.values()).get(str(path))
