"""The README names only what exists, and the commands it gives are the ones CI runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from engine.models.catalog import CATALOG
from engine.settings import PREFIX, Settings
from tests.helpers.data import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)


def test_every_linked_file_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []


def test_every_path_in_backticks_exists():
    paths = re.findall(r"`((?:engine|pages|tests|benchmarks|sample_data|\.ci)/[\w./*-]*)`", README)
    assert len(paths) > 5
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


def test_every_page_is_named():
    for path in (ROOT / "pages").glob("*.py"):
        assert f"**{path.stem.split('_', 1)[1]}**" in README


def test_every_setting_is_named_and_no_other():
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", README))
    assert named == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
def test_the_table_of_models_says_what_the_catalog_says(spec):
    [row] = [line for line in README.splitlines() if line.startswith((f"| {spec.id} |", f"| {spec.id} (own"))]
    assert ("(own code)" in row) is spec.remote_code
    for said in (f"| {spec.memory_gb} GB |", f"| {spec.licence} |", f"| {spec.note} |"):
        assert said in row
    words = {"text": "text", "image": "pictures", "audio": "sound", "video": "video"}
    assert all(words[modality] in row.split("|")[2] for modality in spec.modalities)


def test_every_command_of_the_engine_is_named_and_exists():
    help_text = subprocess.run(
        [sys.executable, "-m", "engine", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = set(re.findall(r"^  (\w+)  ", help_text.split("Commands:")[1], flags=re.MULTILINE))
    assert set(re.findall(r"python -m engine (\w+)", README)) == commands


def test_two_commands_come_first_and_ci_runs_the_second():
    start, test = COMMANDS[0].strip(), COMMANDS[1].strip()
    assert start.endswith("streamlit run streamlit_app.py")
    assert "-r requirements.txt" in start
    assert "-r requirements-dev.txt" in test
    assert test in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_figures_name_their_n():
    table = [line for line in README.splitlines() if line.startswith("|") and "recall@1" in line.lower()]
    assert table
    assert all("n" in line for line in table)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    loose = [line for line in lines if line and "==" not in line and not line.startswith("-r")]
    assert loose == []
