"""Small models of the data folder: two heads that were trained on features of Pocket's networks."""
