"""Rows of judgements and questions whose columns have names: by a header, or as JSON on each line.

So BEIR and MTEB write them (https://github.com/beir-cellar/beir): `qrels/test.tsv` begins with
"query-id<TAB>corpus-id<TAB>score", `queries.jsonl` has objects with "_id" and "text".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

Names = Mapping[str, frozenset[str]]  # what a column is, and what it may be called
QRELS: Names = {
    "query-id": frozenset({"query-id", "queryid", "qid", "query", "topic", "topic-id"}),
    "corpus-id": frozenset({"corpus-id", "corpusid", "docid", "doc-id", "docno", "document-id", "doc"}),
    "score": frozenset({"score", "relevance", "rel", "grade", "label", "judgement", "judgment"}),
}
TOPICS: Names = {
    "_id": frozenset({"-id", "id", "qid", "query-id", "queryid", "topic", "topic-id", "number", "num"}),
    "text": frozenset({"text", "query", "question", "title", "topic-text"}),
}


def header(line: str, names: Names) -> list[int] | None:
    """Return where the columns of `names` stand, in that order, or None where a line is no header."""
    cells = [_plain(cell) for cell in _cells(line)]
    places = [_place(cells, some) for some in names.values()]
    return (
        None
        if None in places or len(set(places)) < len(names)
        else [one for one in places if one is not None]
    )


def row_at(line: str, places: list[int]) -> list[str] | None:
    """Return the cells at some places of a line, or None where it has not that many."""
    cells = _cells(line)
    return [cells[place] for place in places] if max(places) < len(cells) else None


def row_of(line: str, names: Names) -> list[str] | None:
    """Return the values of a JSON object in the order of `names`, or None where it has not all of them."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    keys = {_plain(key): value for key, value in found.items()}
    row = [next((keys[key] for key in keys if key in some), None) for some in names.values()]
    kept = [
        str(value) for value in row if isinstance(value, str | int | float) and not isinstance(value, bool)
    ]
    return kept if len(kept) == len(row) else None


def _place(cells: list[str], some: frozenset[str]) -> int | None:
    return next((place for place, cell in enumerate(cells) if cell in some), None)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()


def _plain(name: str) -> str:
    return name.strip().strip('"').lower().replace("_", "-").replace(" ", "-")
