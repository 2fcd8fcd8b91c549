"""Gets the content of a repository at a commit, with the git that the person has."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.load import GitSource

FETCH_LIMIT_S = 600.0


@contextmanager
def archive(source: GitSource) -> Iterator[tarfile.TarFile]:
    """The tree at the commit as a tar. Raises UserError."""
    where = f"{source.repository}@{source.commit}"
    with tempfile.TemporaryDirectory(prefix="outlast-git-") as folder:
        repository = Path(source.repository)
        if not repository.is_dir():
            repository = Path(folder) / "clone.git"
            _git(["clone", "--quiet", "--bare", "--", source.repository, str(repository)], where)
        commit = source.commit + "^{commit}"
        _git(["-C", str(repository), "rev-parse", "--quiet", "--verify", "--end-of-options", commit], where)
        out = Path(folder) / "tree.tar"
        _git(["-C", str(repository), "archive", "--format=tar", f"--output={out}", source.commit], where)
        with tarfile.open(fileobj=io.BytesIO(out.read_bytes()), mode="r:") as tar:
            yield tar


def _git(arguments: list[str], where: str) -> None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UserError(f"workdir {where}: git is not installed; install it, or name a folder") from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"workdir {where}: no answer within {FETCH_LIMIT_S:.0f} s; clone it, name the folder"
        ) from None
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        reason = told[-1] if told else "there is no such commit"
        raise UserError(f"workdir {where}: {reason}; check the address, your rights and the commit")
