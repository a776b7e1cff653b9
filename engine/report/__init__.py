"""What is taken away of a gap: a view as a file that opens it again, and a report; draws no page."""
