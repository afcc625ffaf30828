"""What a folder must hold to be a Hugging Face model, as far as it can be seen without torch."""

import json
from pathlib import Path

from xalign.models.gguf.header import problem_of_gguf
from xalign.models.gguf.own_file import gguf_files, gguf_of
from xalign.models.own_path import listing
from xalign.models.quantised import problem_of_quantisation

ADAPTER = "adapter_config.json"
"""File that makes a folder, or a repository on the hub, one of a peft adapter."""

_OBJECTS = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""Files that hold a JSON object each."""


def problem_of_folder(folder: Path) -> str | None:
    """What is wrong with a model's folder; None where nothing is seen to be."""
    if (folder / ADAPTER).is_file():
        return adapter_problem(folder / ADAPTER, str(folder))
    if file := gguf_of(folder):
        problem = problem_of_gguf(file)
        return f"{file.name} {problem}" if problem else None
    if not (folder / "config.json").is_file():
        if files := gguf_files(folder):
            return (
                f"holds several GGUF files, give one of them: {', '.join(path.name for path in files[:12])}"
            )
        inside = [path.parent.name for path in sorted(folder.glob("*/config.json"))]
        hint = f"; did you mean '{folder / inside[0]}'?" if inside else ""
        none = "no config.json in this folder, so it is no Hugging Face model"
        return f"{none}{hint} (it holds {listing(folder)})"
    if problem := _problem_of_json(folder / "config.json"):
        return problem
    return problem_of_quantisation(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def damaged_file(folder: Path) -> str | None:
    """The first of a model's JSON files that is damaged, and how."""
    problems = (_problem_of_json(folder / name) for name in _OBJECTS if (folder / name).is_file())
    return next((problem for problem in problems if problem), None)


def adapter_problem(config: Path, place: str) -> str:
    """What to say of a folder or repository, `place`, with the config of a peft adapter."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        content = {}
    base = content.get("base_model_name_or_path") if isinstance(content, dict) else None
    return (
        f"holds a peft adapter ({ADAPTER}), and whole models are needed. Merge it first: PeftModel."
        f"from_pretrained(AutoModelForCausalLM.from_pretrained('{base}'), '{place}').merge_and_unload()."
        "save_pretrained(...)"
    )


def _problem_of_json(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return f"{path.name} is not a valid JSON file: not UTF-8 text"
    except json.JSONDecodeError as error:
        return f"{path.name} is not a valid JSON file: line {error.lineno}: {error.msg}"
    if isinstance(content, dict):
        if path.name.endswith(".index.json") and not isinstance(content.get("weight_map"), dict):
            return f"{path.name} has no weight_map that says in which file each weight is"
        return None
    return f"{path.name} holds {json.dumps(content)[:40]}, a JSON object is needed"
