"""What the documents name exists: tests, files, links, keys and messages."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.load import load_job_file

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_TEST = re.compile(r"\btests(?:/[\w/.-]*\w)?(?:::\w+)|\btests/[\w/.-]*\w")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_SOURCE = re.compile(
    r"`((?:core|controller|policies|providers|jobfile|store|web|cli|simulate|outlast)/[\w/.]+\.py)`"
)

README = (ROOT / "README.md").read_text("utf-8")


def _missing_tests(text: str) -> Iterator[str]:
    """`tests/folder/file.py::name`, or `tests/folder::name` for a test that may move between files."""
    for found in _TEST.findall(text):
        place, _, name = found.partition("::")
        path = ROOT / place
        files = [path] if path.is_file() else sorted(path.glob("*.py"))
        if not path.exists() or (name and not any(name in _names(file) for file in files)):
            yield found


@functools.cache
def _names(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_test_and_link_that_is_named_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    missing = list(_missing_tests(text))
    missing += [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    for name in _SOURCE.findall(text):
        roots = ("agent", "orchestrator/outlast_orchestrator")
        if not any((ROOT / root / name).exists() for root in roots):
            missing.append(name)
    assert not missing, f"{document.name} names what is not there: {missing}"


def test_a_name_that_is_not_there_is_found() -> None:
    text = "`tests/test_docs.py::test_nothing` `tests/none.py` `tests::test_nothing` `tests::_missing_tests`"
    expected = ["tests/test_docs.py::test_nothing", "tests/none.py", "tests::test_nothing"]
    assert list(_missing_tests(text)) == expected


def test_the_job_file_in_the_readme_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "train.py").touch()
    (tmp_path / "job.yaml").write_text(text)
    assert load_job_file(tmp_path / "job.yaml").spec.run == yaml.safe_load(text)["run"]


def test_the_error_in_the_readme_is_what_a_person_gets(tmp_path: Path) -> None:
    (line,) = re.findall(r"^(job\.yaml:\d+: .*)$", README, re.MULTILINE)
    place = int(line.split(":")[1])
    text = "run: 'true'\n" + "\n" * (place - 3) + "resources:\n  gpu: H100\n"
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        load_job_file(tmp_path / "job.yaml")
    assert str(raised.value).removeprefix(f"{tmp_path}/") == line


def test_the_import_table_in_the_architecture_names_every_package() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Who may import whom")[2]
    from_disk = {
        path.parent.name for path in (ROOT / "orchestrator" / "outlast_orchestrator").glob("*/__init__.py")
    }
    named = set(re.findall(r"[a-z]+", table.partition("## Where")[0]))
    assert from_disk <= named, f"not in the table: {sorted(from_disk - named)}"


def test_the_commands_that_the_documents_name_exist() -> None:
    surface = set((ROOT / "tests" / "golden" / "cli_surface.txt").read_text().splitlines())
    groups = {line.split()[1] for line in surface if len(line.split()) == 3 and line.split()[2].isalpha()}
    missing = []
    for document in DOCUMENTS:
        for words in re.findall(
            r"(?:`|/|^)outlast ([a-z-]+(?: [a-z]+)?)", document.read_text("utf-8"), re.MULTILINE
        ):
            first, _, second = words.partition(" ")
            named = f"outlast {first} {second}" if first in groups and second else f"outlast {first}"
            if named not in surface:
                missing.append(f"{document.name}: {named}")
    assert not missing, f"no such command: {missing}"
