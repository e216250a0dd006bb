/* See callers.h. */
#include "blocking/callers.h"

#include "cpython/frame.h"
#include "blocking/numbers.h"
#include "safepoints/protected.h"

typedef struct {
    const char *function; /* its qualified name, in protected code */
    enum {
        END, /* of the table */
        ASK_ITS_CALLER,
        IS,
        IS_IF_IT_CALLS, /* the method itself; if it is there for another one: the library */
    } what;
    mod_caller caller;
} row;

/* What is not here and protected waits for itself. */
static const row of_locks[] = {
    {"Condition.__enter__", ASK_ITS_CALLER, 0},
    {"Condition.wait", IS, MOD_CALLER_NOTIFIED},
    {"Queue.get", IS, MOD_CALLER_TAKER},
    {"Queue.join", IS, MOD_CALLER_TAKER},
    {"Event.wait", IS, MOD_CALLER_TAKER},
    {"Semaphore.acquire", IS, MOD_CALLER_TAKER},
    {"Barrier.wait", IS, MOD_CALLER_TAKER},
    {"Future.result", IS, MOD_CALLER_TAKER},
    {"Future.exception", IS, MOD_CALLER_TAKER},
    {"Thread._wait_for_tstate_lock", IS, MOD_CALLER_JOIN},
    /* held by another thread while that waits for the child */
    {"Popen._wait", IS, MOD_CALLER_EVENT},
    /* threading's RLock in Python */
    {"_RLock.acquire", ASK_ITS_CALLER, 0},
    {"_BaseExitStack.enter_context", ASK_ITS_CALLER, 0},
    {NULL, END, 0},
};

/* The functions of multiprocessing, most of which are called like those of threading. */
static const row of_process_locks[] = {
    {"SemLock.__enter__", ASK_ITS_CALLER, 0},
    {"Condition.__enter__", ASK_ITS_CALLER, 0},
    {"SynchronizedBase.__enter__", ASK_ITS_CALLER, 0},
    {"_BaseExitStack.enter_context", ASK_ITS_CALLER, 0},
    {"Condition.wait", IS_IF_IT_CALLS, MOD_CALLER_NOTIFIED},
    {"Event.wait", IS, MOD_CALLER_TAKER},
    {"Barrier.wait", IS, MOD_CALLER_TAKER},
    {"JoinableQueue.join", IS, MOD_CALLER_TAKER},
    {"Queue.get", IS, MOD_CALLER_RECEIVER},
    {"SimpleQueue.get", IS, MOD_CALLER_RECEIVER},
    /* for room; before it is there nothing has been put */
    {"Queue.put", IS_IF_IT_CALLS, MOD_CALLER_EVENT},
    {"JoinableQueue.put", IS_IF_IT_CALLS, MOD_CALLER_EVENT},
    /* the same: held by another one while that waits for room in the pipe */
    {"SimpleQueue.put", IS, MOD_CALLER_EVENT},
    {NULL, END, 0},
};

static const row *
find_caller_row(const row *table, PyCodeObject *code)
{
    for (const row *known = table; known->what != END; known++) {
        if (PyUnicode_CompareWithASCIIString(code->co_qualname, known->function) == 0) {
            return known;
        }
    }
    return NULL;
}

/* Does the function only look, by what it was called with: block=False, timeout=0? */
static bool
caller_only_looks(PyFrameObject *frame, PyCodeObject *code)
{
    static const char *const flags[] = {"block", "blocking"};
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        PyObject *flag = mod_frame_variable(frame, code, flags[i]);
        bool looks = flag == Py_False ||
                     (flag != NULL && PyLong_CheckExact(flag) && PyObject_Not(flag) == 1);
        Py_XDECREF(flag);
        if (looks) {
            return true;
        }
    }
    PyObject *timeout = mod_frame_variable(frame, code, "timeout");
    bool looks = timeout != NULL && mod_is_no_time(timeout);
    Py_XDECREF(timeout);
    return looks;
}

static mod_caller
look_up_caller(const row *found, bool calls, PyFrameObject *frame, PyCodeObject *code)
{
    if (found == NULL || (found->what == IS_IF_IT_CALLS && !calls)) {
        return MOD_CALLER_LIBRARY;
    }
    bool takes = found->caller == MOD_CALLER_TAKER || found->caller == MOD_CALLER_RECEIVER;
    return takes && caller_only_looks(frame, code) ? MOD_CALLER_LIBRARY : found->caller;
}

static mod_caller
find_caller(mod_state *state, PyThreadState *tstate, const row *table)
{
    mod_caller caller = MOD_CALLER_PROGRAM;
    mod_walk walk = mod_walk_begin(tstate);
    for (bool calls = true; walk.frame != NULL; calls = false) {
        bool protected = mod_is_protected_frame(state, walk.frame, walk.code);
        const row *found = protected ? find_caller_row(table, walk.code) : NULL;
        if (found == NULL || found->what != ASK_ITS_CALLER) {
            caller = protected ? look_up_caller(found, calls, walk.frame, walk.code) : caller;
            break;
        }
        mod_walk_on(&walk);
    }
    bool lost = walk.lost;
    mod_walk_end(&walk);
    return lost ? MOD_CALLER_LIBRARY : caller; /* who asks is not to give anything up */
}

mod_caller
mod_caller_of_lock(mod_state *state, PyThreadState *tstate)
{
    return find_caller(state, tstate, of_locks);
}

mod_caller
mod_caller_of_process_lock(mod_state *state, PyThreadState *tstate)
{
    return find_caller(state, tstate, of_process_locks);
}
