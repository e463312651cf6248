"""A folder compared with a repository on the Hub, and brought there in one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from mobilebert_ja.common.errors import UserError, first_line

KEPT = (".gitattributes",)  # the Hub makes one itself; it is replaced, never deleted


@dataclass(frozen=True)
class Change:
    """A file of the upload or of the repository: "new", "changed", "same" or "deleted"; size in bytes."""

    path: str
    what: str
    size: int


@dataclass(frozen=True)
class Plan:
    """What an upload would do.

    Attributes:
        parent: the revision that it was compared with; None if the repository does not exist or is empty.
        compared: whether the Hub could be asked at all.
    """

    changes: list[Change]
    parent: str | None
    exists: bool
    compared: bool = True

    @property
    def is_empty(self) -> bool:
        return all(change.what == "same" for change in self.changes)


@contextmanager
def told_plainly(repo_id: str, endpoint: str) -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence."""
    try:
        yield
    except HFValidationError:
        raise UserError(
            f"--repo_id must be NAME/MODEL of letters, digits, '-', '_' and '.', not '{repo_id}'."
        ) from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        reasons = {
            401: "it does not know the token; `hf auth login` stores one, HF_TOKEN gives one",
            403: f"the token may not write to {repo_id}; take one with write access to it",
            404: f"there is no {repo_id}, or the token may not see it",
            409: f"{repo_id} was changed by another upload at the same time; start again",
            412: f"{repo_id} has changed since the plan was made; start again",
        }
        raise UserError(
            f"{endpoint} refuses: {reasons.get(status or 0, f'status {status}, {error.server_message}')}."
        ) from None
    except (HTTPError, OSError, RuntimeError) as error:
        cause = error.__cause__ or error
        first = first_line(cause)
        raise UserError(f"{endpoint} could not be used: {first}. What was uploaded is not uploaded again.") from None


def is_same(path: Path, remote: RepoFile) -> bool:
    """Whether a file is what the repository has, by git's own checksum or by that of large file storage."""
    if path.stat().st_size != remote.size:
        return False
    content = path.read_bytes()
    if remote.lfs is not None:
        return hashlib.sha256(content).hexdigest() == remote.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == remote.blob_id


def make_plan(api: HfApi, folder: Path, repo_id: str, revision: str = "main") -> Plan:
    """Compare a folder with the present revision. Raises `UserError` if the Hub cannot be asked."""
    local = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    remote: dict[str, RepoFile] = {}
    parent, exists = None, True
    with told_plainly(repo_id, api.endpoint):
        try:
            parent = api.model_info(repo_id, revision=revision).sha
            tree = api.list_repo_tree(repo_id, recursive=True, revision=revision)
            remote = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        except RepositoryNotFoundError as error:
            if getattr(error.response, "status_code", None) == 401 and api.token:
                raise
            exists = False
    changes = []
    for name, path in local.items():
        what = "new" if name not in remote else "same" if is_same(path, remote[name]) else "changed"
        changes.append(Change(name, what, path.stat().st_size))
    gone = sorted(set(remote) - set(local) - set(KEPT))
    changes += [Change(name, "deleted", remote[name].size) for name in gone]
    return Plan(changes, parent, exists)


def plan_without_hub(folder: Path) -> Plan:
    """What would be uploaded, not compared with anything."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Plan(
        [Change(path.relative_to(folder).as_posix(), "new", path.stat().st_size) for path in files], None, False, False
    )


def upload(
    api: HfApi, folder: Path, repo_id: str, plan: Plan, message: str, create_pr: bool = False, private: bool = False
) -> Any:
    """Carry out a plan in one commit; returns huggingface_hub's CommitInfo.

    Large files that an interrupted upload has brought there are not sent again.

    Raises `UserError` for whatever the Hub refuses, also if the repository has changed since the plan was made.
    """
    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for change in plan.changes:
        if change.what in ("new", "changed"):
            operations.append(CommitOperationAdd(change.path, str(folder / change.path)))
        elif change.what == "deleted":
            operations.append(CommitOperationDelete(change.path))
    with told_plainly(repo_id, api.endpoint):
        if not plan.exists:
            api.create_repo(repo_id, private=private, exist_ok=True)
        return api.create_commit(
            repo_id, operations, commit_message=message, create_pr=create_pr, parent_commit=plan.parent
        )
