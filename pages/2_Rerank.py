"""Rerank: the retrieval order beside the reranked order, what moved, at what cost, and was it worth it."""

from __future__ import annotations

from pages.ui import frame, rerank_view, resources

frame.start("Rerank")
workspace, jobs = resources.opened()
with frame.errors():
    rerank_view.draw(workspace)
