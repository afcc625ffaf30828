"""One hub, one cache and one process that carries out commands, for all tests in this folder.

With `XALIGN_REAL_HUB=1` the same commands ask the real hub, as far as a test does not need to see or break
what it is asked (`stand_in_only`); a token for what is gated is taken from HF_TOKEN.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_commands import REAL, Commands
from models_there import make_models
from sets_there import make_sets, sentence
from stand_in import MEMBER, Hub


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's folder; tests change what is under `some/` only."""
    folder = tmp_path_factory.mktemp("hub")
    make_models(folder / "models")
    make_sets(folder / "datasets")
    return folder


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Hub | None]:
    if REAL:
        yield None
        return
    with Hub(request.getfixturevalue("repositories")) as hub:
        yield hub


@pytest.fixture
def hub(server: Hub | None) -> Iterator[Hub]:
    """The stand-in, sound again afterwards."""
    assert server is not None
    yield server
    server.faults.clear()


@pytest.fixture(scope="session")
def command(server: Hub | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("commands"), server)
    yield commands
    assert commands.process.stdin is not None
    commands.process.stdin.close()
    commands.process.wait(timeout=10)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel text in the languages of the paper's runs."""
    path = tmp_path_factory.mktemp("text") / "pairs.jsonl"
    languages = ("en", "zh", "th", "tr", "sw")
    rows = [{code: sentence(code, k) for code in languages} for k in range(300)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def member() -> dict[str, str]:
    """Environment of somebody who has accepted conditions."""
    return {} if REAL else {"HF_TOKEN": MEMBER}
