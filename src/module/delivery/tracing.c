/*
 * See events.h. 3.11: the trace function of the armed thread.
 *
 * A thread has room for one trace function. If a debugger or a coverage tool has it, ours takes its
 * place and calls it first, with its own object, so that sys.gettrace() shows it still. If the tool
 * is changed meanwhile, ours is gone, and the re-arm timer puts it in again. The GIL guards another
 * thread's trace function, as it does in the interpreter.
 *
 * A loop of one instruction, `while True: pass`, is never told as a line, only as an opcode; so
 * opcodes are traced in the frame that the thread was found in last, until it leaves that.
 */
#include "delivery/events.h"

/* Written while the GIL is held: start, stop. */
static mod_state *state_of_trace;
static mod_deliverer *deliver_in_trace;

/* The owner leaves that frame, for now or for good: to keep it longer would keep alive what is in
   it. */
static void
let_go(mod_thread *thread, PyFrameObject *frame)
{
    mod_lock_threads();
    if (thread->traced == frame) {
        (void)mod_frame_trace_opcodes(frame, false);
        thread->traced = NULL;
    }
    else {
        frame = NULL;
    }
    mod_unlock_threads();
    Py_XDECREF(frame); /* not the last reference: it runs */
}

static int
trace(PyObject *object, PyFrameObject *frame, int what, PyObject *arg)
{
    mod_thread *thread = mod_thread_self;
    bool jump = what == PyTrace_OPCODE; /* perhaps; asked for by us, or by another tool */
    bool ours = jump && thread != NULL && thread->traced == frame;
    if (thread != NULL && thread->chained != NULL && !ours) {
        int status = ((Py_tracefunc)thread->chained)(object, frame, what, arg);
        if (status != 0) {
            return status;
        }
    }
    if (what == PyTrace_RETURN && thread != NULL && thread->traced == frame) {
        let_go(thread, frame);
    }
    if (thread == NULL || !(what == PyTrace_LINE || jump) || state_of_trace == NULL ||
        !(itr_flags(thread->record) & ITR_PENDING)) {
        return 0;
    }
    if (jump && PyFrame_GetLineNumber(frame) <= 0) {
        return 0; /* a traceback would tell no line; where it jumps to is told as one */
    }
    const mod_moment point = {
        .moment = jump ? MOD_AT_JUMP : MOD_AT_LINE,
        .destination = jump ? PyFrame_GetLasti(frame) : -1,
    };
    return deliver_in_trace(state_of_trace, thread, point);
}

/* Set the function alone; the object stays, and with it what sys.gettrace() says. */
static void
exchange_trace(PyThreadState *tstate, Py_tracefunc function)
{
    tstate->c_tracefunc = function;
    bool used = function != NULL || tstate->c_profilefunc != NULL;
    tstate->cframe->use_tracing = used && tstate->tracing == 0 ? 255 : 0;
}

/* Trace the instructions of that frame, or of none, instead of the one before; which is returned,
   as a reference to be dropped. Takes the reference. */
static PyFrameObject *
trace_opcodes(mod_thread *thread, PyFrameObject *frame)
{
    if (frame != NULL && (frame == thread->traced || mod_frame_trace_opcodes(frame, true))) {
        return frame; /* by us, or by another tool */
    }
    PyFrameObject *before = thread->traced;
    if (before != NULL) {
        (void)mod_frame_trace_opcodes(before, false);
    }
    thread->traced = frame;
    return before;
}

void
mod_events_arm(mod_state *Py_UNUSED(state), mod_thread *thread, mod_garbage *garbage)
{
    PyThreadState *tstate = thread->tstate;
    PyFrameObject *frame = mod_frame_of_thread(tstate);
    garbage->frame = frame == NULL ? NULL : trace_opcodes(thread, frame);
    if (tstate->c_tracefunc != trace) {
        thread->chained = (void *)tstate->c_tracefunc;
    }
    exchange_trace(tstate, trace); /* each greenlet knows for itself whether it is traced */
}

void
mod_events_disarm(mod_thread *thread, mod_garbage *garbage)
{
    PyThreadState *tstate = thread->tstate;
    if (tstate->c_tracefunc == trace) {
        exchange_trace(tstate, (Py_tracefunc)thread->chained);
    }
    thread->chained = NULL;
    garbage->frame = trace_opcodes(thread, NULL);
}

bool
mod_drop_garbage(mod_garbage *garbage)
{
    Py_XDECREF(garbage->frame);
    return false;
}

void
mod_events_watch_entries(mod_thread *Py_UNUSED(thread))
{
    /* The trace function is told everything already. */
}

int
mod_events_start(mod_state *state, mod_deliverer *deliver)
{
    deliver_in_trace = deliver;
    state_of_trace = state;
    return 0;
}

void
mod_events_stop(void)
{
    state_of_trace = NULL;
}
