"""The tasks of test_huey.py: ``huey_consumer huey_app.huey`` finds them."""

from __future__ import annotations

import os
from pathlib import Path

import bodies
from huey import RedisHuey
from interruption.huey import interrupt_tasks

SOCKET = os.environ.get("HUEY_APP_SOCKET", "/nowhere")
huey = RedisHuey("tests", url=f"unix://{SOCKET}")
interrupt_tasks(huey)  # called again, the newest call counts
interrupt_tasks(huey, look_every=0.05, report_after=float(os.environ.get("HUEY_APP_REPORT", "10")))


@huey.task()
def run(kind, path):
    return bodies.run(kind, path)


@huey.task(retries=1, timeout=bodies.LIMIT)
def may_be_tried_again(path):
    again = Path(path).exists()
    return bodies.run("quick" if again else "sleep", path)
