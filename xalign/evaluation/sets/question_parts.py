"""The parts of a task on a published multiple-choice set: its files read, rows made items, demonstrations
chosen."""

import logging
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

from xalign.base.errors import DataError, did_you_mean
from xalign.base.languages import canonical
from xalign.config.choices import Demonstrations
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.engine.multiple_choice import Questions, question_part
from xalign.evaluation.items import Item
from xalign.evaluation.prompts import prompt_form
from xalign.evaluation.sets.demonstrations import Demonstration, Pool, Wanted, choose
from xalign.evaluation.sets.files import (
    SPLITS,
    BenchmarkFiles,
    Row,
    Rows,
    Source,
    in_folder,
    on_hub,
)
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template, own_template
from xalign.evaluation.task import Part, Setting

log = logging.getLogger(__name__)


def render(questions: QuestionSet, template: Template, rows: Rows, index: int, language: str) -> Item | None:
    """Row `index` as an item; None where it cannot be asked.

    Raises:
        DataError: a column is missing or has a value that it cannot have; the template names no field.
    """
    row, where = rows.rows[index], rows.where(index)
    gold = _check(questions, row, where)
    fields = questions.fields(row, language)
    return None if fields is None else template.fill(fields, len(questions.labels), index, gold)


def question_parts(task: QuestionTask, setting: Setting) -> list[Part]:
    """Parts that ask a set's questions in each language.

    Raises:
        DataError: the set, a split or a language is not there, or a row or the wording is not as it must be.
    """
    config, questions, options = setting.benchmark, task.questions, task.config
    name = questions.source.name
    template = _template(questions, options)
    try:
        files = _files(questions.source, config)
        split = _split(questions, files, config)
        languages = _languages(questions, files, split, setting)
    except _NotThereError as error:
        if len(config.tasks) == 1:
            raise
        log.warning("%s is not measured: %s", name, error)
        return []
    read = cache(files.rows)
    parts = []
    shown_split = split
    for language in languages:
        rows = read(split, language)
        items = _items(questions, template, rows, language, config.limit)
        demonstrations: list[Demonstration] = []
        if config.shots:
            source = setting.pivot if options.demonstrations is Demonstrations.pivot else language
            shown_split = _demonstration_split(files, split, source, config)
            pool = _pool(questions, template, files, shown_split, read)
            wanted = Wanted(config.shots, options.demonstrations, options.balanced, setting.seed)
            asked = {item.solved for item in items}
            demonstrations = choose(pool, wanted, language, setting.pivot, asked)
        columns = [column for group in questions.texts for column in group]
        texts = [rows.rows[item.index][column] for item in items for column in columns]
        shown = [
            read(shown_split, d.language).rows[d.row][column] for d in demonstrations for column in columns
        ]
        parts.append(
            question_part(
                Questions(
                    task.reported_as(config),
                    task.name,
                    task.version,
                    language,
                    items,
                    [d.shown for d in demonstrations],
                    config.shots or 0,
                    texts,
                    shown,
                    prompt_form(config),
                    options.abstain,
                )
            )
        )
    return parts


def _items(
    questions: QuestionSet, template: Template, rows: Rows, language: str, limit: int | None
) -> list[Item]:
    """The first `limit` rows that can be asked."""
    every = (render(questions, template, rows, index, language) for index in range(len(rows.rows)))
    return list(islice((item for item in every if item is not None), limit))


class _NotThereError(DataError):
    """The set, or what is asked of it, is not there: a benchmark of several sets goes on without it."""


def _files(source: Source, config: BenchmarkConfig) -> BenchmarkFiles:
    if config.path is None:
        return on_hub(source, config.hub_revisions.get(source.hub))
    folder = Path(config.path)
    names = [source.name, source.hub.split("/")[-1]]
    own = next((folder / name for name in names if (folder / name).is_dir()), None)
    if own is None and len(config.tasks) > 1:
        raise _NotThereError(f"benchmark.path: no folder {folder / source.name}")
    return in_folder(source, own or folder)


def _split(questions: QuestionSet, files: BenchmarkFiles, config: BenchmarkConfig) -> str:
    """The split to measure: as configured, else the set's usual one, else the only one that there is."""
    there = files.splits
    if config.split is not None:
        split = _known_split(config.split, "benchmark.split")
        if split not in there:
            raise _NotThereError(
                f"benchmark.split={config.split}: {questions.source.name} in {files.place} has only "
                f"{', '.join(there)}"
            )
        return split
    if questions.split in there:
        return questions.split
    if not there:
        raise _NotThereError(f"{questions.source.name}: {files.place} has none of its splits and languages")
    others = [split for split in there if split != "train"]
    if not others:
        raise _NotThereError(f"{questions.source.name} in {files.place} has no split but {', '.join(there)}")
    log.warning(
        "%s: %s has no %s split; measured on %s",
        *(questions.source.name, files.place, questions.split, others[0]),
    )
    return others[0]


def _known_split(name: str, key: str) -> str:
    if name not in SPLITS:
        raise DataError(f"{key}={name}: allowed are {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")
    return SPLITS[name]


