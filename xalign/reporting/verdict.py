"""The first sentence of a report: whether the run aligned, and what that cost in use."""

from collections.abc import Sequence
from dataclasses import dataclass

from xalign.evaluation.metrics import MEAN
from xalign.evaluation.use import Harm, harms_of
from xalign.reporting.formatting import number
from xalign.reporting.measures import (
    Verdict,
    change_of,
    language_name,
    matching_of,
    measure_of,
    sentence_sets,
)
from xalign.reporting.records import Run


@dataclass(frozen=True)
class Opening:
    """The sentence, and whether it is good news."""

    sentence: str
    tone: Verdict


ALIGNED: dict[Verdict, str] = {
    "gain": "Aligns",
    "same": "Does not align measurably",
    "loss": "Is less aligned than before",
}


def opening_of(run: Run) -> Opening | None:
    """Of a run that was compared with what it was; None of any other."""
    if not run.comparison:
        return None
    verdict, aligned = _alignment(run)
    harms = harms_of(run.comparison, run.metric)
    if harms:
        return Opening(f"{aligned}, but {'; '.join(_phrases(harms))}.", "loss")
    if harms is None:
        cost = "what that cost in use was not measured (benchmark=use)"
        return Opening(f"{aligned}; {cost}.", "unknown")
    return Opening(f"{aligned}, and nothing measured of its use got significantly worse.", verdict)


def _alignment(run: Run) -> tuple[Verdict, str]:
    for name in sentence_sets(run)[:1]:
        metric = matching_of(run, name)
        if metric is not None and run.aligned_layer is not None:
            measure = measure_of(run, name, metric.name, run.aligned_layer)
            change = change_of(run, measure, MEAN)
            if change.verdict != "unknown":
                figures = f"{number(change.before)} to {number(change.after)}"
                return change.verdict, f"{ALIGNED[change.verdict]} ({measure.heading}: {figures})"
    return "unknown", "Was trained"


def _phrases(harms: Sequence[Harm]) -> list[str]:
    """One for each metric: on average, and in which languages, the worst first."""
    by_metric: dict[str, list[Harm]] = {}
    for harm in harms:
        by_metric.setdefault(harm.metric.harm or "", []).append(harm)
    phrases = []
    for template, own in by_metric.items():
        means = [harm for harm in own if harm.comparison.language == MEAN]
        languages = sorted(
            (harm for harm in own if harm.comparison.language != MEAN),
            key=lambda harm: -abs(harm.comparison.difference),
        )
        names = [language_name(harm.comparison.language) for harm in languages]
        if means:
            phrase = template.format(language="the languages") + " on average"
            phrase += f" ({_amount(means[0])})" + (f", most of all {_listed(names[:4])}" if names else "")
        else:
            phrase = template.format(language=_listed(names)) + f" ({_amount(languages[0])})"
        phrases.append(phrase)
    return phrases


def _amount(harm: Harm) -> str:
    before, after = harm.comparison.before, harm.comparison.after
    return f"{harm.metric.label}: {number(before)} to {number(after)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
