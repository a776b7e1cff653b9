"""Two towers of a collection: its features, heads trained on its pairs, and what they make kept beside it."""
