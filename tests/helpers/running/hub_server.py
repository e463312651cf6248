"""A small Hub on loopback that speaks what huggingface_hub calls: create, preupload, LFS batch, commit, tree, resolve.

What it knows of the protocol is in huggingface_hub's own client; repositories live in memory.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "t" * 12
LARGE = (".bin", ".safetensors", ".onnx", ".png")


@dataclass
class Repo:
    """Revisions by name and number; a revision is {path: content}."""

    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict] = field(default_factory=list)
    pull_requests: list[dict[str, bytes]] = field(default_factory=list)
    private: bool = False

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # large files by SHA-256
    requests: list[str] = field(default_factory=list)
    refuse_puts_after: int | None = None
    read_only: bool = False  # what a token without write access meets

    def puts(self) -> int:
        return sum(each.startswith("PUT") for each in self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, content: object, status: int = 200, **headers: str) -> None:
        self.answer(status, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def no_repo(self) -> None:
        self.json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    def allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.json({"error": "Invalid credentials in Authorization header"}, 401)
        return False

    def do_GET(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        parts = [unquote(each) for each in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
            repo = self.hub.repos.get(name)
            if repo is None:
                return self.no_repo()
            if rest[:1] == ["tree"]:
                return self.json([self.entry(path, content) for path, content in sorted(repo.files.items())])
            siblings = [{"rfilename": path} for path in repo.files]
            return self.json({"id": name, "modelId": name, "sha": repo.sha, "siblings": siblings, "tags": []})
        if len(parts) > 4 and parts[2] == "resolve":
            repo = self.hub.repos.get("/".join(parts[:2]))
            if repo is None:
                return self.no_repo()
            content = repo.files.get("/".join(parts[4:]))
            if content is None:
                return self.json(
                    {"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=repo.sha
                )
            etag = hashlib.sha256(content).hexdigest()
            return self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=repo.sha)
        return self.json({"error": "no such route"}, 404)

    do_HEAD = do_GET

    @staticmethod
    def entry(path: str, content: bytes) -> dict:
        facts = {"type": "file", "path": path, "size": len(content)}
        facts["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if path.endswith(LARGE):
            facts["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return facts

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.hub.refuse_puts_after is not None and self.hub.puts() >= self.hub.refuse_puts_after:
            return self.json({"error": "Storage is full"}, 400)
        self.hub.requests.append(f"PUT {self.path}")
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        return self.answer(200)

    def do_POST(self) -> None:
        self.hub.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        parts = [unquote(each) for each in address.path.strip("/").split("/")]
        if address.path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if not self.allowed():
            return None
        if self.hub.read_only:
            return self.json({"error": "You don't have the rights to write to this repository"}, 403)
        if address.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.hub.repos.setdefault(
                name, Repo(private=asked.get("visibility", asked.get("private")) in (True, "private"))
            )
            return self.json({"url": f"{self.hub.url}/{name}", "name": name})
        if address.path.endswith(".git/info/lfs/objects/batch"):
            return self.json(
                {"transfer": "basic", "objects": [self.batch_entry(each) for each in json.loads(body)["objects"]]}
            )
        if parts[0] == "verify":
            return self.answer(200 if json.loads(body)["oid"] in self.hub.objects else 404)
        repo = self.hub.repos.get("/".join(parts[2:4]))
        if repo is None:
            return self.no_repo()
        if parts[4] == "preupload":
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for each in json.loads(body)["files"]
            ]
            return self.json({"files": modes})
        return self.commit(repo, "/".join(parts[2:4]), body, "create_pr" in parse_qs(address.query))

    def batch_entry(self, asked: dict) -> dict:
        if asked["oid"] in self.hub.objects:
            return asked
        actions = {
            name: {"href": f"{self.hub.url}/{place}/{asked['oid']}"}
            for name, place in (("upload", "storage"), ("verify", "verify"))
        }
        return asked | {"actions": actions}

    def commit(self, repo: Repo, name: str, body: bytes, create_pr: bool) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repo.sha):
            return self.json({"error": "The branch has moved"}, 412)
        files = dict(repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                del files[value["path"]]
        if create_pr:
            repo.pull_requests.append(files)
        else:
            repo.files = files
            repo.commits.append(header)
        url = f"{self.hub.url}/{name}"
        number = len(repo.pull_requests)
        return self.json(
            {
                "commitUrl": f"{url}/commit/{repo.sha}",
                "commitOid": repo.sha,
                "pullRequestUrl": f"{url}/discussions/{number}" if create_pr else None,
            }
        )


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub for as long as the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
