"""`ingest` and `reembed`: what is stored, what failed, and odd names."""

from __future__ import annotations

import pytest

from tests.helpers.command_line import INGEST, document, error_line, run_apart
from tests.helpers.data import generated_photos, jpeg, write_captions
from tests.helpers.workspaces import make_settings

HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "photo\u202egpj.exe.jpg",
    "n" * 240 + ".jpg",
    "🦊 émoji.jpg",
    "two\nlines.jpg",
    "tab\tand \x1b[31mred.jpg",
)


def test_missing_and_broken_files_are_listed(data_dir, cli, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff" + b"junk" * 50)
    (tmp_path / "good.jpg").write_bytes(jpeg(77))
    paths = (tmp_path / "broken.jpg", tmp_path / "good.jpg", tmp_path / "missing.jpg")
    report = document(cli(data_dir, "ingest", *paths, "--collection", "mixed", "--json"))
    assert report["stored"] == 1
    reasons = {row["name"]: row["reason"] for row in report["failed"]}
    assert set(reasons) == {"broken.jpg", "missing.jpg"} and all(reasons.values())
    cli(data_dir, "delete", "--collection", "mixed", "--yes")


@pytest.mark.slow
def test_hostile_names_stay_plain_text(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(HOSTILE):
        (folder / name).write_bytes(jpeg(seed))
    write_captions(folder, [{"file_name": name, "caption": f"cap {name}"} for name in HOSTILE])
    report = document(cli(data_dir, "ingest", folder, "--collection", "odd", "--json"))
    assert report["stored"] == 2 * len(HOSTILE) and report["failed"] == []
    asked = ("search", "x", "--collection", "odd", "-k", 50)
    found = document(run_apart(data_dir, *asked, "--json", LC_ALL="C"))
    names = {row["name"] for row in found["results"]}
    assert len(names) == len(HOSTILE)
    assert "<img src=x onerror=alert(1)>.jpg" in names and "🦊 émoji.jpg" in names
    assert all(name.isprintable() and len(name) <= 200 for name in names)
    plain = run_apart(data_dir, *asked, PYTHONIOENCODING="ascii")
    assert plain.returncode == 0 and "\x1b" not in plain.stdout and "\u202e" not in plain.stdout


@pytest.mark.slow
def test_a_hub_model_makes_a_collection_and_a_reranker_reorders_it(cli, tiny, tmp_path):
    data_dir, folder = tmp_path / "data", generated_photos(tmp_path / "in", 4)
    made = document(
        cli(data_dir, "ingest", folder, "--collection", "tiny", "--model", tiny("qwen_embedder"), "--json")
    )
    assert made["stored"] == 8 and made["model"] == str(tiny("qwen_embedder")) and made["failed"] == []
    reranked = ("--rerank", tiny("qwen_reranker"), "--rerank-top", 5, "-k", 8, "--json")
    found = document(cli(data_dir, "search", "picture number 2", "--collection", "tiny", *reranked))
    scores = [row["rerank_score"] for row in found["results"]]
    assert len(scores) == 8 and scores[5:] == [None] * 3
    assert scores[:5] == sorted(scores[:5], reverse=True)
    assert found["timings_ms"]["rerank"] > 0
    refused = cli(data_dir, "search", "x", "--collection", "tiny", "--rerank", tiny("clip"))
    assert refused.returncode == 1 and refused.stderr.startswith("ModelKindError: ")


@pytest.mark.parametrize("command", ["reembed", "remake"])
def test_the_new_name_and_the_former_embed_a_collection_again(data_dir, cli, command):
    asked = (command, "--collection", "photos", "--model", "pocket", "--into", f"by-{command}")
    report = document(cli(data_dir, *asked, "--json"))
    assert set(report) == INGEST and (report["stored"], report["failed"]) == (24, [])
    assert error_line(cli(data_dir, *asked)).startswith("CollectionError: ")
    assert cli(data_dir, "delete", "--collection", f"by-{command}", "--yes").returncode == 0
    refused = cli(data_dir, command, "--collection", "photos")
    assert refused.returncode == 2 and "--model" in refused.stderr


TABLE = "bild;satz;art;menge\na.jpg;ein Hund;dog;train\nb.jpg;eine Katze;cat;test\n"
BY_HAND = ("--caption-column", "satz", "--label-column", "art", "--split-column", "menge")


@pytest.fixture
def odd_table(tmp_path):
    """A folder with a table whose columns no rule knows, and a file that is no data."""
    for number, name in enumerate(("a.jpg", "b.jpg")):
        (tmp_path / name).write_bytes(jpeg(800 + number))
    (tmp_path / "liste.csv").write_text(TABLE)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    return tmp_path


def test_a_dry_run_tells_what_is_understood_and_stores_nothing(cli, odd_table, tmp_path_factory):
    empty = tmp_path_factory.mktemp("data")
    told = document(cli(empty, "ingest", odd_table, "--dry-run", "--json", "--file-column", "bild", *BY_HAND))
    assert (told["files"], told["captions"], told["labels"]) == (2, 2, {"dog": 1, "cat": 1})
    assert {one["name"]: one["use"] for one in told["columns"]} == {
        "bild": "file",
        "satz": "caption",
        "art": "label",
        "menge": "split",
    }
    assert [(one["count"], one["examples"]) for one in told["left_out"]] == [(1, [".DS_Store"])]
    assert (told["failed_count"], told["failed"], told["notes"]) == (0, [], [])
    assert told["sample"][0] == {
        "name": "a.jpg",
        "captions": ["ein Hund"],
        "labels": ["dog"],
        "columns": {"split": "train"},
    }
    assert list(empty.iterdir()) == []
    plain = cli(empty, "ingest", odd_table, "--dry-run", "--caption-column", "nowhere")
    assert "2 files, 0 captions" in plain.stdout and "has a column called nowhere" in plain.stdout
    assert (
        "Left out: 1 × Hidden files" in plain.stdout
        and "a.jpg: art=dog · menge=train · satz=ein Hund" in plain.stdout
    )


def test_where_nothing_can_be_taken_the_reason_is_whole_and_the_last_line_says_so(data_dir, cli, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "allmissing.csv").write_text("file_name,caption\nx.jpg,one\ny.jpg,two\n")
    told = cli(tmp_path / "data", "ingest", folder / "allmissing.csv", "--dry-run").stdout
    why = "Not readable: allmissing.csv: 2 lines (2, 3): the file is not among the files: x.jpg, y.jpg."
    assert why in told and told.endswith("\nNothing of this can be taken.\n")
    done = cli(data_dir, "ingest", folder / "allmissing.csv", "--collection", "nothing").stdout
    assert done.startswith("0 items stored") and done.endswith("\nNothing of this was taken.\n")


def test_columns_chosen_by_hand_are_taken_and_the_report_counts_what_is_not(data_dir, cli, odd_table):
    (odd_table / "cut.jpg").write_bytes(b"no picture")
    done = cli(data_dir, "ingest", odd_table, "--collection", "hand", *BY_HAND)
    assert "4 items stored, 0 were there or came twice, 1 failed, 1 left out" in done.stdout
    assert "Left out: 1 × Hidden files" in done.stdout and "(.DS_Store)" in done.stdout
    again = document(cli(data_dir, "ingest", odd_table, "--collection", "hand", *BY_HAND, "--json"))
    assert (again["stored"], again["skipped"], again["failed_count"]) == (0, 4, 1)
    assert again["left_out"][0]["count"] == 1 and len(again["failed_kinds"]) == 1
    cli(data_dir, "delete", "--collection", "hand", "--yes")


def test_only_a_dry_run_goes_without_a_collection(data_dir, cli, odd_table):
    done = cli(data_dir, "ingest", odd_table)
    assert done.returncode == 2 and "--collection" in done.stderr
