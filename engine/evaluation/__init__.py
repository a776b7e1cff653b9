"""What to ask, asking it, what came out, and keeping that: retrieval measured before and after reranking."""
