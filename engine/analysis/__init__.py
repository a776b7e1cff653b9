"""Pure functions of vector tables: the modality gap, clusters and their names, near duplicates."""
