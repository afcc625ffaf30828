"""A model of the user's own in the place of a preset's: what is left of the preset, and whether it is there.

Imports neither torch nor transformers.
"""

from dataclasses import fields, replace
from pathlib import Path

from xalign.config import ModelConfig
from xalign.errors import did_you_mean
from xalign.presets import presets

WITHOUT_HUB = "model=gemma3_270m and model=smollm2_135m need no hub"
MARK = "xalign.json"
"""File in an exported model that says that a run wrote it."""

_OF_ANOTHER = ("artifact", "depth", "revision", "architecture", "tokenizer")
"""What a preset says of its own model, and of no other."""


def own_model(model: ModelConfig) -> ModelConfig:
    """The config without what a preset said of another model, where `path` is not the preset's.

    Values that differ from the preset's were given beside the path, and stay.
    """
    if model.path is None:
        return model
    preset = _preset_of(model)
    if preset is None:
        return replace(model, artifact=None) if model.artifact else model
    if preset.path == model.path:
        return model
    nothing = ModelConfig(name="")
    of_preset = {name for name in _OF_ANOTHER if getattr(model, name) == getattr(preset, name)}
    return replace(
        model,
        name=name_of(model.path) if model.name == preset.name else model.name,
        pretrained=model.pretrained or not preset.pretrained,
        **{name: getattr(nothing, name) for name in {*of_preset, "artifact"}},
    )


def is_own(model: ModelConfig) -> bool:
    """Whether the path is not that of a preset."""
    preset = _preset_of(model)
    return model.path is not None and (preset is None or preset.path != model.path)


def model_at(path: str, base: ModelConfig) -> ModelConfig:
    """The model in a folder, a run's folder or a repository on the hub, loaded as `base` says."""
    folder = Path(path)
    # A run's folder, or the model in it: named after the run either way.
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    place = str(folder) if folder.is_dir() else path
    return replace(own_model(replace(base, path=place)), name=name_of(place), artifact=None, pretrained=True)


def name_of(path: str) -> str:
    """Short name of a model by its path: that of its folder, or of the run whose `model` it is."""
    folder = Path(path)
    named = folder.parent if folder.name == "model" and folder.parent.name else folder
    return named.name or folder.resolve().name


def problem_of_path(name: str) -> str | None:
    """What is wrong with a model's path; None where there is a folder, or it may be an id on the hub."""
    folder = Path(name)
    if folder.is_dir():
        return None
    parent = folder.parent
    looks_local = name.startswith((".", "/", "~")) or len(folder.parts) > 2 or folder.exists()
    if not looks_local and (parent == Path() or not parent.is_dir()):
        return None
    siblings = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    problem = "is a file, a folder is needed" if folder.exists() else "no such folder"
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


def _preset_of(model: ModelConfig) -> ModelConfig | None:
    """The preset that the values come from: that with this architecture, or this name."""
    known = {field.name for field in fields(ModelConfig)}
    found = [
        ModelConfig(**{key: value for key, value in values.items() if key in known})
        for values in presets("model").values()
    ]
    same = [p for p in found if p.architecture and p.architecture == model.architecture]
    return next(iter([*same, *(p for p in found if p.name == model.name)]), None)
