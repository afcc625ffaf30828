"""What can be looked up before torch is imported: whether the paths of a config are there."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from xalign.base.errors import ConfigError, RunError
from xalign.base.files import absence
from xalign.config.choices import ChatTemplate
from xalign.config.schema import (
    AnalyzeConfig,
    BenchmarkConfig,
    Config,
    EvaluateConfig,
    MineConfig,
    SteerConfig,
    TextConfig,
    VocabularyConfig,
)
from xalign.config.text import LanguagesConfig
from xalign.data import reading
from xalign.data.mixing import Part, parts_of
from xalign.data.readers.base import Source
from xalign.data.readers.hub import HubReader
from xalign.evaluation.findings import output_folder, written
from xalign.evaluation.tasks import repositories_of
from xalign.models.adapter_folder import is_adapter, stack_of
from xalign.models.gguf import MODELS
from xalign.models.model_folder import lacks_chat_template, problem_of_folder
from xalign.models.own_path import name_of, problem_of_path, unreachable
from xalign.models.repository import problem_of_files
from xalign.models.tokenizer_files import problem_of_tokenizer
from xalign.sources.hub import HubError, Kind, hub_answers, in_cache, look_up, problem_of_repository
from xalign.workspace.content import is_run
from xalign.workspace.folder import RunFolder

_EMBEDDED = {*MODELS, "bytes"}
"""Names that are no paths."""


_Checks = Sequence[Callable[[Collection[str]], str | None]]
"""Each tells by the names of files what is wrong."""


def rules(config: Config | EvaluateConfig | TextConfig | MineConfig, *, sweep: bool = False) -> Iterator[str]:
    """Every path that is not there, or cannot be written to; `run.dir` of a sweep holds its runs' folders."""
    if isinstance(config, SteerConfig | VocabularyConfig | MineConfig):
        yield from _model("model.path", config.model.path, config.model.revision, [problem_of_files])
    if isinstance(config, TextConfig):
        yield from _text(config)
        return
    if isinstance(config, MineConfig):
        yield from _missing("source", config.source)
        yield from _missing("target", config.target)
        return
    measured = isinstance(config, EvaluateConfig)
    of_tokenizer: _Checks = [problem_of_tokenizer]
    whole = [problem_of_files, *of_tokenizer] if config.model.tokenizer is None else [problem_of_files]
    if config.model.pretrained and not (isinstance(config, EvaluateConfig) and config.models):
        yield from _model("model.path", config.model.path, config.model.revision, whole)
        yield from _model_folder("model.path", config.model.path, measured)
    if config.model.steering is not None:
        yield from _missing("model.steering.path", config.model.steering.path)
    tokenizer, revision = config.model.tokenizer, config.model.tokenizer_revision
    yield from _model("model.tokenizer", tokenizer, revision, of_tokenizer)
    yield from _chat(config)
    for part in parts_of(config.data):
        yield from _parallel_text(part, config.languages)
    yield from _benchmark("benchmark", config.benchmark)
    if isinstance(config, EvaluateConfig):
        for path in config.models:
            yield from _model("models", path, config.model.revision, whole)
            yield from _model_folder("models", path, measured)
        if isinstance(config, AnalyzeConfig):
            yield from _analyses(config)
        elif config.output:
            yield from _output(config.output, several=bool(config.models))
        return
    yield from _missing("adapter.path", getattr(config.adapter, "path", None))
    instructions = config.instructions
    yield from _missing("instructions.path", instructions.path)
    if instructions.hub and not instructions.path:
        yield from _dataset("instructions.hub", instructions.hub, instructions.hub_revision)
    if config.validation is not None:
        yield from _benchmark("validation", config.validation)
    if config.run.dir and not config.plan:
        folder = Path(config.run.dir)
        if problem := _unwritable(folder):
            yield f"run.dir={folder}: {problem}"
        elif not sweep:
            yield from _run_folder(folder)


def _text(config: TextConfig) -> Iterator[str]:
    if isinstance(config, VocabularyConfig):
        for key in ("vectors", "adapted"):
            yield from _missing(key, getattr(config, key))
        for code, path in config.text.items():
            yield from _missing(f"text.{code}", path)
    for part in parts_of(config.data):
        # A folder may hold several corpora, which are then looked at one by one.
        if part.data.path and not Path(part.data.path).is_dir():
            yield from _parallel_text(part, config.languages)
    if config.output and (problem := _unwritable(Path(config.output))):
        yield f"output={config.output}: {problem}"


