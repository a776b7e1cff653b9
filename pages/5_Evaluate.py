"""Evaluate: retrieval measured over all questions, with and without a reranker, with intervals."""

from __future__ import annotations

from pages.ui import evaluate_view, frame, resources

frame.start("Evaluate")
workspace, jobs = resources.opened()
with frame.errors():
    evaluate_view.draw(workspace)
