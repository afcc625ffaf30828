"""Published multiple-choice sets as tasks: which files, which split, how a row becomes an item."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from xalign.base.registry import Short
from xalign.config.choices import Demonstrations
from xalign.config.parts import TaskConfig
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.metrics import Metric, abstentions, answers
from xalign.evaluation.sets.files import Row, Source
from xalign.evaluation.sets.templates import Template, TemplateConfig
from xalign.evaluation.task import Part, Setting, Task


@dataclass(frozen=True)
class QuestionSet:
    """A set and how it is asked. Rows are in the hub's columns."""

    source: Source
    split: str
    """The split that is measured where none is named."""
    texts: tuple[tuple[str, ...], ...]
    """Columns of text. Code-switched demonstrations take each group from one language or the other."""
    label: str
    labels: tuple[tuple[object, ...], ...]
    """Per candidate, what `label` may be where it is the right one."""
    styles: Mapping[str, Template]
    """Wordings by name."""
    fields: Callable[[Row, str], Mapping[str, str] | None] = lambda row, language: row
    """What templates may name, from a row in a language; None: the row cannot be asked."""
    allowed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Columns with few values, and these."""
    parallel: bool = True
    """Whether row k is the same question in all languages of a split."""
    empty_texts: bool = False
    """Whether columns of text may be empty."""


class QuestionTask(Task):
    """Asks a set's questions, zero-shot or after demonstrations."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        style: Annotated[str, Short("style")] = "harness"
        """Wording: `harness` (lm-evaluation-harness) or `afp` (Li et al. 2024)."""
        template: Annotated[TemplateConfig | None, Short("template")] = None
        """Wording of one's own."""
        demonstrations: Annotated[Demonstrations, Short("demonstrations")] = Demonstrations.same_language
        """Language of the demonstrations, or their order (`first`: the first of the split, as they stand)."""
        balanced: Annotated[bool, Short("balanced")] = False
        """Whether demonstrations take each answer equally often."""
        abstain: Annotated[bool, Short("abstain")] = False
        """Whether it is measured, too, what abstaining where the model is not certain would bring: the
        certainty from which on it answers is fitted on every second question, the others are reported."""

    config: Config
    questions: ClassVar[QuestionSet]

    def reported_as(self, benchmark: BenchmarkConfig) -> str:
        # Several sets under one name are told apart by their own.
        return benchmark.name if len(benchmark.tasks) == 1 else self.name

    def metrics(self) -> Sequence[Metric]:
        label = self.label or self.name
        abstaining = abstentions(label) if self.config.abstain else []
        return [*answers(label, 1 / len(self.questions.labels)), *abstaining]

    def languages(self) -> Collection[str]:
        return self.questions.source.languages

    def repositories(self, benchmark: BenchmarkConfig) -> Collection[str]:
        return () if benchmark.path else [self.questions.source.hub]

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.question_parts import question_parts

        return question_parts(self, setting)
