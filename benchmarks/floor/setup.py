"""Build the benchmarks' C extension; ``costs.py`` does so by itself."""

import interruption
from setuptools import Extension, setup

setup(
    name="floor",
    version="0.1.0",
    ext_modules=[
        Extension("floor", ["floor.c"], include_dirs=[interruption.get_include()]),
    ],
)
