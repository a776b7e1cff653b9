"""`search`: its JSON, what can be asked with, and what it does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.settings import load_settings
from engine.types import BALANCES
from engine.workspace import Workspace
from tests.helpers.command_line import document, run_apart
from tests.helpers.data import ROOT
from tests.helpers.gapped import store
from tests.helpers.workspaces import cli_env

SEARCH = {"collection", "model", "query", "balance", "notes", "crowding", "results", "timings_ms"}
STAGES = {"embed", "balance", "retrieve", "rerank", "total"}
RESULT = {
    "rank",
    "id",
    "modality",
    "name",
    "caption",
    "score",
    "retrieval_rank",
    "rerank_score",
    "balanced",
    "path",
    "pair",
    "start_seconds",
    "copies",
}


def test_search_by_text(data_dir):
    found = document(run_apart(data_dir, "search", "an animal", "--collection", "photos", "-k", 4, "--json"))
    assert set(found) == SEARCH and set(found["timings_ms"]) == STAGES
    assert (found["collection"], found["model"], found["query"]) == ("photos", "pocket", "an animal")
    assert [row["rank"] for row in found["results"]] == [1, 2, 3, 4]
    for row in found["results"]:
        assert set(row) == RESULT
        assert (row["path"] is None) == (row["modality"] == "text")
    assert all(Path(row["path"]).is_file() for row in found["results"] if row["path"])


def test_an_answer_that_may_mean_nothing_says_so_in_one_note(data_dir, cli):
    def notes(question: str) -> list[str]:
        done = cli(data_dir, "search", question, "--collection", "photos", "--modality", "image", "--json")
        return json.loads(done.stdout)["notes"]

    [language], [negation], [unrelated] = map(
        notes, ("ein roter Hund auf der Wiese", "beach -people", "quarterly tax return")
    )
    assert "does not look like English" in language and "do not follow a minus" in negation
    assert "nothing to do with this question" in unrelated and "Ask in other words" in unrelated
    assert notes("a bee on a purple and yellow flower") == []


@pytest.fixture
def gapped(tmp_path) -> Path:
    """Return a data folder with a collection whose texts crowd out its pictures, made without a model."""
    opened = Workspace.open(load_settings(data_dir=tmp_path, min_free_disk_mb=1))
    store(opened)
    opened.close()
    return tmp_path


def test_search_with_a_treatment(gapped, cli):
    asked = ("search", "--like", f"{1_000:064x}", "--collection", "gapped")
    found = {mode: json.loads(cli(gapped, *asked, "--balance", mode, "--json").stdout) for mode in BALANCES}
    shares = {mode: one["crowding"]["share"]["image"] for mode, one in found.items()}
    assert (
        shares["raw"] == 0 < shares["centred"] and shares["interleaved"] == 0.5 and shares["standardised"] > 0
    )
    for mode, one in found.items():
        assert set(one) == SEARCH and one["balance"] == mode
        assert bool(one["notes"]) == (mode != "raw") and set(one["results"][0]) == RESULT
        assert (one["results"][0]["balanced"] is None) == (mode in ("raw", "interleaved"))
    assert found["raw"]["crowding"]["exposure"] == {"text": 2.0, "image": 0.0}
    assert set(found["raw"]["crowding"]["outranked"]) == {"image"}
    said = cli(gapped, *asked, "--balance", "standardised").stdout
    assert "Not the raw order: scores standardised" in said and "Crowding: texts" in said
    assert "Crowding" not in cli(gapped, *asked).stdout


def test_a_treatment_that_is_none_or_cannot_be_had_is_said(data_dir, cli):
    asked = ("search", "an animal", "--collection", "photos")
    for bad in ("", "centered", "RAW", "x" * 300):
        done = cli(data_dir, *asked, "--balance", bad)
        assert done.returncode == 2 and done.stdout == ""
        assert "standardised" in done.stderr and "Traceback" not in done.stderr
    done = cli(data_dir, *asked, "--balance", "centred")
    assert (
        done.returncode == 0 and "The order is raw, not centred: the collection has 12 texts" in done.stdout
    )
    done = cli(data_dir, *asked, "--modality", "image", "--balance", "centred", "--json")
    assert "only pictures can be found" in done.stderr and json.loads(done.stdout)["balance"] == "raw"


def test_conditions_on_columns_and_the_order_of_one(data_dir, cli):
    asked = ("search", "an animal", "--collection", "photos", "-k", 100, "--json")
    every = {row["id"]: row for row in document(cli(data_dir, *asked))["results"]}
    pictures = {id_ for id_, row in every.items() if row["modality"] == "image"}
    name = next(row["name"] for row in every.values())

    def found(*more: str) -> list[str]:
        return [row["id"] for row in document(cli(data_dir, *asked, *more))["results"]]

    assert set(found("--where", "width_px>0")) == pictures
    assert set(found("--where", "width_px>=100000")) == set()
    one = found("--where", f"name={name}", "--where", "mime!=text/plain")
    assert one == [id_ for id_ in every if id_ in pictures and every[id_]["name"] == name]
    names = [every[id_]["name"] for id_ in found("--sort", "-name")]
    assert names == sorted(names, key=str.casefold, reverse=True) and len(names) == len(every)
    rows = document(cli(data_dir, *asked, "--hide-copies", "exact"))["results"]
    assert all(row["copies"] == [] for row in rows)


def test_conditions_that_are_wrong_are_said(data_dir, cli):
    asked = ("search", "an animal", "--collection", "photos")
    for wrong, said in (
        (("--where", "nothing>3"), "There are: name, caption, mime, label, width_px"),
        (("--where", "width_px>=wide"), "'wide' is none"),
        (("--where", "name>=b"), "compared by = != ~"),
        (("--sort", "nothing"), "no item here has the column 'nothing'"),
    ):
        done = cli(data_dir, *asked, *wrong)
        assert done.returncode == 1 and said.lower() in done.stderr.lower() and done.stdout == ""
    done = cli(data_dir, *asked, "--hide-copies", "2")
    assert done.returncode == 2 and "0.95" in done.stderr
    done = cli(data_dir, "search", "an animal", "--collection", "nothing", "--where", "name=a")
    assert done.returncode == 1 and "photos" in done.stderr


def test_search_by_picture_and_by_item(data_dir, cli, tmp_path):
    picture = next(path for path in (data_dir / "media").rglob("*.jpg"))
    copy = tmp_path / "a copy.jpg"
    copy.write_bytes(picture.read_bytes())
    only = ("--collection", "photos", "--modality", "image", "-k", 3, "--json")
    by_picture = document(cli(data_dir, "search", "--image", copy, *only))
    assert by_picture["query"] == "a copy.jpg" and by_picture["results"][0]["id"] == picture.stem
    by_item = document(cli(data_dir, "search", "--like", picture.stem, *only))
    assert [row["id"] for row in by_item["results"][:2]] == [row["id"] for row in by_picture["results"][1:]]


@pytest.mark.slow
def test_a_cold_search_loads_neither_torch_nor_umap(data_dir):
    code = (
        "import sys\nfrom engine.cli.app import main\n"
        "sys.argv = ['engine', 'search', 'a dog', '--collection', 'photos', '--json']\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "print(' '.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=cli_env(data_dir), capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["results"]
    heavy = {"torch", "torchvision", "transformers", "sentence_transformers", "umap", "numba", "streamlit"}
    assert heavy & set(done.stderr.split()) == set()
