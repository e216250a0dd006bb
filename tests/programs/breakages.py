"""What mutations.py breaks on purpose, and what has to find it."""

from __future__ import annotations

from typing import NamedTuple

SELF_TEST = "src/module/safepoints/self_test.c"
CONTEXTS = "src/module/thread/contexts.c"
LEFT_LOCKED = "src/module/thread/left_locked.c"
SIGNALS = "src/module/shutdown/signal_handler.c"
FUTURE = "python/interruption/_future.py"
ENDING = "python/interruption/_shutdown/ending.py"


class Mutation(NamedTuple):
    """What is broken by it, and how: what stands in a file, and what instead."""

    breaks: str
    file: str
    old: str
    new: str
    since: tuple[int, int] = (3, 11)  # on which versions it shows
    until: tuple[int, int] = (3, 99)
    unseen: str = ""  # why nothing can find it: then it is not tried
    tests: str = ""  # for pytest, in this folder; "": programs made by chance have to find it


MUTATIONS = [
    Mutation(
        "copies of a finally are cleanup",
        "src/module/safepoints/safepoints.c",
        "bits |= UINT64_C(1) << at->flow.chains[chain].bit;",
        "bits |= 0;",
    ),
    Mutation(
        "so are those of a try that cannot fail",
        "src/module/safepoints/flow.c",
        "return done > 0 ? follow_what_never_runs(at) : done;",
        "return follow_what_never_runs == NULL ? 0 : done;",
    ),
    Mutation(
        "handlers are cleanup",
        "src/module/safepoints/safepoints.c",
        "for (int chain = here->chain; chain != 0; chain = points->chains[chain].parent) {",
        "for (int chain = 0; chain != 0; chain = points->chains[chain].parent) {",
    ),
    Mutation(
        "the entry and the exit of a with are cleanup",
        "src/module/safepoints/safepoints.c",
        "    if (lost != 0) {\n",
        "    if (lost != 0 && exits == 0) {\n",
    ),
    Mutation(
        "what leads into a finally belongs to it",
        "src/module/safepoints/safepoints.c",
        "at->notes[i].finallys |= at->notes[i + 1].finallys & ~at->notes[i].turned;",
        "at->notes[i].finallys |= 0;",
    ),
    Mutation(
        "the gap between acquire() and try is no point",
        "src/module/safepoints/safepoints.c",
        "flags |= is_gap(at, number) && !at->notes[number].cleanup_loop ? MOD_SAFEPOINT_GAP : 0;",
        "flags |= is_gap(at, number) ? 0 : 0;",
    ),
    Mutation(
        "nor is a try that cannot fail in another",
        "src/module/safepoints/safepoints.c",
        "(handler < 0 || at->notes[next].covers_from == i)",
        "at->notes[next].covers_from == i",
    ),
    Mutation(
        "in the middle of a statement is no point",
        "src/module/safepoints/safepoints.c",
        "uint64_t blocks = STACK_BLOCKS(stack), clear = blocks | STACK_HARMLESS(stack);",
        "uint64_t blocks = all, clear = blocks | STACK_HARMLESS(stack);",
    ),
    Mutation(
        "JUMP events that skip handlers are not used in a try",
        "src/module/safepoints/safepoints.c",
        "!(MOD_JUMPS_IGNORE_HANDLERS && handled)",
        "(handled || !handled)",
        since=(3, 12),
        until=(3, 12),
    ),
    Mutation(
        "methods named __enter__ and __exit__ are cleanup",
        "src/module/delivery/obstacles.c",
        "    if (at->since < 0 && mod_is_wrapper(at->code)) {\n        obstacle->kind",
        "    if (at->code == NULL) {\n        obstacle->kind",
    ),
    Mutation(
        "a shield holds requests back",
        "src/module/delivery/obstacles.c",
        "else if (view->shields > 0) {",
        "else if (view->shields > 1000) {",
    ),
    Mutation(
        "a lock that is held holds requests back",
        "src/module/delivery/raise.c",
        "Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */\n"
        "        return false;",
        "Py_XDECREF(taken_in);",
    ),
    Mutation(
        "the standard library is left alone",
        "src/module/safepoints/protected.c",
        "bool verdict = is_home_of(homes->value, code->co_filename, name) ||",
        "bool verdict = (is_home_of(homes->value, code->co_filename, name) && name == NULL) ||",
    ),
    # The self-test.
    Mutation(
        "a line with a `with` has a point",
        SELF_TEST,
        "return found->point && found->entry && found->exit;",
        "return found->entry && found->exit;",
        tests="test_self_test.py",
    ),
    Mutation(
        "and an entry",
        SELF_TEST,
        "return found->point && found->entry && found->exit;",
        "return found->point && found->exit;",
        tests="test_self_test.py",
    ),
    Mutation(
        "and an exit",
        SELF_TEST,
        "return found->point && found->entry && found->exit;",
        "return found->point && found->entry;",
        unseen="no compiler puts the entry on a line without the exit",
    ),
    Mutation(
        "in cleanup there is no loop, even without a point",
        SELF_TEST,
        "!found->point && !found->loop && found->in_finally",
        "!found->point && found->in_finally",
        since=(3, 12),
        tests="test_self_test.py",
    ),
    Mutation(
        "a layout that is strange is refused",
        SELF_TEST,
        "if (strange != NULL) {",
        "if (strange != NULL && magic < 0) {",
        unseen="no interpreter that this builds for has another one",
    ),
    # Finding built-in functions.
    Mutation(
        "a class in Python is no type in C, whatever its name",
        "src/module/interpose/originals.c",
        "return type->tp_methods != NULL && name[0] == '.'",
        "return name[0] == '.'",
        tests="test_blocking_replaced.py",
    ),
    Mutation(
        "the type of a module in a package may have the package's name",
        "src/module/interpose/originals.c",
        "else if (last != NULL && strncmp",
        "else if (last != NULL && name[0] == 0 && strncmp",
        tests="libraries/test_greenlet.py",  # which needs greenlet
    ),
    Mutation(
        "who has no memory for a frame does not guess whose it is",
        "src/module/blocking/callers.c",
        "return lost ? MOD_CALLER_LIBRARY : caller;",
        "return lost ? caller : caller;",
        unseen="the look at the cleanup has made those frames before, or has given up",
    ),
    # Blocks of generators.
    Mutation(
        "a generator at the place of one that has ended is another one",
        CONTEXTS,
        "mod_frame_address(context->owner) == context->key;",
        "mod_frame_address(context->owner) != NULL;",
        tests="test_regions_generators.py",
    ),
    Mutation(
        "regions of generators that have ended are not counted",
        CONTEXTS,
        "            blocks->regions -= context->regions;\n",
        "",
        tests="test_regions_generators.py",
    ),
    Mutation(
        "nor are the generators",
        CONTEXTS,
        "            blocks->others--;\n",
        "",
        tests="test_regions_generators.py",
    ),
    Mutation(
        "nor kept",
        CONTEXTS,
        "    Py_XDECREF(context->owner);\n",
        "",
        tests="test_regions_generators.py",
    ),
    Mutation(
        "a context that has blocks stays",
        CONTEXTS,
        "if (context->count > 0 || context == &blocks->own) {",
        "if (context == &blocks->own) {",
        tests="test_regions_generators.py",
    ),
    Mutation(
        "contexts with the same hash are found in short chains",
        CONTEXTS,
        "hash & (blocks->bucket_count - 1)",
        "0 & (hash + blocks->bucket_count)",
        unseen="it is found all the same, only later",
    ),
    # Locks that are left.
    Mutation(
        "a lock that somebody has released is not told",
        LEFT_LOCKED,
        "held->code == NULL || !mod_is_left(&of->locks, held, of->ident)",
        "held->code == NULL",
        tests="test_left_locked.py",
    ),
    Mutation(
        "nor one that nobody has any more",
        "src/module/thread/held_locks.c",
        "if (lock == NULL || is_dropped(left, lock)) {\n        return false;",
        "if (lock == NULL) {\n        return false;",
        tests="test_left_locked.py",
    ),
    Mutation(
        "nor one without a place",
        LEFT_LOCKED,
        "held->code == NULL || !mod_is_left",
        "!mod_is_left",
        unseen="only where there was no memory for the frame that took it",
    ),
    Mutation(
        "nor are several, if the innermost has none",
        "src/module/thread/held_locks.c",
        "if (!mod_holds_lock(set, NULL, &code, &lasti) || code == NULL) {",
        "if (!mod_holds_lock(set, NULL, &code, &lasti)) {",
        unseen="the same",
    ),
    Mutation(
        "what is left is told in the order in which it was taken",
        LEFT_LOCKED,
        "if (list != NULL && PyList_Reverse(list) < 0) {",
        "if (list == NULL && PyList_Reverse(list) < 0) {",
        tests="test_left_locked.py",
    ),
    # Futures.
    Mutation(
        "who waits for a future is told that its task was stopped",
        FUTURE,
        "waiter.add_cancelled(self)",
        "pass",
        tests="test_executor_cancel.py test_executor.py",
    ),
    Mutation(
        "so is who waits for its result",
        FUTURE,
        "self._condition.notify_all()",
        "pass",
        tests="test_executor_cancel.py test_executor.py",
    ),
    Mutation(
        "a task that cannot be run fails",
        FUTURE,
        "                self.future.set_exception(error)",
        "                pass",
        tests="test_executor_races.py",
    ),
    Mutation(
        "but for one that was cancelled",
        FUTURE,
        "            if self.future.set_running_or_notify_cancel():\n",
        "            if self.future.set_running_or_notify_cancel() or True:\n",
        tests="test_executor_races.py",
    ),
    Mutation(
        "a future that somebody has ended stays so",
        FUTURE,
        "if self._state != _base.RUNNING:",
        "if False:",
        tests="test_executor_races.py",
    ),
    Mutation(
        "a task without memory fails",
        FUTURE,
        "            self.fail(error)\n            return",
        "            raise",
        tests="test_executor_races.py",
    ),
    # The end of the program.
    Mutation(
        "the end of a frame that still runs is none",
        ENDING,
        "if frame is None or frame.f_lasti < 0 or frame is outermost_frame():",
        "if frame is None or frame.f_lasti < 0:",
        tests="test_on_exit.py",
    ),
    Mutation(
        "a plain end is no exception",
        ENDING,
        'return not last.startswith("RETURN")',
        "return last is None",
        tests="test_on_exit.py",
    ),
    Mutation(
        "who is abandoned is not waited for when nothing is watched",
        ENDING,
        "        and not _abandoned\n",
        "",
        tests="test_shutdown_then_exit.py",
    ),
    Mutation(
        "somebody's function over ours stays",
        ENDING,
        "        and _threading._shutdown is _shutdown  # noqa: SLF001\n",
        "",
        tests="test_on_exit.py",
    ),
    Mutation(
        "and over our wait",
        ENDING,
        "        and (not _HAS_C_WAIT or _threading._thread_shutdown is _wait_for_threads)"
        "  # noqa: SLF001\n",
        "",
        since=(3, 13),
        tests="test_on_exit.py",
    ),
    Mutation(
        "a child of a fork has the functions of Python",
        ENDING,
        "    _abandoned.clear()\n    stop_watching()\n",
        "    _abandoned.clear()\n",
        tests="test_on_exit.py",
    ),
    Mutation(
        "also when its parent has abandoned a thread",
        ENDING,
        "    _abandoned.clear()\n",
        "",
        tests="test_on_exit.py",
    ),
    Mutation(
        "who has ended is not given up",
        ENDING,
        "if thread.is_alive() and thread is not threading.main_thread():",
        "if thread is not threading.main_thread():",
        tests="test_shutdown_then_exit.py",
    ),
    Mutation(
        "up to 3.12 who begins late is waited for, too",
        ENDING,
        "        if not _HAS_C_WAIT:\n            _join_others()\n",
        "",
        until=(3, 12),
        tests="test_on_exit.py test_shutdown_then_exit.py test_exit.py",
    ),
    Mutation(
        "daemons are not waited for",
        ENDING,
        "if not (thread.daemon or thread is me or",
        "if not (thread is me or",
        tests="test_on_exit.py",
    ),
    Mutation(
        "when the threads have ended it is over",
        ENDING,
        "        watcher.threads_have_ended()",
        "        pass",
        since=(3, 13),
        tests="test_on_exit.py",
    ),
    Mutation(
        "the wait in C is not for those that were given up",
        ENDING,
        "    if not _given_up:\n        # Those",
        "    if True:\n        # Those",
        since=(3, 13),
        tests="test_on_exit.py",
    ),
    Mutation(
        "a thread that has an ident is to be waited for",
        ENDING,
        "    if thread.ident is not None:\n        return True\n",
        "",
        unseen="up to 3.12 it has been waited for before; later its handle tells the same",
    ),
    # Signals.
    Mutation(
        "a signal that is for later comes",
        SIGNALS,
        "        go_on(number, info, NULL);\n",
        "",
        tests="test_on_signal_asyncio.py",
    ),
    Mutation(
        "a signal is sent again a few times only",
        SIGNALS,
        "if (pause > 0 && pause < LAST_PAUSE) {",
        "if (pause > 0) {",
        tests="test_signal_resent.py",
    ),
    Mutation(
        "and more than once",
        SIGNALS,
        "        resend_after(number, 2 * pause);",
        "        resend_after(number, 0);",
        tests="test_signal_resent.py",
    ),
    Mutation(
        "who has answered in the last moment is not ended",
        SIGNALS,
        "if (itr_now() >= LOAD(heeded[number].due)) {",
        "if (itr_now() > 0) {",
        unseen="its timer is stopped, too: only one that rings just then comes here",
    ),
    Mutation(
        "a child is ended by a signal that would end it without us, and by no other",
        SIGNALS,
        "LOAD(heeded[number].process) != 0 && LOAD(heeded[number].fatal)",
        "LOAD(heeded[number].process) != 0",
        tests="test_on_signal_children.py",
    ),
    Mutation(
        "and it is ended",
        SIGNALS,
        "        mod_kill_by(number);\n",
        "",
        tests="test_on_signal_children.py",
    ),
    Mutation(
        "time counts from the first signal",
        SIGNALS,
        "    if (unanswered == 1) {\n        STORE(came.since, now);",
        "    if (unanswered > 0) {\n        STORE(came.since, now);",
        tests="test_watchdog.py",
    ),
    Mutation(
        "at the third it is over at once",
        SIGNALS,
        "            mod_end_process(number, 0, since);\n        }\n        end_at",
        "        }\n        end_at",
        unseen="on Linux the timer, set to a time that is over, rings at once",
    ),
    # What only looks.
    Mutation(
        "a request does not end a poll",
        "src/module/blocking/io/select.c",
        "return looks ? 0 : mod_wait_entry();",
        "return mod_wait_entry();",
        tests="test_only_looks.py",
    ),
]
