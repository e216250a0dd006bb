"""Programs made by chance, and what happens to them when a request is delivered anywhere in them.

``grammar`` makes their text, ``runs`` runs and judges them; ``python -m programs`` is for by hand,
and for finding again what a test has printed. ``mutations`` breaks each protection on purpose.
"""
