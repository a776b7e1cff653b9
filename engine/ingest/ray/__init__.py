"""The ingest of files with Ray Data reading and embedding; a cluster does what one machine did."""
