"""Writes the tables of docs/models.md from the catalog; what stands around them is written by hand.

    .venv/bin/python -m docs.make_models

A test fails while the page and the catalog disagree.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.models.base import Kind, ModelSpec
from engine.models.catalog import CATALOG

PAGE = Path(__file__).with_name("models.md")
TITLES: dict[Kind, str] = {
    "embedder": "Embedders",
    "reranker": "Rerankers",
    "multi-vector": "Token vectors (listed, not loaded)",
}
WORDS = {"text": "text", "image": "pictures", "audio": "sound", "video": "video"}
# What was loaded here, by id: a tiny random checkpoint of that architecture, or the weights themselves.
VERIFIED = {
    "pocket": "real weights, everything",
    "pocket-reranker": "real weights, everything",
    "sentence-transformers/clip-ViT-B-32": "CLIP, both layouts",
    "sentence-transformers/clip-ViT-B-16": "CLIP, both layouts",
    "sentence-transformers/clip-ViT-L-14": "CLIP, both layouts",
    "sentence-transformers/clip-ViT-B-32-multilingual-v1": "BERT with a dense layer, beside CLIP",
    "google/embeddinggemma-2": "EmbeddingGemma 2, all four",
    "Qwen/Qwen3-VL-Embedding-2B": "Qwen3-VL",
    "Qwen/Qwen3-VL-Embedding-8B": "Qwen3-VL",
    "Qwen/Qwen3-VL-Reranker-2B": "Qwen3-VL, LogitScore",
    "Qwen/Qwen3-VL-Reranker-8B": "Qwen3-VL, LogitScore",
    "cross-encoder/ms-marco-MiniLM-L6-v2": "BERT, one label",
}
_TABLES = re.compile(r"(<!-- tables: [^>]*-->\n).*?(\n<!-- /tables -->)", flags=re.DOTALL)


def page_of(text: str) -> str:
    """Return the page with its tables made anew. Raises ValueError where the place for them is missing."""
    made, places = _TABLES.subn(lambda found: f"{found[1]}\n{tables()}{found[2]}", text)
    if places != 1:
        raise ValueError(f"{PAGE.name} has {places} places for the tables, and must have one")
    return made


def tables() -> str:
    """Return one table per kind of model as Markdown. Raises ValueError where VERIFIED names no model."""
    if unknown := sorted(set(VERIFIED) - set(CATALOG)):
        raise ValueError(f"VERIFIED names {unknown}, which the catalog does not have")
    return "\n".join(f"## {title}\n\n{_table(kind)}\n" for kind, title in TITLES.items())


def _table(kind: Kind) -> str:
    heads = [*_cells(next(iter(CATALOG.values())), kind)]
    rows = [[*_cells(spec, kind).values()] for spec in CATALOG.values() if spec.kind == kind]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def _cells(spec: ModelSpec, kind: Kind) -> dict[str, str]:
    """Return what a table of this kind says of a model, by the heading of the column."""
    reads = ", ".join(WORDS[one] for one in spec.modalities)
    if spec.images_by:
        reads += f"; pictures by {spec.images_by.split('/')[-1]}"
    return {
        "model": f"{spec.id} (own code)" if spec.remote_code else spec.id,
        "reads": reads,
        "memory": f"{spec.memory_gb} GB" if spec.memory_gb else "read from its files",
        **({} if kind == "reranker" else {"width": _width(spec)}),
        "licence": spec.licence,
        "when to choose it": spec.note,
        "verified by": VERIFIED.get(spec.id, "no"),
    }


def _width(spec: ModelSpec) -> str:
    full = str(spec.dim) if spec.dim else "as the model says"
    return f"{full}; also {', '.join(map(str, spec.dims))}" if spec.dims else full


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
