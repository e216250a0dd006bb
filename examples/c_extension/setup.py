"""Build the example extension: docs/c-api.md has the command."""

import interruption
from setuptools import Extension, setup

setup(
    name="countdown",
    version="0.1.0",
    ext_modules=[
        Extension("countdown", ["countdown.c"], include_dirs=[interruption.get_include()]),
    ],
)
