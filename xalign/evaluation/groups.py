"""Groups of languages: by how much text they have, by script; and the gap to the pivot."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langcodes import Language

from xalign.base.languages import is_language, script

_CLASSES = {
    5: "ar de en es fr ja zh",
    4: "ca cs eu fa fi hi hr hu it ko nl pl pt ru sr sv tr vi",
    3: "af arz be bg bn bs ceb da el et fil gl he id ka kk lt lv ms ro sk sl ta th uk ur uz",
    2: "am ga ha ht is lo mr mt pa sw ti tn wo xh yo zu",
    1: """as az bm bo ckb cy eo gn gu hy ig ilo jv ki km kn ku ky lb lg ln mg mi mk ml mn my ne no ny
          oc om or qu rw sd sm sn so sq ss su te tg tk ts tt ug""",
    0: "si",
}
RESOURCE_CLASS = {code: number for number, codes in _CLASSES.items() for code in codes.split()}
"""Language -> class from 0 to 5 of Joshi et al. 2020, 'The State and Fate of Linguistic Diversity and
Inclusion in the NLP World' (their list lang2tax.txt), as of that year: by labelled and unlabelled text.

Of the languages of our benchmarks those are missing whose class is not certain: nearly all Arabic
dialects, Romanised text, Chinese in traditional characters, Fula, Jingpho, Kabuverdianu, Luo, Northern and
Southern Sotho, Pashto, Shan, Waray.
"""

LEVELS = ("high", "mid", "low")

Groups = dict[str, tuple[str, ...]]
"""Name of a group -> its languages."""


@dataclass(frozen=True)
class Gap:
    """How far the other languages' mean is behind the pivot, before and after training."""

    before: float
    after: float

    @property
    def closed(self) -> float | None:
        """Share of the gap that is gone, (before - after) / before; None where there was none.

        A pivot that got worse closes the gap too: show it beside this.
        """
        return (self.before - self.after) / self.before if self.before > 0 else None


def resource_level(code: str) -> str | None:
    """`high` (classes 4 and 5), `mid` (3) or `low` (0 to 2); None where the class is not known."""
    number = RESOURCE_CLASS.get(code)
    return None if number is None else "high" if number >= 4 else "mid" if number == 3 else "low"


def by_resources(codes: Iterable[str]) -> Groups:
    """Languages by resource level, high first. Those of an unknown level are in no group."""
    levels = {code: resource_level(code) for code in codes}
    groups = {
        f"{level}-resource": tuple(code for code, found in levels.items() if found == level)
        for level in LEVELS
    }
    return {name: own for name, own in groups.items() if own}


def by_script(codes: Iterable[str]) -> Groups:
    """Languages by script, the script of most of them first; scripts of a single language are one group."""
    scripts: dict[str, list[str]] = {}
    for code in codes:
        if is_language(code):
            name = Language.make(script=script(code)).script_name("en")
            scripts.setdefault(f"{name} script", []).append(code)
    groups = {name: tuple(own) for name, own in scripts.items() if len(own) > 1}
    groups = dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))
    single = tuple(code for own in scripts.values() for code in own if len(own) == 1)
    return groups | ({"other scripts" if groups else "all scripts": single} if single else {})


def telling_groups(codes: Iterable[str]) -> Groups:
    """Groups of at least two languages, by resources and by script, where there are two such groups."""
    codes = list(codes)
    telling: Groups = {}
    for groups in (by_resources(codes), by_script(codes)):
        several = {name: own for name, own in groups.items() if len(own) > 1}
        telling |= several if len(several) > 1 else {}
    return telling


def mean_over(values: Mapping[str, float], codes: Sequence[str]) -> float | None:
    """Mean of the values of those languages that have one; None where none has."""
    own = [values[code] for code in codes if code in values]
    return sum(own) / len(own) if own else None


def gap(before: Mapping[str, float], after: Mapping[str, float], pivot: str) -> Gap | None:
    """The gap to the pivot of a figure of which more is better.

    Over the languages that have a value both times; None without the pivot or without another language.
    """
    others = [code for code in before if code in after and code != pivot]
    if pivot not in before or pivot not in after or not others:
        return None
    old, new = (values[pivot] - (mean_over(values, others) or 0.0) for values in (before, after))
    return Gap(old, new)
