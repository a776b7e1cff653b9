"""What the lessons of the gap lab compute; draws nothing."""