def _languages(questions: QuestionSet, files: BenchmarkFiles, split: str, setting: Setting) -> list[str]:
    """As configured, or all there are; beside parallel text, those of that text."""
    there, config = files.languages(split), setting.benchmark
    if setting.corpus is not None and not config.languages:
        return [code for code in there if code in (setting.pivot, *setting.languages)]
    wanted = list(dict.fromkeys(canonical(code) for code in config.languages))
    lacking = [language for language in wanted if language not in there]
    if lacking and (len(config.tasks) == 1 or len(lacking) == len(wanted)):
        raise _NotThereError(
            f"benchmark.languages: {questions.source.name} has no '{lacking[0]}' in the {split} split of "
            f"{files.place}; it has {', '.join(there)}{did_you_mean(lacking[0], there)}"
        )
    if lacking:
        log.warning("%s has no %s: not measured there", questions.source.name, ", ".join(lacking))
    return [language for language in wanted if language in there] or there


def _demonstration_split(files: BenchmarkFiles, measured: str, language: str, config: BenchmarkConfig) -> str:
    """As configured, else train where a language has it, else validation; never what is measured."""
    if config.demonstration_split is not None:
        split = _known_split(config.demonstration_split, "benchmark.demonstration_split")
        if split in ("test", measured):
            why = "test is only ever measured" if split == "test" else "is the split that is measured"
            raise DataError(f"benchmark.demonstration_split={config.demonstration_split}: {why}")
        if split not in files.splits:
            raise DataError(
                f"benchmark.demonstration_split={config.demonstration_split}: {files.place} has only "
                f"{', '.join(files.splits)}"
            )
        return split
    for split in ("train", "validation"):
        if split != measured and language in files.languages(split):
            return split
    raise DataError(
        f"benchmark.shots={config.shots}: {files.place} has no split in '{language}' for demonstrations "
        f"besides '{measured}', which is measured (wanted is train or validation; there are "
        f"{', '.join(files.splits)}); set benchmark.shots=0"
    )


def _pool(
    questions: QuestionSet,
    template: Template,
    files: BenchmarkFiles,
    split: str,
    read: Callable[[str, str], Rows],
) -> Pool:
    def item(language: str, index: int) -> Item | None:
        return render(questions, template, read(split, language), index, language)

    def switched(language: str, other: str, index: int, turn: int) -> Item:
        own, translated = read(split, language), read(split, other)
        name = questions.source.name
        if not questions.parallel:
            raise DataError(
                f"benchmark.demonstrations=code_switched: the languages of {name} are not parallel"
            )
        if len(own.rows) != len(translated.rows):
            raise DataError(
                f"benchmark.demonstrations=code_switched: {name} is not parallel here: {own.place} has "
                f"{len(own.rows)} rows, {translated.place} {len(translated.rows)}"
            )
        gold = _check(questions, own.rows[index], own.where(index))
        if _check(questions, translated.rows[index], translated.where(index)) != gold:
            raise DataError(
                f"benchmark.demonstrations=code_switched: {name} is not parallel here: {own.where(index)} "
                f"and {translated.where(index)} have different answers"
            )
        mixed = dict(own.rows[index])
        for k, group in enumerate(questions.texts):
            if (k + turn) % 2:
                mixed |= {column: translated.rows[index][column] for column in group}
        fields = questions.fields(mixed, language)
        assert fields is not None  # the row itself could be asked
        return template.fill(fields, len(questions.labels), index, gold)

    return Pool(
        f"the {split} split of {files.place}",
        files.languages(split),
        lambda language: len(read(split, language).rows),
        item,
        switched,
    )


def _check(questions: QuestionSet, row: Row, where: str) -> int:
    """The number of the right candidate, once all columns are as they must be."""
    for column in (*(c for group in questions.texts for c in group), questions.label):
        if column not in row:
            raise DataError(f"{where}: no '{column}'; it has {', '.join(row)}")
    for column in (c for group in questions.texts for c in group):
        if not isinstance(row[column], str) or not (row[column].strip() or questions.empty_texts):
            raise DataError(f"{where}: '{column}' is {row[column]!r}, wanted is a text")
    for column, values in questions.allowed:
        if row.get(column) not in values:
            raise DataError(
                f"{where}: '{column}' is {row.get(column)!r}, allowed are {', '.join(map(repr, values))}"
            )
    label = row[questions.label]
    for gold, spellings in enumerate(questions.labels):
        if not isinstance(label, bool) and label in spellings:
            return gold
    every = [repr(spelling) for spellings in questions.labels for spelling in spellings]
    raise DataError(f"{where}: '{questions.label}' is {label!r}, allowed are {', '.join(every)}")


def _template(questions: QuestionSet, config: QuestionTask.Config) -> Template:
    """The wording: one's own, else that of the style."""
    name, styles = questions.source.name, questions.styles
    if config.template is not None:
        return own_template(config.template, name, len(questions.labels))
    if config.style not in styles:
        raise DataError(
            f"benchmark.style={config.style}: {name} has {', '.join(styles)}"
            f"{did_you_mean(config.style, styles)}"
        )
    return styles[config.style]
