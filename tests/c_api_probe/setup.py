"""Built in place by tests/test_c_api_fuzz.py, in a copy of this folder."""

import interruption
from setuptools import Extension, setup

setup(
    name="probe",
    version="1",
    ext_modules=[Extension("probe", ["probe.c"], include_dirs=[interruption.get_include()])],
)