def _parallel_text(part: Part, languages: LanguagesConfig) -> Iterator[str]:
    data, targets = part.data, [*languages.targets, *languages.unseen]
    source = Source(data, languages.pivot, targets, part.key)
    if data.path:
        if problem := reading.lookup(source):
            yield f"{part.key}.path={data.path}: {problem}"
    elif data.hub:
        missing = list(_dataset(f"{part.key}.hub", data.hub, data.hub_revision))
        yield from missing or _pairs(source)


def _model(key: str, name: str | None, revision: str | None, checks: _Checks = ()) -> Iterator[str]:
    """`checks`: what of a repository on the hub is looked at beside that it is there."""
    if name is None or name in _EMBEDDED:
        return
    problem = problem_of_path(name)
    if problem is None and not Path(name).exists():
        if hub_answers():
            problem = problem_of_repository(Kind.model, name, revision)
        elif not in_cache(name):
            problem = unreachable(name)
        if problem is None:
            problem = _problem_of_files(name, revision, checks)
    if problem:
        yield f"{key}={name}: {problem}"


def _chat(config: Config | EvaluateConfig) -> Iterator[str]:
    """A chat asked for where it is plain to see that the tokenizer has no template."""
    model = config.model
    place = model.tokenizer or model.path
    if isinstance(config, EvaluateConfig) and config.models:
        return
    if place is None or (place != "bytes" and not Path(place).is_dir()):
        return
    if place != "bytes":
        exported = Path(place) / "model"
        folder = exported if (exported / "config.json").is_file() else Path(place)
        if not lacks_chat_template(folder):
            return
    asked = [("benchmark.chat=true", config.benchmark.chat)]
    if isinstance(config, Config):
        asked.append(("instructions.template=chat", config.instructions.template is ChatTemplate.chat))
        asked.append(("validation.chat=true", config.validation is not None and config.validation.chat))
    for key, is_asked in asked:
        if is_asked:
            yield f"{key}: the tokenizer of {place} has no chat template"


def _problem_of_files(name: str, revision: str | None, checks: _Checks) -> str | None:
    try:
        files = list(look_up(Kind.model, name, revision).files)
    except HubError:
        return None  # loading says what is wrong
    return next((problem for check in checks if (problem := check(files))), None)


def _pairs(source: Source) -> Iterator[str]:
    try:
        reader = reading.reader_of(source)[1]
        if isinstance(reader, HubReader):
            reader.check()
    except ConfigError as error:
        yield from error.problems


def _benchmark(group: str, benchmark: BenchmarkConfig) -> Iterator[str]:
    yield from _missing(f"{group}.path", benchmark.path)
    for name in repositories_of(benchmark):
        yield from _dataset(group, name, benchmark.hub_revisions.get(name))


def _dataset(key: str, name: str, revision: str | None) -> Iterator[str]:
    # Without a hub, what it once was may be in a cache, which only its reader knows.
    if problem := problem_of_repository(Kind.dataset, name, revision):
        yield f"{key}={name}: {problem}"


def _model_folder(key: str, name: str | None, measured: bool) -> Iterator[str]:
    """`measured`: the folder may be that of a run."""
    if name is None or not Path(name).is_dir():
        return
    exported = Path(name) / "model"
    folder = exported if measured and (exported / "config.json").is_file() else Path(name)
    if measured and folder != exported and is_run(folder):
        yield f"{key}={name}: this run has no model yet; the command that began it goes on with it"
    elif problem := problem_of_folder(folder):
        yield f"{key}={name}: {problem}"
    elif is_adapter(folder):
        stack = stack_of(folder)
        if not Path(stack.base).is_dir():
            yield from _model(f"{key}={name}: the adapter's base", stack.base, stack.revision)


def _missing(key: str, path: str | None) -> Iterator[str]:
    if path and (problem := absence(Path(path))):
        yield f"{key}={path}: {problem}"


def _run_folder(path: Path) -> Iterator[str]:
    home = Path.home().resolve()
    if path.resolve() in (home, *home.parents):
        yield f"run.dir={path}: a run needs a folder of its own"
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


def _analyses(config: AnalyzeConfig) -> Iterator[str]:
    names = [name_of(path) for path in config.models] or [config.model.name]
    folder = output_folder(config.output, names)
    if problem := _unwritable(folder):
        yield f"output={folder}: {problem}"
    elif found := written(folder, config.analyses):
        held = ", ".join(path.name for path in found)
        yield f"output={folder}: holds {held}; nothing is overwritten, give another output=FOLDER"


def _unwritable(folder: Path) -> str | None:
    """Why nothing could be written into a folder that may not be there yet; None where it can."""
    nearest = next(path for path in [folder.absolute(), *folder.absolute().parents] if path.exists())
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"no right to write into {nearest}"
