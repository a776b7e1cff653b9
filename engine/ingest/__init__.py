"""The ways into a collection, over one pipeline: files, vectors of other programs, re-embedding, samples."""
