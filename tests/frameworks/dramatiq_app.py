"""The actors of test_dramatiq.py: ``dramatiq dramatiq_app`` finds them."""

from __future__ import annotations

import os

import bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from interruption.dramatiq import Interruption

SOCKET = os.environ.get("DRAMATIQ_APP_SOCKET", "/nowhere")
NAMESPACE = os.environ.get("DRAMATIQ_APP_NAMESPACE", "tests")
broker = RedisBroker(url=f"unix://{SOCKET}", namespace=NAMESPACE)
broker.add_middleware(Results(backend=RedisBackend(url=f"unix://{SOCKET}")))
try:
    from dramatiq_abort import Abortable
    from dramatiq_abort.backends.redis import RedisBackend as Events
except ImportError:
    pass
else:
    broker.add_middleware(Abortable(backend=Events.from_url(f"unix://{SOCKET}")))
broker.add_middleware(Interruption(float(os.environ.get("DRAMATIQ_APP_REPORT", "10"))))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=0, store_results=True)
def run(kind, path):
    return bodies.run(kind, path)


@dramatiq.actor(max_retries=0, notify_shutdown=True)
def may_be_shut_down(path):
    run("sleep", path)  # another actor's function
