"""What ``costs.py`` calls what it measures: that needs pyperf, these names do not."""

from figures import PEER

EMPTY = "an empty builtin"
REQUESTED = "`interruption_requested()`"
CHECK = "`check_interrupt()`"
IS_SET = "`Event.is_set` as a bound method"
EVENT_IS_SET = "`event.is_set()`"
PEER_CHECK = f"`check_interrupt()` of {PEER}"
POLL_LOOP = "a C loop with `Interruption_Requested()`, a step"
EMPTY_LOOP = "the same C loop without, a step"
POLL = "a poll from C: what it adds to a step of a loop"
LOCK = "`with lock: pass`"
ALLOW = "`with allow_interruption: pass`"
TIMEOUT = "`with timeout(30): pass`"
TIMEOUTS = "`with timeout(30)`, three nested"
