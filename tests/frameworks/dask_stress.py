"""Tasks of dask that are cancelled at random: who is hit, and how soon.

    python tests/frameworks/dask_stress.py [tasks [shortest [longest [seed]]]]

On a cluster of two processes with two threads each, half of the tasks are cancelled at a random
moment of their time (seconds), and the keys of some of these are wanted again.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
AT_ONCE = 16


def round_of_tasks(client, first, pick, between, path):
    """Some tasks: which were cancelled and when, and what came out wrong."""
    import dask_tasks
    from distributed.client import FutureCancelledError

    def wanted_again(number):
        return client.submit(dask_tasks.work, number, 0.01, False, path, key=f"work-{number}")

    numbers = range(first, first + AT_ONCE)
    futures = {
        number: client.submit(
            dask_tasks.work, number, pick.uniform(*between), pick.random() < 0.25, path,
            key=f"work-{number}",
        )
        for number in numbers
    }  # fmt: skip
    cancelled = {}
    for number in sorted(pick.sample(numbers, AT_ONCE // 2)):  # in the order that they run in
        time.sleep(pick.random() * between[1] * 0.25)
        cancelled[number] = time.time()
        futures.pop(number).cancel()
        if pick.random() < 0.3:
            futures[number] = wanted_again(number)
    wrong = []
    for number, future in futures.items():
        try:
            try:
                result = future.result(timeout=120)
            except FutureCancelledError:
                if number not in cancelled:
                    raise
                # dask tells of a cancel when the key may be wanted again: it drops that, too.
                result = wanted_again(number).result(timeout=120)
        except BaseException as error:  # noqa: BLE001  (told)
            result = error
        if result != number:
            wrong.append((number, result))
    return cancelled, wrong


def main(tasks=5000, shortest=0.05, longest=0.5, seed=1):
    from chance import seeded
    from distributed import Client, LocalCluster
    from interruption.dask import InterruptCancelled

    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    pick = seeded(seed)
    cancelled, wrong, done = {}, [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "log"))
        Path(path).touch()
        with LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None,
            silence_logs=logging.CRITICAL, local_directory=folder,
        ) as cluster, Client(cluster) as client:  # fmt: skip
            client.register_plugin(InterruptCancelled())
            while done < tasks:
                more, bad = round_of_tasks(client, done, pick, (shortest, longest), path)
                cancelled |= more
                wrong += bad
                done += AT_ONCE
            workers = len(client.scheduler_info()["workers"])
        hits = [line.split() for line in Path(path).read_text().splitlines()]
    innocent = [number for number, _ in hits if int(number) not in cancelled]
    late = [
        (float(when) - cancelled[int(number)]) * 1000
        for number, when in hits
        if int(number) in cancelled
    ]
    median = statistics.median(late) if late else float("nan")
    print(
        f"{done} tasks, {len(cancelled)} cancelled, {len(hits)} stopped while they ran: "
        f"median {median:.1f} ms after cancel(), {workers} workers live"
    )
    print(f"hit though not cancelled: {len(innocent)}, wrong results: {len(wrong)}", wrong[:3])
    return not innocent and not wrong and bool(hits) and workers == 2


if __name__ == "__main__":
    numbers = [float(each) for each in sys.argv[1:]]
    sys.exit(0 if main(*numbers) else 1)
