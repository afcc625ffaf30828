"""A stand-in for the Hugging Face hub on loopback: folders served as dataset repositories.

    FOLDER/OWNER/NAME/REVISION/...        REVISION is quoted as in a URL: `main`, `refs%2Fconvert%2Fparquet`

huggingface_hub and datasets read their endpoint when they are imported, so that a test sets `HF_ENDPOINT` in
the process that it starts. Not imitated: https, tokens and gates, large files elsewhere, listings in pages.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

FILE = re.compile(r"/datasets/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
API = re.compile(
    r"/api/datasets/(?P<repository>[^/]+/[^/]+)"
    r"(/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(/(?P<path>.+))?)?"
)


class Hub:
    """The server, while in its context. `asked` has every request; those that hold `closed` get no answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.closed: str | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _NotFoundError(Exception):
    """What is asked for is not there; the code is that of the hub's header."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        self.hub.asked.append(f"{self.command} {unquote(self.path)}")
        if self.hub.closed is not None and self.hub.closed in self.hub.asked[-1]:
            self.close_connection = True
            return
        path = self.path.partition("?")[0]
        try:
            if match := FILE.fullmatch(path):
                self._file(match)
            elif match := API.fullmatch(path):
                self._listing(match, recursive="recursive=true" in self.path.lower())
            else:
                self._answer(200 if path == "/" else 404)
        except _NotFoundError as error:
            self._answer(404, headers={"X-Error-Code": str(error)})

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _file(self, match: re.Match[str]) -> None:
        folder, commit = self._revision(match)
        path = folder / unquote(match["path"])
        if not path.is_file():
            raise _NotFoundError("EntryNotFound")
        content = path.read_bytes()
        tag = hashlib.sha1(content).hexdigest()
        self._answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{tag}"'})

    def _listing(self, match: re.Match[str], recursive: bool) -> None:
        folder, commit = self._revision(match)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if match["what"] == "tree":
            below = folder / unquote(match["path"] or "")
            if not below.is_dir():
                raise _NotFoundError("EntryNotFound")
            found = sorted(below.rglob("*") if recursive else below.iterdir())
            answer: Any = [_entry(folder, path) for path in found]
        elif match["what"] == "paths-info":
            named = [folder / path for path in self.form.get("paths", [])]
            answer = [_entry(folder, path) for path in named if path.exists()]
        else:
            siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
            answer = {"id": match["repository"], "sha": commit, "siblings": siblings}
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _revision(self, match: re.Match[str]) -> tuple[Path, str]:
        """Folder and commit of the revision that is asked for, by its name or its commit."""
        repository = self.hub.folder / match["repository"]
        if not repository.is_dir():
            raise _NotFoundError("RepoNotFound")
        wanted = unquote(match["revision"] or "main")
        for folder in repository.iterdir():
            commit = hashlib.sha1(str(folder).encode()).hexdigest()
            if wanted in (unquote(folder.name), commit):
                return folder, commit
        raise _NotFoundError("RevisionNotFound")

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    """A file or folder as listings have it."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
    tag = hashlib.sha1(path.read_bytes()).hexdigest()
    return {"type": "file", "oid": tag, "size": path.stat().st_size, "path": name}
