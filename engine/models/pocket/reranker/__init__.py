"""The embedded reranker: looks at a picture again in the light of the question, offline, on a CPU."""
