"""Evaluation on held-out users; everything works on score groups and never on single users."""
