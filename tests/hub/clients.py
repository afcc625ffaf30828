"""What this project gets from the hub, through the hub's own clients: run by `test_hub.py`, in a process of
its own, with the environment of a stand-in.

    python clients.py FOLDER      FOLDER has the repositories; a JSON object of outcomes goes to stdout
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stand_in import Fault, Hub


def outcome(action: Callable[[], Any]) -> Any:
    """What an action returns, or its error as [class, message]."""
    try:
        return action()
    except Exception as error:
        return [type(error).__name__, str(error)]


def main(folder: Path) -> dict[str, Any]:
    with Hub(folder) as hub:
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        import datasets
        import huggingface_hub

        from xalign.sources import hub as asking
        from xalign.sources.hub_sets import hub_set

        def after(action: Callable[[], Any], **state: Any) -> Any:
            hub.asked.clear()
            hub.faults = [Fault(state["closed"])] if "closed" in state else []
            return {"outcome": outcome(action), "asked": list(hub.asked)}

        online = {
            "files": after(lambda: instructions("MBZUAI/Bactrian-X")),
            "lacking": after(lambda: instructions("MBZUAI/Bactrian-X", "sw")),
            "script": after(lambda: instructions("some/script")),
            "script again": after(lambda: instructions("some/script")),
            "script, lacking": after(lambda: instructions("some/script", "sw")),
            "configurations": after(lambda: instructions("some/configured")),
            "unconverted": after(lambda: instructions("some/unconverted")),
            "nothing there": after(lambda: instructions("some/where")),
            "benchmark": after(lambda: benchmark("some/script", "test")),
            "benchmark, no such split": after(lambda: benchmark("some/script", "dev")),
            "corpus": after(lambda: corpus("some/script")),
            "closed on a file": after(
                lambda: instructions("some/broken"), closed="HEAD /datasets/some/broken"
            ),
            "closed on the listing": after(
                lambda: instructions("some/other"), closed="/api/datasets/some/other"
            ),
        }
    for asked_once in (asking.hub_answers, asking._ask, hub_set):  # in a process
        asked_once.cache_clear()
    # As HF_HUB_OFFLINE=1 does before they are imported: otherwise they try for half a minute.
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    offline = {
        "offline": outcome(lambda: instructions("MBZUAI/Bactrian-X")),
        "offline, script": outcome(lambda: instructions("some/script")),
        "offline, lacking": outcome(lambda: instructions("MBZUAI/Bactrian-X", "fil")),
        "offline, never seen": outcome(lambda: instructions("some/where")),
    }
    return online | offline


def instructions(hub: str, *more: str) -> list[str]:
    """The texts in Chinese that instruction samples are made of."""
    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.instructions import load_instructions
    from xalign.data.parallel import ParallelCorpus

    languages = LanguagesConfig(targets=["zh", *more])
    config = InstructionsConfig(source="bactrian", hub=hub)
    return list(load_instructions(config, languages, ParallelCorpus.from_rows([], "none"), 0).texts("zh"))


def benchmark(hub: str, split: str) -> list[Any]:
    from xalign.evaluation.sets.files import Source, on_hub

    source = Source("toy", hub, {"zh": "zh"}, {"test": split})
    files = on_hub(source)
    return [dict(row) for row in files.rows("test", "zh").rows] if files.splits else ["no split"]


def corpus(hub: str) -> list[Any]:
    from xalign.config.text import DataConfig
    from xalign.data.readers.base import Source
    from xalign.data.reading import reader_of

    data = DataConfig(name="toy", hub=hub, hub_config="{language}", hub_split="pairs", format="hub")
    return [row.texts for row in reader_of(Source(data, "en", ["zh"]))[1].rows()]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), ensure_ascii=False))
