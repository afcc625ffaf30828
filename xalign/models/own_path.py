"""A model of the user's own in the place of a preset's: what is left of the preset, and whether it is there.

`model=xglm model.path=DIR` composes to one record, in which the preset's depth and name stand beside another
model's path. The preset is therefore composed a second time, as `preset.model` (conf/config.yaml): what
differs from it was given, and the rest holds for the preset's own model alone.

Imports neither torch nor transformers.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from xalign.base.errors import did_you_mean
from xalign.config.schema import PRESET, ModelConfig
from xalign.models.gguf.header import problem_of_gguf
from xalign.models.gguf.own_file import SUFFIX, gguf_of

WITHOUT_HUB = "model=gemma3_270m and model=smollm2_135m need no hub"
MARK = "xalign.json"
"""File in an exported model that says that a run wrote it, and which of its files."""
CARD = "README.md"
"""The model's card, written beside it once it has been measured."""

SOURCES = ("path", "artifact")
"""Keys of `model` that say where the weights come from."""


def settle_model(values: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Composed values without `preset`, their `model` without what does not hold for it.

    Without `preset`, as in a run's written config, everything counts as given.
    """
    preset = (values.get(PRESET) or {}).get("model")
    values = {key: value for key, value in values.items() if key != PRESET}
    model = values.get("model")
    if isinstance(model, dict):
        if preset is not None:
            model = _own(model, _defaults() | preset, values.get("models") or [], problems)
        values["model"] = _consistent(model)
    return values


def _own(
    model: Mapping[str, Any], preset: Mapping[str, Any], models: list[Any], problems: list[str]
) -> dict[str, Any]:
    """`model` with the preset's values where these are of the model that is asked for."""
    given = {key: value for key, value in model.items() if value != preset.get(key)}
    sources = {key: given[key] for key in SOURCES if given.get(key) is not None}
    if len(sources) > 1:
        both = " and ".join(f"model.{key}={value}" for key, value in sources.items())
        problems.append(f"{both}: one model; leave one of them out")
    for key, value in sources.items():
        if models:
            listed = ",".join(str(path) for path in models)
            problems.append(f"model.{key}={value}: not read, as models=[{listed}] are measured")
        elif given.get("pretrained") is False:
            del given["pretrained"]
            problems.append(
                f"model.{key}={value}: not read with model.pretrained=false; leave one of them out"
            )
    if models and not sources:
        sources = {"path": models[0]}  # each of them gets the place (`model_at`)
    if sources:
        name = name_of(str(next(iter(sources.values()))))
        found = _defaults() | {"name": name} | given | sources
    else:
        found = dict(model)
    problems += _unread(found, given)
    return found


def _unread(model: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What is given in vain."""
    problems = []
    if model["pretrained"] and given.get("architecture"):
        problems.append("model.architecture: read with model.pretrained=false only")
    if (revision := given.get("revision")) is not None:
        what = None
        if not model["pretrained"]:
            what = "not read with model.pretrained=false"
        elif model["artifact"] is not None:
            what = f"{model['artifact']} comes from the package index, at a pinned version"
        elif (place := Path(str(model["path"])).expanduser()).exists():
            what = f"{model['path']} is a {'folder' if place.is_dir() else 'file'}, and has none"
        problems += [f"model.revision={revision}: {what}"] if what else []
    return problems


def _consistent(model: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not read, so that nothing is called after a model that was not loaded."""
    pretrained = model.get("pretrained", True)
    unread = {"architecture": {}} if pretrained else dict.fromkeys((*SOURCES, "revision"))
    return {**model, **unread}


def _defaults() -> dict[str, Any]:
    """Key of `model` -> default; `name` has none."""
    return {
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default
        for f in fields(ModelConfig)
        if (f.default, f.default_factory) != (MISSING, MISSING)
    }


def model_at(path: str, base: ModelConfig) -> ModelConfig:
    """The model in a folder, a run's folder or a repository on the hub, loaded as `base` says."""
    folder = Path(path)
    # A run's folder, or the model in it: named after the run either way.
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    place = str(folder) if folder.is_dir() else path
    return replace(base, name=name_of(place), path=place, artifact=None)


def name_of(path: str) -> str:
    """Short name of a model by its path: that of its folder or file, or of the run whose `model` it is."""
    folder = Path(path)
    if folder.suffix.lower() == SUFFIX:
        return folder.stem
    named = folder.parent if folder.name == "model" and folder.parent.name else folder
    return named.name or folder.resolve().name


def problem_of_path(name: str) -> str | None:
    """What is wrong with a model's path; None where there is a folder or a GGUF file, or it may be an id on
    the hub."""
    folder = Path(name)
    if folder.is_dir():
        return None
    if folder.is_file() and (file := gguf_of(folder)):
        return problem_of_gguf(file)
    parent = folder.parent
    gguf = folder.suffix.lower() == SUFFIX
    looks_local = name.startswith((".", "/", "~")) or len(folder.parts) > 2 or folder.exists() or gguf
    if not looks_local and (parent == Path() or not parent.is_dir()):
        return None
    beside = parent.iterdir() if parent.is_dir() else []
    siblings = [path.name for path in beside if path.is_dir() or gguf_of(path)]
    problem = f"no such {'file' if gguf else 'folder'}"
    if folder.exists():
        problem = "is a file, a folder or a GGUF file is needed"
    where = f"{parent} holds {listing(parent)}" if parent.is_dir() else f"{parent} does not exist either"
    return f"{problem}{did_you_mean(folder.name, siblings)} ({where})"


def unreachable(name: str) -> str:
    """What to say of an id where there is neither a hub nor a copy."""
    return (
        f"there is no folder '{name}' here, the local cache of the Hugging Face hub has no copy, and the hub "
        f"cannot be reached; give a local folder ({WITHOUT_HUB})"
    )


def listing(folder: Path) -> str:
    """Names of what a folder holds, the first twelve."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    shown = ", ".join(names[:12]) or "nothing"
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown
