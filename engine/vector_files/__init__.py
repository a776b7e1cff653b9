"""Files of vectors, Parquet and NPZ: read and checked row by row, and written."""
