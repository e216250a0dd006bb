"""The worker of test_temporal.py, which starts it: ``python temporal_app.py address queue``."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import bodies
from bodies import say
from interruption.temporal import InterruptCancelled
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import CancelledError
from temporalio.worker import Worker
from temporalio.workflow import ActivityCancellationType

OFTEN = timedelta(milliseconds=50)


@activity.defn
def run(path, kind):
    return bodies.run(kind, path)


@activity.defn
def tells(path):
    """Why it was cancelled, by what Temporal has for that."""
    try:
        bodies.run("sleep", path)
    except CancelledError:
        details = dataclasses.asdict(activity.cancellation_details())
        say(path, *(name for name in details if details[name]))
        raise


@activity.defn(no_thread_cancel_exception=True)
def looks(path):
    say(path, "begin")
    while not activity.is_cancelled():
        time.sleep(0.01)
    return "it has looked"


@activity.defn
def shields(path):
    try:
        with activity.shield_thread_cancel_exception():
            say(path, "begin")
            activity.wait_for_cancelled_sync()
            time.sleep(0.01)
            say(path, "whole")
        say(path, "never")
    finally:
        say(path, "finally")


@activity.defn
def half_done(path):
    """Its first attempt fails when it has told how far it is; that is kept."""
    told = list(activity.info().heartbeat_details)
    say(path, "begin", told)
    if not told:
        activity.heartbeat("half")
        bodies.run("sleep", path)
    return told


@activity.defn
async def in_the_loop(path):
    say(path, "begin")
    await asyncio.sleep(bodies.PATIENCE)


@workflow.defn(sandboxed=False)
class OneActivity:
    @workflow.run
    async def run(self, name, arguments, limit, attempts):
        return await workflow.execute_activity(
            name,
            args=arguments,
            start_to_close_timeout=timedelta(seconds=limit),
            retry_policy=RetryPolicy(maximum_attempts=attempts),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


async def main(address, queue):
    interceptor = InterruptCancelled(
        heartbeat_every=0.05, report_after=float(os.environ.get("TEMPORAL_APP_REPORT", "10"))
    )
    worker = Worker(
        await Client.connect(address),
        task_queue=queue,
        workflows=[OneActivity],
        activities=[run, tells, looks, shields, half_done, in_the_loop],
        activity_executor=ThreadPoolExecutor(2),
        max_concurrent_activities=2,
        interceptors=[interceptor] * int(os.environ.get("TEMPORAL_APP_TIMES", "1")),
        max_heartbeat_throttle_interval=OFTEN,
        default_heartbeat_throttle_interval=OFTEN,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with worker:
        print("ready", flush=True)  # noqa: T201
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
