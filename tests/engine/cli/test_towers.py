"""`python -m engine towers`: the table of a training, as JSON too, and a collection kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.helpers.command_line import INGEST, document, error_line


def test_a_training_is_one_json_document(cli, data_dir):
    given = ("towers", "--collection", "photos", "--held-out", "0.15", "--steps", "20", "--every", "10")
    found = document(cli(data_dir, *given, "--json"))
    assert (found["pairs"], found["trained"], found["kept"]) == (12, 10, None)
    assert [one["step"] for one in found["snapshots"]] == [0, 10, 20]
    last = found["snapshots"][-1]
    assert last["loss"] < found["snapshots"][0]["loss"]
    assert last["recall_at_1"]["n"] == 10 and last["recall_at_1_held_out"]["n"] == 2
    assert sum(last["cosines"]["unpaired"]["counts"]) == 90
    assert found["settings"]["temperature"] == 0.01
    across = np.mean(last["places"]["images"], axis=0) - np.mean(last["places"]["texts"], axis=0)
    assert across == pytest.approx([last["l2m"], 0.0], abs=1e-3)


@pytest.mark.slow
def test_the_table_is_lines_and_what_is_kept_is_a_collection(cli, data_dir):
    given = ("--collection", "photos", "--held-out", "0", "--steps", "10", "--temperature", "0.05")
    done = cli(data_dir, "towers", *given, "--keep", "cli-towers")
    assert done.returncode == 0, done.stderr
    assert "12 pairs of 'photos': temperature 0.05" in done.stdout
    assert "24 items kept as 'cli-towers', by towers:cli-towers" in done.stdout
    assert "trained on 12 pairs" in cli(data_dir, "collections").stdout
    # Ten steps make scores that unrelated questions get too, and a note on standard error says so.
    found = json.loads(cli(data_dir, "search", "a dog", "--collection", "cli-towers", "--json").stdout)
    assert found["model"] == "towers:cli-towers" and found["results"]
    again = cli(data_dir, "towers", *given, "--keep", "cli-towers")
    assert "There is a collection 'cli-towers' already" in error_line(again)
    assert cli(data_dir, "download", "towers:cli-towers").returncode == 0
    assert cli(data_dir, "delete", "--collection", "cli-towers", "--yes").returncode == 0
    kept = document(cli(data_dir, "towers", *given, "--keep", "cli-towers", "--json"))["kept"]
    assert set(kept) == INGEST and kept["stored"] == 24
    assert cli(data_dir, "delete", "--collection", "cli-towers", "--yes").returncode == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--temperature", "0"), "temperature is 0.0"),
        (("--start", "warm"), "one of cone"),
        (("--held-out", "1"), "held-out share is 1.0"),
    ],
)
def test_settings_out_of_range_are_wrong_usage(cli, data_dir, given, says):
    done = cli(data_dir, "towers", "--collection", "photos", *given)
    assert done.returncode == 2 and says in " ".join(done.stderr.split())


def test_too_few_pairs_are_one_line(cli, data_dir):
    done = cli(data_dir, "towers", "--collection", "photos", "--held-out", "0.5")
    assert "12 pairs of a picture and its caption, 6 of them held out, are too few" in error_line(done)
