from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.transforms.base import Setup
from xalign.data.transforms.entity_switch import EntitySwitch

SETUP = Setup(ParallelCorpus.from_rows([], "none"), "en", ["de", "th"])
PAIR = Pair(
    3, "New York is north of York, not of Yorkshire.", "New York liegt nördlich von York.", "de", 5, 6
)
TABLE = "en\tde\tth\nYork\tEboracum\t\nNew York\tNeu-York\tนิวยอร์ก\nParis\tParis\tปารีส\n"


@pytest.fixture
def switch(tmp_path: Path) -> EntitySwitch:
    (tmp_path / "names.tsv").write_text(TABLE, encoding="utf-8")
    return EntitySwitch(EntitySwitch.Config(kind="entity_switch", names=str(tmp_path / "names.tsv")), SETUP)


def test_names_alone_change_the_longest_first(switch: EntitySwitch) -> None:
    rng = np.random.default_rng(0)
    found = switch.pair(PAIR, rng)
    assert found == replace(PAIR, source="Neu-York is north of Eboracum, not of Yorkshire.")
    thai = switch.pair(replace(PAIR, target_language="th"), rng)
    assert thai.source == "นิวยอร์ก is north of York, not of Yorkshire."


def test_each_name_changes_with_the_probability(switch: EntitySwitch) -> None:
    config = replace(switch.config, probability=0.3)
    own = EntitySwitch(config, SETUP)
    long = replace(PAIR, source=" and ".join(["York"] * 2000))
    count = own.pair(long, np.random.default_rng(1)).source.count("Eboracum")
    assert count == pytest.approx(600, abs=4 * (2000 * 0.3 * 0.7) ** 0.5)


def test_of_an_instruction_the_input_changes(switch: EntitySwitch) -> None:
    prompt = "Translate York: I saw York. Answer in German:"
    first = prompt.index("I saw")
    sample = InstructionSample(prompt, " x", "en", "de", (first, first + len("I saw York.")))
    found = switch.instruction(sample, np.random.default_rng(0))
    assert found.prompt == "Translate York: I saw Eboracum. Answer in German:"
    assert found.input is not None
    assert found.prompt[slice(*found.input)] == "I saw Eboracum."
    assert switch.instruction(replace(sample, prompt_language="de"), np.random.default_rng(0)) == replace(
        sample, prompt_language="de"
    )
