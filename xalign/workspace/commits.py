"""Which commits of the hub a run is made from: those of its first session, wherever a branch is later."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from xalign.config.schema import Config
from xalign.models.gguf import MODELS
from xalign.models.sources import adapters_at
from xalign.sources.hub import Kind, commit_of

BASE = "base of model.path"
"""Where `model.path` is an adapter, in the place of a key."""

Commits = Mapping[str, Mapping[str, str | None]]
"""Key of the config -> `repository` and `commit`, as in `environment.json`."""


def commits_of(config: Config, known: Commits) -> dict[str, Mapping[str, str | None]]:
    """The commits of all that the config takes from the hub; what is `known` stays as it is.

    The commit is None where the hub cannot be asked, and never was.
    """
    found: dict[str, Mapping[str, str | None]] = {}
    for key, kind, repository, revision in _repositories(config):
        if key in known and known[key]["repository"] == repository:
            found[key] = known[key]
        else:
            found[key] = {"repository": repository, "commit": commit_of(kind, repository, revision)}
    return found


def at_commits(config: Config, commits: Commits) -> Config:
    """The config with these commits for its branches."""

    def of(key: str, given: str | None) -> str | None:
        return (commits[key]["commit"] if key in commits else None) or given

    model, data = config.model, config.data
    changed: dict[str, Any] = {
        "model": replace(
            model,
            revision=of("model.path", model.revision),
            base_revision=of(BASE, model.base_revision),
            tokenizer_revision=of("model.tokenizer", model.tokenizer_revision),
        ),
        "data": replace(data, hub_revision=of("data.hub", data.hub_revision)),
    }
    return replace(config, **changed)


def _repositories(config: Config) -> Iterator[tuple[str, Kind, str, str | None]]:
    """Key, kind, repository and revision of all that is taken from the hub."""
    model, data = config.model, config.data
    if model.pretrained and model.path and not Path(model.path).exists():
        yield "model.path", Kind.model, model.path, model.revision
    stack = adapters_at(model) if model.pretrained else None
    if stack is not None and not Path(stack.base).is_dir():
        yield BASE, Kind.model, stack.base, model.base_revision or stack.revision
    if model.tokenizer and model.tokenizer not in {*MODELS, "bytes"} and not Path(model.tokenizer).exists():
        yield "model.tokenizer", Kind.model, model.tokenizer, model.tokenizer_revision
    if data.hub and not data.path:
        yield "data.hub", Kind.dataset, data.hub, data.hub_revision
