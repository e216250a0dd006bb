"""The app of test_celery.py: ``celery -A celery_app worker`` finds it."""

from __future__ import annotations

import os

import bodies
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_postrun
from interruption.celery import TaskPool

SOCKET = os.environ.get("CELERY_APP_SOCKET", "/nowhere")
app = Celery("celery_app", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")
app.conf.update(
    worker_pool=os.environ.get("CELERY_APP_POOL", "interruption.celery:TaskPool"),
    broker_connection_max_retries=1,
    broker_connection_retry_on_startup=False,
    task_track_started=True,
)


class QuickToReport(TaskPool):
    report_after = 0.1


@task_postrun.connect
def after(kwargs=None, state=None, **_):
    bodies.say(kwargs["path"], "state", state)


@app.task
def run(kind, path):
    return bodies.run(kind, path)


@app.task(acks_late=True)
def late(kind, path):
    return bodies.run(kind, path)


@app.task
def tidies(path):
    try:
        bodies.run("sleep", path)
    except SoftTimeLimitExceeded:
        return "what there is"


@app.task
def calls_another(path):
    return run("sleep", path=path)
