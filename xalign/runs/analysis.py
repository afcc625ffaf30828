"""All of `python -m xalign.analyze`: models and runs, the text, what is found, pictures."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError, DataError
from xalign.base.files import read_yaml, replacing
from xalign.base.languages import canonical
from xalign.config.schema import AnalyzeConfig, Config, ModelConfig
from xalign.data.parallel import ParallelCorpus
from xalign.evaluation.analyse import analyse, require_possible
from xalign.evaluation.analyses import analyses_of
from xalign.evaluation.engine.session import Session, poolings_of
from xalign.evaluation.findings import AnalysedModel, file_of, output_folder, picture_of
from xalign.evaluation.sets.translations import pairs_of
from xalign.evaluation.texts import texts_to_measure
from xalign.models.context import parts_within_context
from xalign.models.gguf import MODELS
from xalign.models.own_path import model_at, name_of
from xalign.performance.automatic import (
    choose_device,
    choose_precision,
    choose_threads,
)
from xalign.reporting.analyses import lines_of, shown_of
from xalign.runs.measurement import load_backbone
from xalign.workspace.commits import at_commit, at_commits, commits_of
from xalign.workspace.content import config_of, is_run
from xalign.workspace.environment import keep_freed_memory, quiet_libraries, set_up_logging
from xalign.workspace.folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A model to look into."""

    title: str
    """In pictures and names of files: `before` and `after` of one run alone, else its name."""
    model: ModelConfig
    seed: int
    """Of weights that are made, not loaded."""


def analyze(config: AnalyzeConfig) -> None:
    """Look into one model or several; print what was found and write it, with pictures.

    Raises:
        ConfigError: an analysis asks for a layer or language that is not there; runs hold out different text.
    """
    set_up_logging(None)
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions()
    choose_threads(config.threads, 1, decisions, "threads")
    device = choose_device(decisions)
    dtype = choose_precision(config.benchmark.precision, device, decisions)
    config = at_commits(config, commits_of(config, {}))
    runs = {path: config_of_run(Path(path)) for path in config.models if is_run(Path(path))}
    subjects = subjects_of(config, runs)
    config = with_text_of(config, runs)
    pivot = config.languages.pivot
    pairs = pairs_of(_text(config), pivot, [canonical(code) for code in config.benchmark.languages])
    found: dict[str, AnalysedModel] = {}
    for subject in subjects:
        log.info("looking into %s", subject.title)
        backbone = load_backbone(at_commit(subject.model), device, subject.seed)
        options = parts_within_context(config.analyses, "analyses", backbone, decisions)
        analyses = analyses_of(options)
        require_possible(analyses, backbone.depth, list(pairs))
        poolings = poolings_of(analysis.needs.vectors for analysis in analyses.values())
        session = Session(backbone, config.benchmark.name, config.benchmark.batch_tokens, poolings)
        found[subject.title] = AnalysedModel(
            model=subject.model.path or subject.model.name,
            text=config.benchmark.name,
            analyses=analyse(session, analyses, pairs, pivot=pivot, dtype=dtype, seed=config.seed),
        )
        del backbone, session
    names = [name_of(path) for path in config.models] or [config.model.name]
    write(found, output_folder(config.output, names))


def write(found: Mapping[str, AnalysedModel], folder: Path) -> None:
    """Print what was found, and write it into a folder: a file a model, a picture an analysis."""
    print("\n".join(lines_of(found)))
    for title, model in found.items():
        model.write(file_of(folder, title))
    for shown in shown_of(found):
        with replacing(picture_of(folder, shown.name)) as temporary:
            shown.save(temporary)
    print(folder)


def config_of_run(folder: Path) -> Config:
    """The config of a run, at the commits of the hub that it was made from.

    Raises:
        DataError: it is not one that this version understands.
    """
    file = folder / "config.yaml"
    former = read_yaml(file)
    config = config_of(former) if isinstance(former, dict) else None
    if config is None:
        raise DataError(f"{file}: not understood by this version; give the models' own folders instead")
    return at_commits(config, RunFolder(folder).known().get("hub") or {})


def subjects_of(config: AnalyzeConfig, runs: Mapping[str, Config]) -> list[Subject]:
    """What to look into, in the order that was asked for; a base model that runs share once.

    Raises:
        ConfigError: two have the same name.
    """
    if not config.models:
        return [Subject(config.model.name, config.model, config.seed)]
    alone = list(config.models) == list(runs) and len(runs) == 1
    found: list[Subject] = []
    for path in config.models:
        if path in runs:
            run = runs[path]
            base = Subject("before" if alone else run.model.name, run.model, run.seed)
            aligned = ModelConfig(
                name=name_of(path),
                path=str(Path(path) / "model"),
                trust_remote_code=run.model.trust_remote_code,
            )
            found += [] if base in found else [base]
            found.append(Subject("after" if alone else aligned.name, aligned, run.seed))
        else:
            model = ModelConfig(name=path, artifact=path) if path in MODELS else model_at(path, config.model)
            found.append(Subject(model.name, model, config.seed))
    titles = [subject.title for subject in found]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise ConfigError([f"models: several are named {', '.join(twice)}; results would be mixed up"])
    return found


def with_text_of(config: AnalyzeConfig, runs: Mapping[str, Config]) -> AnalyzeConfig:
    """The config with the languages and the corpus of the runs, if there are any.

    Raises:
        ConfigError: they have different ones, so that no text is held out by all.
    """
    if not runs:
        return config
    (first, of_first), *others = runs.items()
    for path, other in others:
        same = other.languages.pivot == of_first.languages.pivot
        if not config.benchmark.own_text:
            same = (other.languages, other.data) == (of_first.languages, of_first.data)
        if not same:
            what = f"{first} and {path} have different languages or data, and so hold out different text"
            raise ConfigError([f"models: {what}; benchmark=tatoeba benchmark.path=DIR is one text for both"])
    return replace(config, languages=of_first.languages, data=of_first.data)


def _text(config: AnalyzeConfig) -> ParallelCorpus:
    text = texts_to_measure(config).test
    assert text is not None, "validated: the benchmark has parallel text"
    return text
