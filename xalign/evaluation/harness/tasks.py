"""Tasks of lm-evaluation-harness (extra `lm-eval`) answered by xalign's engine, in its rows and records."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.base.languages import canonical, is_language
from xalign.base.progress import Advance
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.engine.journal import NO_JOURNAL, Journal
from xalign.evaluation.engine.multiple_choice import KINDS, judged
from xalign.evaluation.engine.session import Session
from xalign.evaluation.harness.content import fingerprint
from xalign.evaluation.metrics import KNOWN, Kind, Metric
from xalign.evaluation.prompts import PLAIN, PromptForm, prompt_form
from xalign.evaluation.results import Record, Result
from xalign.evaluation.task import Measured, Part, Setting, Task
from xalign.models.backbone import Backbone, evaluating

log = logging.getLogger(__name__)

UNKNOWN = "und"
"""Language of a task whose name does not end in a code (BCP 47: undetermined)."""

NOT_INSTALLED = "tasks of lm-evaluation-harness need its package: pip install 'xalign[lm-eval]'"

Sample = Mapping[str, Any]


class GuestTask(Task):
    """A task, group or tag of the harness as one of ours: `benchmark.provider=lm_eval`."""

    @property
    def version(self) -> str:  # type: ignore[override]
        return f"lm-eval {_harness_version()}"

    def figures(self, benchmark: BenchmarkConfig) -> list[tuple[str, Metric]]:
        found = []
        for name, task in self._loaded.items():
            place, _ = _place(name, task.config.dataset_name)
            found += [(place, metric) for metric in _metrics(place, task)]
        return list(dict.fromkeys(found))

    def parts(self, setting: Setting) -> list[Part]:
        shots, limit = setting.benchmark.shots, setting.benchmark.limit
        content = {name: fingerprint(task, shots) for name, task in self._loaded.items()}
        form = prompt_form(setting.benchmark)
        key = {"shots": shots, "limit": limit, "tasks": content, **form.key}
        return [Part(self.name, UNKNOWN, key, 1, partial(self._measure, shots, limit, form))]

    @cached_property
    def _loaded(self) -> Mapping[str, Any]:
        """Task name -> task of the harness, its data loaded."""
        return load([self.name])[1]

    def _measure(
        self, shots: int | None, limit: int | None, form: PromptForm, session: Session, advance: Advance
    ) -> Measured:
        found = run(
            session.backbone,
            [self.name],
            shots=shots,
            limit=limit,
            form=form,
            batch_tokens=session.batch_tokens,
            journal=session.journal,
        )
        advance(1)
        return Measured(*found)


def _metrics(place: str, task: Any) -> Iterator[Metric]:
    """What a task gives, and which way is better, in its own words."""
    kinds = [own["name"] for own in task.config.filter_list or [{"name": "none"}]]
    chance = None
    if task.OUTPUT_TYPE == "multiple_choice":
        chance = 1 / len(task.doc_to_choice(next(iter(task.eval_docs))))
    for metric, higher_is_better in task.higher_is_better().items():
        for kind in kinds:
            name = _metric(metric, kind)
            own = KNOWN.get(name, Metric(name=name, label=f"{place} {name}"))
            answered = own.kind is Kind.accuracy
            yield replace(
                own,
                label=own.label or place,
                higher_is_better=bool(higher_is_better),
                chance=chance if answered else None,
            )


def run(
    backbone: Backbone,
    tasks: Sequence[str],
    *,
    shots: int | None,
    limit: int | None,
    batch_tokens: int,
    form: PromptForm = PLAIN,
    journal: Journal = NO_JOURNAL,
) -> tuple[list[Result], dict[str, list[Record]]]:
    """Rows, and `<benchmark>.<task>` -> the records of the items behind them.

    `tasks` are names of the harness's tasks, groups or tags, or paths of task files (.yaml); `shots` and
    `limit` (items a task) are the task's own, and all, where None; a task whose own `num_fewshot` is 0 keeps
    it, as in the harness. Figures and standard errors are the harness's, as is a chat (`form`). A task
    `xnli_sw` whose set is the configuration `sw` is benchmark `xnli` in language `sw`; of any other task the
    language is `und`. Metrics `acc...` are called `accuracy...`.

    Raises:
        ConfigError: lm_eval is not installed, or has no such task.
        DataError: a task cannot be loaded (its data, mostly), or asks for an impossible continuation.
    """
    _, loaded = load(tasks)
    from lm_eval import simple_evaluate

    from xalign.evaluation.harness.model import HarnessModel

    with evaluating(backbone):
        # The global seeds are left alone: a measurement within a training must not change it.
        found = simple_evaluate(
            model=HarnessModel(backbone, batch_tokens, journal),
            tasks=list(loaded.values()),
            num_fewshot=shots,
            limit=limit,
            apply_chat_template=form.chat,
            fewshot_as_multiturn=form.chat and form.turns,
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
        )
    results: list[Result] = []
    items: dict[str, list[Record]] = {}
    for name, task in loaded.items():
        benchmark, language = _place(name, task.config.dataset_name)
        results += _rows(benchmark, language, name, found)
        own = found["n-shot"][name]
        if shots not in (None, own):
            log.warning("benchmark.shots=%d: %s keeps to %d, which is its own", shots, name, own)
        # Where an answer is filtered in several ways, every item is there once for each.
        samples: dict[int, list[Sample]] = {}
        for sample in found["samples"][name]:
            samples.setdefault(sample["doc_id"], []).append(sample)
        records = [_record(language, task, samples[index]) for index in sorted(samples)]
        items.setdefault(f"{benchmark}.lm_eval", []).extend(records)
    return results, items


def load(names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """The harness's task manager, and its tasks by name, made anew.

    Raises:
        ConfigError: lm_eval is not installed, or has no such task.
        DataError: a task cannot be loaded.
    """
    try:
        import lm_eval  # noqa: F401

        # Its own 15,000 task files take seconds to look through.
        manager = _manager(include_defaults=not all(Path(name).is_file() for name in names))
    except ImportError as error:
        raise ConfigError([f"{NOT_INSTALLED} ({error})"]) from error
    _require_known(names, manager.all_tasks)
    return manager, {name: task for wanted in names for name, task in _load(manager, wanted).items()}


@cache
def _manager(include_defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=include_defaults)


def _harness_version() -> str:
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        raise ConfigError([NOT_INSTALLED]) from None


def _require_known(tasks: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in tasks if name not in known and not Path(name).is_file()]
    if unknown:
        raise ConfigError(
            f"lm-evaluation-harness has no task '{name}' (`lm-eval ls tasks` lists its tasks)"
            f"{did_you_mean(name, known)}"
            for name in unknown
        )


def _load(manager: Any, name: str) -> dict[str, Any]:
    """Task name -> task of a task, group, tag or file."""
    try:
        tasks: dict[str, Any] = manager.load(name)["tasks"]
    except Exception as error:  # reads data and runs code of the task: anything can go wrong
        text = " ".join(str(error).split())
        raise DataError(f"task '{name}' could not be loaded: {type(error).__name__}: {text}") from error
    return tasks


def _place(name: str, configuration: str | None) -> tuple[str, str]:
    """Benchmark and language of a task."""
    ending = f"_{configuration}"
    if configuration and name.endswith(ending) and is_language(configuration):
        return name.removesuffix(ending), canonical(configuration)
    return name, UNKNOWN


def _rows(benchmark: str, language: str, name: str, found: Mapping[str, Any]) -> Iterator[Result]:
    figures = found["results"][name]
    for key, value in figures.items():
        metric, comma, kind = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        stderr = figures.get(f"{metric}_stderr,{kind}")
        yield Result(
            benchmark=benchmark,
            language=language,
            metric=_metric(metric, kind),
            value=float(value),
            stderr=stderr if isinstance(stderr, float) else None,
            n=found["n-samples"][name]["effective"],
            shots=found["n-shot"][name],
            version=f"{found['versions'][name]}, lm-eval {version('lm_eval')}",
        )


def _metric(name: str, kind: str) -> str:
    """Our name of a metric of answers that were filtered in some way."""
    ours = re.sub(r"^acc(?=_|$)", "accuracy", name)
    return ours if kind == "none" else f"{ours}_{kind}"


def _record(language: str, task: Any, samples: Sequence[Sample]) -> Record:
    """As of `multiple_choice.answer` where one choice is right, otherwise the item's figures by metric.

    Figures that the task does not simply average (perplexities, say) are left out.
    """
    sample = samples[0]
    record: Record = {"language": language, "index": sample["doc_id"]}
    if task.OUTPUT_TYPE == "multiple_choice":
        choices: list[str] = task.doc_to_choice(sample["doc"])
        # Where contexts are chosen from, the text stands for the number of the right one.
        gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
        if gold in choices:
            gold = choices.index(gold)
        if isinstance(gold, int):
            # Unconditional log-likelihoods, which some tasks ask for besides, come last.
            sums = np.array([value for value, _ in sample["filtered_resps"][: len(choices)]])
            # Others than the task's would be made up: where contexts are chosen from, they divide by those.
            kinds = [kind for kind in KINDS if not kind or f"acc{kind}" in sample["metrics"]]
            return record | {"gold": gold} | judged(sums, choices, kinds)
    averaged = {metric for metric, reduce in task.aggregation().items() if reduce.__name__ == "mean"}
    values = {_metric(m, s["filter"]): s[m] for s in samples for m in s["metrics"] if m in averaged}
    return record | {"metrics": {m: float(v) for m, v in values.items() if isinstance(v, int | float)}}
