"""Decides what is left out of a packed working folder: .gitignore, and what never belongs in one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from outlast_orchestrator.core.errors import UserError

_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", ".DS_Store"})
_VIRTUAL_ENV_MARK = "pyvenv.cfg"
_GITIGNORE = ".gitignore"
_PARENTS_MAX = 64


@dataclass
class Ignore:
    """The rules for one working folder. Ask from the top down: rules of a folder are read on entering it."""

    root: Path
    also: frozenset[str]  # paths relative to root that are left out besides
    _rules: dict[Path, GitIgnoreSpec] = field(default_factory=dict)
    _above: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        self._above = _folders_above(self.root)
        for folder in self._above:
            self.enter(folder)

    def enter(self, folder: Path) -> None:
        file = folder / _GITIGNORE
        if not file.is_file():
            return
        try:
            self._rules[folder] = GitIgnoreSpec.from_lines(file.read_text("utf-8").splitlines())
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: can't be read: {error}; mend or remove it") from error

    def leaves_out(self, path: Path, *, is_folder: bool) -> bool:
        if path.name in _NEVER or path.relative_to(self.root).as_posix() in self.also:
            return True
        if is_folder and (path / _VIRTUAL_ENV_MARK).is_file():
            return True
        return self._ignored(path, is_folder)

    def _ignored(self, path: Path, is_folder: bool) -> bool:
        """The deepest .gitignore that says anything of the path decides, as in git."""
        for folder in path.parents:
            rules = self._rules.get(folder)
            if rules is not None:
                name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
                verdict = rules.check_file(name).include
                if verdict is not None:
                    return verdict
        return False


def _folders_above(root: Path) -> tuple[Path, ...]:
    """The folders from the top of the repository down to the one above `root`; none outside a repository."""
    above: list[Path] = []
    for folder in (root, *root.parents)[:_PARENTS_MAX]:
        if folder != root:
            above.append(folder)
        if (folder / ".git").exists():
            return tuple(reversed(above))
    return ()
