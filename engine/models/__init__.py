"""Models: the catalog of what there is, the protocol they share, and the embedded model, Pocket."""
