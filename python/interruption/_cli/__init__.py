"""``python -m interruption``: its command line, and what each command does."""
