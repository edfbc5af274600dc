"""Docs keep up with the code: the command reference equals `--help`, links and pictures exist, examples parse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_command_reference_is_current():
    code = "import runpy; print(runpy.run_path('docs/make_reference.py')['reference'](), end='')"
    page = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert page == (ROOT / "docs" / "commands.md").read_text(), "docs/commands.md is stale: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_pictures_tell_nothing_of_the_machine_they_were_made_on():
    for path in (ROOT / "docs" / "images").glob("*.png"):
        with Image.open(path) as image:
            assert not re.search(r"(^|\s)/\w+/", " ".join(getattr(image, "text", {}).values())), path.name


def test_every_command_is_in_the_guide():
    from tests.test_app import command_paths

    text = "\n".join(page.read_text() for page in PAGES if page.name != "commands.md")
    for path in command_paths():
        if path and not is_group(path):
            assert f"sg {' '.join(path)}" in text, f"no page shows sg {' '.join(path)}"


def test_options_in_examples_exist():
    """Every `sg … --option` in a page is an option of that command."""
    from tests.test_app import command_paths

    help_text = (ROOT / "docs" / "commands.md").read_text()
    known = {" ".join(path) for path in command_paths()}
    for page in PAGES:
        for line in re.findall(r"^\s*(?:\$ )?(?:run=\$\()?sg (?!-)(.+)$", page.read_text(), flags=re.M):
            line = re.sub(r"\$\(sg [^)]*\)", "", line)  # a command inside the command
            for part in re.split(r"[|;]\s*sg |[|;&]", line):
                words = part.split()
                command = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0] if words else ""
                if command not in known:
                    continue
                section = help_text.split(f"## sg {command}\n", 1)[1].split("\n## ", 1)[0]
                for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", part):
                    assert re.search(rf"{option}\b", section), f"{page.name}: sg {command} has no {option}"


def is_group(path: list[str]) -> bool:
    from tests.test_app import command_paths

    return any(other[: len(path)] == path and len(other) > len(path) for other in command_paths())
