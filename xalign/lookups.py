"""What can be looked up before torch is imported: whether the paths of a config are there."""

import os
from collections.abc import Iterator
from pathlib import Path

from xalign.config import Config, EvaluateConfig
from xalign.data import reading
from xalign.data.readers.base import Source
from xalign.errors import RunError
from xalign.files import absence
from xalign.hub import hub_answers, in_cache
from xalign.models.gguf import MODELS
from xalign.models.own_path import problem_of_path, unreachable
from xalign.workspace.folder import RunFolder

_EMBEDDED = {*MODELS, "bytes"}
"""Names that are no paths."""


def rules(config: Config | EvaluateConfig) -> Iterator[str]:
    """Every path that is not there, or cannot be written to."""
    measured = isinstance(config, EvaluateConfig) and config.models
    if config.model.pretrained and not measured:
        yield from _model("model.path", config.model.path)
    yield from _model("model.tokenizer", config.model.tokenizer)
    if config.data.path:
        targets = [*config.languages.targets, *config.languages.unseen]
        if problem := reading.lookup(Source(config.data, config.languages.pivot, targets)):
            yield f"data.path={config.data.path}: {problem}"
    yield from _missing("benchmark.path", config.benchmark.path)
    if isinstance(config, EvaluateConfig):
        for path in config.models:
            yield from _model("models", path)
        if config.output:
            yield from _output(config.output, several=bool(config.models))
        return
    yield from _missing("instructions.path", config.instructions.path)
    if config.validation is not None:
        yield from _missing("validation.path", config.validation.path)
    if config.run.dir:
        yield from _run_folder(Path(config.run.dir))


def _model(key: str, name: str | None) -> Iterator[str]:
    if name is None or name in _EMBEDDED:
        return
    if problem := problem_of_path(name):
        yield f"{key}={name}: {problem}"
    elif not Path(name).is_dir() and not in_cache(name) and not hub_answers():
        yield f"{key}={name}: {unreachable(name)}"


def _missing(key: str, path: str | None) -> Iterator[str]:
    if path and (problem := absence(Path(path))):
        yield f"{key}={path}: {problem}"


def _run_folder(path: Path) -> Iterator[str]:
    if problem := _unwritable(path):
        yield f"run.dir={path}: {problem}"
        return
    try:
        RunFolder(path).former()
    except RunError as error:
        yield f"run.dir={path}: {error}"


def _output(given: str, several: bool) -> Iterator[str]:
    output = Path(given)
    if several and output.is_file():
        yield f"output={given}: is a file; with models the results of each go into a folder"
    elif not several and output.is_dir():
        yield f"output={given}: is a folder; name a file in it, such as output={output / 'results.json'}"
    elif problem := _unwritable(output if several else output.parent):
        yield f"output={given}: {problem}"


def _unwritable(folder: Path) -> str | None:
    """Why nothing could be written into a folder that may not be there yet; None where it can."""
    nearest = next(path for path in [folder.absolute(), *folder.absolute().parents] if path.exists())
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"no right to write into {nearest}"
