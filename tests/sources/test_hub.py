"""What a branch of the hub is at: asked once, remembered, and kept for the whole of a run."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants
from training_helpers import small_config

from xalign.cli import lookups
from xalign.data.parallel import load_corpus
from xalign.sources import hub
from xalign.sources.hub import Kind, commit_of, problem_of_repository
from xalign.sources.hub_sets import hub_set
from xalign.workspace.commits import BASE, at_commits, commits_of

FIRST, SECOND = "1" * 40, "2" * 40


class Answers:
    """A hub that knows some repositories: "models/a/b@main" -> the commit."""

    def __init__(self) -> None:
        self.commits: dict[str, str] = {}
        self.asked: list[str] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers.asked.append(self.path)
                path = self.path.partition("?")[0]
                place, _, revision = path.removeprefix("/api/").partition("/revision/")
                commit = answers.commits.get(f"{place}@{revision or 'main'}")
                known = any(key.startswith(f"{place}@") for key in answers.commits)
                body = json.dumps({"id": place.partition("/")[2], "sha": commit, "siblings": []}).encode()
                self.send_response(200 if commit or self.path == "/" else 404)
                self.send_header("X-Error-Code", "RevisionNotFound" if known else "RepoNotFound")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def forget() -> None:
    """As a new process."""
    for asked_once in (hub.hub_answers, hub._ask, hub_set):
        asked_once.cache_clear()


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    found = Answers()
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{found.server.server_port}")
    forget()
    yield found
    found.server.shutdown()
    forget()


def test_a_branch_is_a_commit_also_without_the_hub(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.commits |= {"models/a/b@main": FIRST, "models/a/b@v1": SECOND, "datasets/a/b@main": SECOND}
    names = [(Kind.model, None), (Kind.model, "v1"), (Kind.dataset, None)]
    for _ in range(2):
        assert [commit_of(kind, "a/b", revision) for kind, revision in names] == [FIRST, SECOND, SECOND]
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        forget()
    asked = len(answers.asked)
    assert commit_of(Kind.model, "never/seen", None) is None
    assert commit_of(Kind.model, "never/seen", FIRST) == FIRST
    assert len(answers.asked) == asked


def test_what_the_hub_s_own_client_has_fetched_counts(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = tmp_path / "hub/models--a--b/refs/main"
    refs.parent.mkdir(parents=True)
    refs.write_text(FIRST)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert commit_of(Kind.model, "a/b", None) == FIRST
    answers.commits["models/a/b@main"] = SECOND
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    forget()
    assert commit_of(Kind.model, "a/b", None) == SECOND
    os.utime(refs, (1, 1))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget()
    assert commit_of(Kind.model, "a/b", None) == SECOND


def test_what_is_not_on_the_hub_is_told_before_anything_is_loaded(answers: Answers) -> None:
    answers.commits["models/a/b@main"] = FIRST
    assert problem_of_repository(Kind.model, "a/b", None) is None
    wrong = small_config("model.path=a/b", "model.revision=v9", "data.hub=c/d", "data.packages=[]")
    model, data = lookups.rules(wrong)
    assert model == "model.path=a/b: no branch, tag or commit 'v9' on the Hugging Face hub"
    assert data.startswith("data.hub=c/d: neither a folder here nor a repository on the Hugging Face hub")


def test_a_run_keeps_to_the_commits_of_its_first_session(answers: Answers) -> None:
    answers.commits |= {"models/a/b@main": FIRST, "models/c/d@main": FIRST, "datasets/e/f@main": FIRST}
    config = small_config("model.path=a/b", "model.tokenizer=c/d", "data.hub=e/f", "data.packages=[]")
    first = commits_of(config, {})
    assert {key: own["commit"] for key, own in first.items()} == {
        "model.path": FIRST,
        "model.tokenizer": FIRST,
        "data.hub": FIRST,
    }
    answers.commits = dict.fromkeys(answers.commits, SECOND)
    forget()
    assert commits_of(config, json.loads(json.dumps(first))) == first
    pinned = at_commits(config, first)
    assert (pinned.model.revision, pinned.model.tokenizer_revision, pinned.data.hub_revision) == (FIRST,) * 3
    assert commits_of(config, {})["model.path"]["commit"] == SECOND


def test_local_models_have_no_commit(answers: Answers, tmp_path: Path) -> None:
    assert commits_of(small_config(), {}) == {}
    assert commits_of(small_config(f"model.path={tmp_path}"), {}) == {}
    assert not answers.asked


def test_the_corpus_in_the_cache_is_that_of_the_commit(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is served without the hub."""
    read: list[str | None] = []

    def fake(name: str, config: str, split: str, revision: str | None) -> datasets.Dataset:
        read.append(revision)
        text = f"the file number {revision}"
        return datasets.Dataset.from_list([{"translation": {"en": text, "de": f"die Datei {revision}"}}])

    monkeypatch.setattr(datasets, "load_dataset", fake)
    data = small_config("data.hub=e/f").data

    def text() -> str | None:
        corpus, _ = load_corpus(data, "en", ["de"])
        return corpus.texts("en")[0]

    answers.commits["datasets/e/f@main"] = FIRST
    assert text() == text() == f"the file number {FIRST}"
    answers.commits["datasets/e/f@main"] = SECOND
    forget()
    assert text() == f"the file number {SECOND}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget()
    assert text() == f"the file number {SECOND}"
    assert read == [FIRST, SECOND]


def test_so_it_does_to_the_commit_of_an_adapter_s_base(answers: Answers, tmp_path: Path) -> None:
    answers.commits["models/someone/model@main"] = FIRST
    config = {"peft_type": "LORA", "base_model_name_or_path": "someone/model"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    run = small_config(f"model.path={tmp_path}")
    first = commits_of(run, {})
    assert first == {BASE: {"repository": "someone/model", "commit": FIRST}}
    assert at_commits(run, first).model.base_revision == FIRST
