"""Which commits of the hub a run is made from: those of its first session, wherever a branch is later."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from xalign.config.schema import AnalyzeConfig, BenchmarkConfig, Config, EvaluateConfig, ModelConfig
from xalign.data.instructions.files import commit_read
from xalign.data.mixing import parts_of
from xalign.evaluation.tasks import repositories_of
from xalign.models.gguf import MODELS
from xalign.models.sources import adapters_at
from xalign.sources.hub import Kind, commit_of, offline_note, terms
from xalign.sources.hub_sets import commit_of_set

log = logging.getLogger(__name__)

BASE = "base of model.path"
"""Where `model.path` is an adapter, in the place of a key."""

Commits = Mapping[str, Mapping[str, str | None]]
"""Key of the config -> `repository` and `commit`, as in `environment.json`; of a benchmark's sets, the key is
`benchmark.` and the repository."""

C = TypeVar("C", Config, EvaluateConfig, AnalyzeConfig)

_Wanted = tuple[str, str, str | None]
"""Key, repository and revision."""


def commits_of(config: Config | EvaluateConfig, known: Commits) -> dict[str, Mapping[str, str | None]]:
    """The commits of all that the config takes from the hub; what is `known` stays as it is.

    The commit is None where the hub cannot be asked, and never was.
    """
    found: dict[str, Mapping[str, str | None]] = {}
    for key, repository, revision in _repositories(config):
        if not found and (note := offline_note()):
            log.warning("%s", note)
        if key in known and known[key]["repository"] == repository:
            found[key] = known[key]
            continue
        kind = Kind.model if key == BASE or key.startswith("model.") else Kind.dataset
        if kind is Kind.model:
            commit = commit_of(kind, repository, revision)
        elif key.startswith("instructions."):
            commit = commit_read(repository, revision)
        else:
            commit = commit_of_set(repository, revision)
        found[key] = {"repository": repository, "commit": commit}
        at, own = (commit or "unknown")[:12], terms(kind, repository, revision)
        log.info("%s %s: commit %s%s", kind, repository, at, own)
    return found


def at_commits(config: C, commits: Commits) -> C:
    """The config with these commits for its branches."""

    def of(key: str, given: str | None) -> str | None:
        return (commits[key]["commit"] if key in commits else None) or given

    def measured(group: str, benchmark: BenchmarkConfig) -> BenchmarkConfig:
        own = {
            str(entry["repository"]): commit
            for key, entry in commits.items()
            if key.startswith(f"{group}.") and (commit := entry["commit"])
        }
        return replace(benchmark, hub_revisions={**benchmark.hub_revisions, **own})

    model, data = config.model, config.data
    changed: dict[str, Any] = {
        "model": replace(
            model,
            revision=of("model.path", model.revision),
            base_revision=of(BASE, model.base_revision),
            tokenizer_revision=of("model.tokenizer", model.tokenizer_revision),
        ),
        "data": replace(
            data,
            hub_revision=of("data.hub", data.hub_revision),
            sources={
                name: replace(own, hub_revision=of(f"data.sources.{name}.hub", own.hub_revision))
                for name, own in data.sources.items()
            },
        ),
        "benchmark": measured("benchmark", config.benchmark),
    }
    if isinstance(config, Config):
        instructions, validation = config.instructions, config.validation
        revision = of("instructions.hub", instructions.hub_revision)
        changed["instructions"] = replace(instructions, hub_revision=revision)
        changed["validation"] = None if validation is None else measured("validation", validation)
    return replace(config, **changed)


def at_commit(model: ModelConfig) -> ModelConfig:
    """A model that is measured beside others, at the commit that its branch is at now."""
    revisions = {key: commit_of(Kind.model, name, revision) for key, name, revision in _of_model(model)}
    return replace(
        model,
        revision=revisions.get("model.path") or model.revision,
        base_revision=revisions.get(BASE) or model.base_revision,
        tokenizer_revision=revisions.get("model.tokenizer") or model.tokenizer_revision,
    )


def _repositories(config: Config | EvaluateConfig) -> Iterator[_Wanted]:
    """All that is taken from the hub."""
    if not (isinstance(config, EvaluateConfig) and config.models):
        yield from _of_model(config.model)
    data = config.data
    for part in parts_of(data):
        if part.data.hub and not part.data.path:
            yield f"{part.key}.hub", part.data.hub, part.data.hub_revision
    if isinstance(config, Config):
        instructions = config.instructions
        if instructions.hub and not instructions.path:
            yield "instructions.hub", instructions.hub, instructions.hub_revision
        if config.validation is not None:
            yield from _of_benchmark("validation", config.validation)
    yield from _of_benchmark("benchmark", config.benchmark)


def _of_model(model: ModelConfig) -> Iterator[_Wanted]:
    if model.pretrained and model.path and not Path(model.path).exists():
        yield "model.path", model.path, model.revision
    stack = adapters_at(model) if model.pretrained else None
    if stack is not None and not Path(stack.base).is_dir():
        yield BASE, stack.base, model.base_revision or stack.revision
    if model.tokenizer and model.tokenizer not in {*MODELS, "bytes"} and not Path(model.tokenizer).exists():
        yield "model.tokenizer", model.tokenizer, model.tokenizer_revision


def _of_benchmark(group: str, benchmark: BenchmarkConfig) -> Iterator[_Wanted]:
    for name in repositories_of(benchmark):
        if not Path(name).is_dir():
            yield f"{group}.{name}", name, benchmark.hub_revisions.get(name)
