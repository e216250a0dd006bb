"""Asking all threads to stop: by `shutdown`, for a signal, and at the end of the program."""
