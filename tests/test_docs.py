"""What the documentation says can be followed: links lead somewhere, commands parse."""

import re
import shlex
from pathlib import Path

import pytest

from anybind.cli import parser_of

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands() -> list[str]:
    """Every line of a console block that runs one of our commands, comments cut off."""
    lines = [
        line.removeprefix("$ ").split("  #")[0].strip()
        for page in PAGES
        for block in BLOCK.findall(page.read_text())
        for line in block.splitlines()
    ]
    return sorted({line for line in lines if re.match(r"(anybind|build-index) ", line)})


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    """The reference is the checkout."""
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_documentation_parse(command: str) -> None:
    """Words that stand for something, like [PATH ...], are not options; the rest must parse."""
    words = shlex.split(command.replace(" [PATH ...]", "").replace("SOURCE", "folder"))
    parser_of(words[0]).parse_args(words[1:])


def test_the_documentation_has_commands() -> None:
    assert len(commands()) >= 5


def test_the_list_of_attacks_names_every_test_and_no_other() -> None:
    """The reference is the tests themselves."""
    files = (ROOT / "tests" / "security").glob("test_*.py")
    tests = [
        each for file in files for each in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    ]
    listed = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert sorted(listed) == sorted(tests) and len(tests) >= 80
