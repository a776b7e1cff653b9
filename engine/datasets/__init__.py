"""What was given to be ingested, listed and understood: files, captions, labels; decodes no media."""
