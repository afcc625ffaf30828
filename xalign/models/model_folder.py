"""What a folder must hold to be a Hugging Face model, as far as it can be seen without torch."""

import json
from pathlib import Path

from xalign.base.errors import ModelError
from xalign.models.adapter_folder import is_adapter, stack_of
from xalign.models.gguf.header import problem_of_gguf
from xalign.models.gguf.own_file import gguf_files, gguf_of
from xalign.models.own_path import listing
from xalign.models.quantised import problem_of_quantisation

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
    if is_adapter(folder):
        return _problem_of_adapter(folder)
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


def lacks_chat_template(folder: Path) -> bool:
    """Whether it is certain that the tokenizer in a folder has no chat template."""
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return False
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:  # damaged: another's message
        return False
    inside = isinstance(content, dict) and content.get("chat_template")
    return not inside and not any(folder.glob("chat_template*"))


def _problem_of_adapter(folder: Path) -> str | None:
    try:
        base = Path(stack_of(folder).base)
    except ModelError as error:
        return str(error)
    problem = problem_of_folder(base) if base.is_dir() else None
    return f"a peft adapter, whose base cannot be loaded: {base}: {problem}" if problem else None


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
