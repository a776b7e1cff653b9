"""A question to ranked hits with every stage kept: retrieval, then reranking of the head."""
