"""What is kept: the Chroma store, the ledger it can be made again from, and the media files."""
