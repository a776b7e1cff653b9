"""`search`: its JSON, what can be asked with, and what it does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.command_line import document, run_apart
from tests.helpers.data import ROOT
from tests.helpers.workspaces import cli_env

SEARCH = {"collection", "model", "query", "results", "timings_ms"}
RESULT = {
    "rank",
    "id",
    "modality",
    "name",
    "caption",
    "score",
    "retrieval_rank",
    "rerank_score",
    "path",
    "pair",
    "start_seconds",
}


def test_search_by_text(data_dir):
    found = document(run_apart(data_dir, "search", "an animal", "--collection", "photos", "-k", 4, "--json"))
    assert set(found) == SEARCH and set(found["timings_ms"]) == {"embed", "retrieve", "rerank", "total"}
    assert (found["collection"], found["model"], found["query"]) == ("photos", "pocket", "an animal")
    assert [row["rank"] for row in found["results"]] == [1, 2, 3, 4]
    for row in found["results"]:
        assert set(row) == RESULT
        assert (row["path"] is None) == (row["modality"] == "text")
    assert all(Path(row["path"]).is_file() for row in found["results"] if row["path"])


def test_search_by_picture_and_by_item(data_dir, cli, tmp_path):
    picture = next(path for path in (data_dir / "media").rglob("*.jpg"))
    copy = tmp_path / "a copy.jpg"
    copy.write_bytes(picture.read_bytes())
    only = ("--collection", "photos", "--modality", "image", "-k", 3, "--json")
    by_picture = document(cli(data_dir, "search", "--image", copy, *only))
    assert by_picture["query"] == "a copy.jpg" and by_picture["results"][0]["id"] == picture.stem
    by_item = document(cli(data_dir, "search", "--like", picture.stem, *only))
    assert [row["id"] for row in by_item["results"][:2]] == [row["id"] for row in by_picture["results"][1:]]


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
