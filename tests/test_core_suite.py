"""The C core's own tests: built alone, without Python, for each way that it can sleep and wake.

ITR_STRESS scales the stress tests, in percent; unless set it is 2, and 20 where marked as stress.
What sleeps without the kernel's help is tried there only.
Under the sanitizers: docs/contributing.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.anywhere

ROOT = Path(__file__).parents[1]
MESON = [sys.executable, "-m", "mesonbuild.mesonmain"]


@pytest.mark.parametrize(
    ("platform", "stress"),
    [
        pytest.param("auto", 2, marks=pytest.mark.sample),
        pytest.param("auto", 20, marks=pytest.mark.stress),
        pytest.param("posix", 20, marks=pytest.mark.stress),
    ],
)
def test_the_core_passes_its_own_tests(platform, stress, tmp_path):
    options = ["-Dcore_only=true", f"-Dcore_platform={platform}", "-Dwerror=true"]
    environment = {
        "ITR_STRESS": str(stress),
        **os.environ,
        # ninja is where the extra installed it, also when this environment is not activated
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    build = str(tmp_path / "build")
    for command in (
        ["setup", build, str(ROOT), "--buildtype=debugoptimized", *options],
        ["test", "-C", build, "--print-errorlogs"],
    ):
        result = subprocess.run(
            [*MESON, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
