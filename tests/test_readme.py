"""The README and its pages name only what exists, and the commands they give are the ones CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import make_models
from engine.models.catalog import CATALOG
from engine.settings import PREFIX, Settings
from tests.helpers.data import ROOT
from tests.helpers.floors import FLOORS, module_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
CARD = ROOT / "engine" / "models" / "pocket" / "reranker" / "CARD.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), CARD]
MOST_WORDS = 900
MOST_BYTES = 3_000_000  # of the animation that everybody loads who opens the README
PATHS = re.compile(
    r"`((?:engine|pages|tests|benchmarks|docs|sample_data|\.ci|\.github|\.streamlit)/[\w./*-]*"
    r"|requirements[\w-]*\.txt|pyproject\.toml|streamlit_app\.py)`"
)
COMING = {"pages/ui/gap/"}  # where the design puts what comes next


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def faulty_links(path: Path) -> list[str]:
    """Return the links of a page to a file or a heading that is not there."""
    text, faults = path.read_text(encoding="utf-8"), []
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"(?:src|srcset)=\"([^\"]+)\"", text)
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in headings(target.read_text(encoding="utf-8"))):
            faults.append(link)
    return faults


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.split()) <= MOST_WORDS


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_every_linked_file_and_heading_exists(path):
    assert faulty_links(path) == []


def test_a_link_to_nothing_is_found(tmp_path):
    (tmp_path / "a.md").write_text('# One two\n[x](b.md) [y](#one-two) [z](#three) <img src="c.png">')
    assert faulty_links(tmp_path / "a.md") == ["b.md", "#three", "c.png"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_path_in_backticks_exists(path):
    paths = set(PATHS.findall(path.read_text(encoding="utf-8"))) - COMING
    assert [one for one in sorted(paths) if not list(ROOT.glob(one.rstrip("/")))] == []


def test_every_page_of_docs_is_linked_from_the_readme():
    names = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    assert names
    assert [name for name in names if f"({name}" not in README] == []


def test_every_page_is_named():
    for path in (ROOT / "pages").glob("*.py"):
        assert f"**{path.stem.split('_', 1)[1].replace('_', ' ')}**" in README


def test_every_room_has_its_line_in_the_design():
    rooms = [path for parent in ("engine", "pages/ui") for path in (ROOT / parent).iterdir() if path.is_dir()]
    rooms = [room for room in rooms if any(room.glob("*.py"))]
    assert len(rooms) > 12
    names = [f"| `{room.relative_to(ROOT).as_posix()}/` |" for room in rooms]
    assert [name for name in names if name not in page("design.md")] == []


def test_the_design_draws_the_floors_that_are_tested():
    drawing = page("design.md").split("## Floors")[1].split("\n| ")[0]
    lines = re.findall(r"^    (\w.*)$", drawing, flags=re.MULTILINE)
    drawn = [{module_of(room.replace("/*.py", "").rstrip("/")) for room in line.split()} for line in lines]
    assert drawn[::-1] == [set(floor) - {"engine"} for floor in FLOORS]


def test_every_setting_is_named_and_no_other():
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(rf"^\| `({PREFIX}[A-Z_]+)` \|", page("settings.md"), flags=re.MULTILINE)) == known
    named = {
        name for path in PAGES for name in re.findall(rf"{PREFIX}[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    assert named == known
    assert len(re.findall(rf"^\| `{PREFIX}", README, flags=re.MULTILINE)) == 5


def told(default: object) -> str:
    """Return a default as the pages write it."""
    if isinstance(default, Path):
        return f"`{default.name}`"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default or "none")


@pytest.mark.parametrize("text", [README, page("settings.md")], ids=["README", "settings"])
def test_the_defaults_of_the_settings_are_the_ones_that_are_told(text):
    rows = re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \| (.*?) \|", text, flags=re.MULTILINE)
    defaults = {name: told(Settings.model_fields[name.lower()].default) for name, _ in rows}
    assert dict(rows) == defaults | ({"THREADS": "all cores"} if "THREADS" in defaults else {})


def test_the_tables_of_models_are_made_from_the_catalog():
    assert make_models.page_of(page("models.md")) == page("models.md"), "run: python -m docs.make_models"


@pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
def test_the_table_of_models_says_what_the_catalog_says(spec):
    starts = (f"| {spec.id} |", f"| {spec.id} (own")
    [row] = [line for line in page("models.md").splitlines() if line.startswith(starts)]
    assert ("(own code)" in row) is spec.remote_code
    for said in (f"| {spec.memory_gb} GB |", f"| {spec.licence} |", f"| {spec.note} |"):
        assert said in row
    words = {"text": "text", "image": "pictures", "audio": "sound", "video": "video"}
    assert all(words[modality] in row.split("|")[2] for modality in spec.modalities)


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """Return the commands that the engine's own help names."""
    help_text = subprocess.run(
        [sys.executable, "-m", "engine", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^  (\w+)  ", help_text.split("Commands:")[1], flags=re.MULTILINE))


def test_every_command_of_the_engine_is_named_and_exists(commands):
    table = README.split("## The command line")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == commands
    assert set(re.findall(r"python -m engine ([a-z]\w+)", page("command-line.md"))) == commands


def test_no_page_names_a_command_that_does_not_exist(commands):
    named = {
        name
        for path in PAGES
        for name in re.findall(r"python -m engine ([a-z]\w+)", path.read_text(encoding="utf-8"))
    }
    assert named <= commands


def test_two_commands_come_first_and_ci_runs_the_second():
    assert len(COMMANDS) == 2
    start, test = (command.strip() for command in COMMANDS)
    assert start.startswith("python3 -m venv") and start.endswith("streamlit run streamlit_app.py")
    assert "-r requirements.txt" in start
    assert "-r requirements-dev.txt" in test
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f'"$python"{test.removeprefix("python3")}' in ci  # by 3.11 where a machine has it
    assert "command -v python3.11 || command -v python3)" in ci


def test_figures_name_their_n():
    tables = {path.name: figures(path.read_text(encoding="utf-8")) for path in PAGES}
    assert any(tables.values())
    assert [name for name, heads in tables.items() if not all("| n |" in head for head in heads)] == []
    said = [part for part in re.split(r"\n(?=[-|#\n])", README) if re.search(r"@\d+ (is|from) \d", part)]
    assert said
    assert all("n = " in part for part in said)


def figures(text: str) -> list[str]:
    """Return the heads of the tables that give metrics of retrieval."""
    heads = re.findall(r"^(\|.*\|)\n\| ?---", text, flags=re.MULTILINE)
    return [head for head in heads if re.search(r"recall@|nDCG@", head)]


def test_the_animation_is_small_enough_to_be_loaded_with_the_readme():
    [first, *_] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert (ROOT / first).stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    loose = [line for line in lines if line and "==" not in line and not line.startswith("-r")]
    assert loose == []
