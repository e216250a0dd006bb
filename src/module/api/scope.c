/* See scope.h. What the calling thread does about a scope, as its own. */
#include "api/scope.h"

#include <errno.h>
#include <math.h>

#include "api/requests.h"
#include "api/scope_state.h"
#include "api/with_blocks.h"
#include "delivery/arming.h"
#include "delivery/raise.h"
#include "delivery/shield.h"
#include "itr_timer.h"
#include "thread/marks.h"
#include "thread/payload.h"

/* Found by two steps: where nothing has been asked nobody needs it. */
static mod_state *
state_of_scope(const mod_scope *of)
{
    return PyType_GetModuleState(Py_TYPE(of));
}

/* What concerns more than the blocks themselves: the thread has been asked. */
static const uint32_t MORE_TO_DO = ITR_REQUESTED | ITR_ARMED;

/* Entering. ----------------------------------------------------------------------------------- */

#ifdef INTERRUPTION_TESTING
void (*mod_scope_entering)(void);
#define BEING_ENTERED() (mod_scope_entering == NULL ? (void)0 : mod_scope_entering())
#else
#define BEING_ENTERED() ((void)0)
#endif

/* Of a delay as long as that, some milliseconds are a thousandth. */
static const int64_t LONG_DELAY = INT64_C(10000000000);

/* It is entered for the first time: a time that counts from that begins now. Under the mutex.
   Returns whether that is for long. */
static inline bool
begin_time(mod_scope *of)
{
    of->generation = atomic_load_explicit(&mod_scope_forks, memory_order_relaxed);
    if (of->delay == Py_HUGE_VAL || of->when != Py_HUGE_VAL) {
        return false;
    }
    int64_t nanoseconds = mod_nanoseconds_up(of->delay);
    bool is_long = nanoseconds >= LONG_DELAY;
    itr_deadline at = is_long ? itr_deadline_about(nanoseconds) : itr_deadline_after(nanoseconds);
    of->when = at == ITR_NEVER ? (double)itr_now() / 1e9 + of->delay : Py_NAN;
    of->deadline = at;
    return is_long;
}

/* What its entry has to know of its deadline. */
typedef struct {
    itr_deadline at;
    bool far; /* its time has just begun, and is long: it cannot have passed */
} entry_deadline;

/* `added`: see mod_scope_add_thread. */
MOD_SELDOM static int
complain_of_entry(int added)
{
    if (added < 0) {
        PyErr_NoMemory();
    }
    else if (added == 0) {
        PyErr_SetString(PyExc_RuntimeError, "it has been entered by this thread already, and not "
                                            "left: make an object for each block");
    }
    else {
        PyErr_SetString(PyExc_RuntimeError,
                        "this time limit has been entered before: make one for each `with` "
                        "statement; or a Scope, which several threads may enter, and reschedule() "
                        "that");
    }
    return -1;
}

/* Note that the calling thread is in it, and what its deadline is. `once`: as the only one, if it
   is a time limit. 0, or -1 with an exception set. */
static inline int
add_thread(mod_scope *of, bool once, mod_thread *thread, entry_deadline *deadline)
{
    uintptr_t thread_id = thread->record->thread_id;
    mod_scope_lock(of);
    bool used = once && of->kind != MOD_SCOPE_PLAIN && of->was_entered;
    deadline->far = !of->was_entered && begin_time(of);
    int added = mod_scope_add_thread(of, thread_id);
    bool good = added > 0 && !used;
    if (good) {
        of->entering++;
        thread->entering = (PyObject *)of;
    }
    else if (added > 0) {
        mod_scope_remove_thread(of, thread_id);
    }
    deadline->at = mod_scope_deadline(of);
    mod_scope_unlock(of);
    return good ? 0 : complain_of_entry(added);
}

/* A first entry has come to nothing: to a time limit it is as if there had been none; a plain scope
   has been left. */
static void
forget_entry(mod_scope *of)
{
    mod_scope_lock(of);
    of->was_entered = of->kind == MOD_SCOPE_PLAIN || mod_scope_is_in_use(of);
    if (!of->was_entered) {
        of->expired = false; /* nobody was in its block */
        of->when = isinf(of->delay) ? of->when : Py_HUGE_VAL;
    }
    mod_scope_unlock(of);
}

/* The same, after add_thread. */
MOD_SELDOM static void
remove_thread(mod_scope *of, mod_thread *thread)
{
    thread->entering = NULL;
    mod_scope_forget_entering((PyObject *)of, thread->record->thread_id);
    forget_entry(of);
}

/* Ask the calling thread for what has been asked of the scope. -1 with MemoryError set. */
MOD_SELDOM static int
ask_as_before(mod_scope *of, uintptr_t thread_id)
{
    mod_scope_lock(of);
    PyObject *exc_type = Py_XNewRef(of->exc_type);
    PyObject *reason = Py_XNewRef(of->reason);
    mod_scope_unlock(of);
    int status = mod_ask_scope(state_of_scope(of), thread_id, of->number, exc_type, reason, true);
    Py_XDECREF(exc_type);
    Py_XDECREF(reason);
    return status;
}

int
mod_complain_about_timer(int error)
{
    if (error == ENOMEM) {
        PyErr_NoMemory();
    }
    else {
        PyErr_SetString(PyExc_RuntimeError, "can't start the thread that watches deadlines");
    }
    return -1;
}

/* Who has set another deadline meanwhile has been told that the thread begins with it: whatever has
   come of the one before. What was asked is asked again. */
MOD_SELDOM static void
begin_anew(mod_scope *of, itr_record *record, itr_deadline deadline)
{
    itr_payload *dropped = NULL;
    itr_begin_scope_anew(record, of->number, deadline, &dropped);
    mod_payload_drop(dropped);
}

/* The calling thread has entered it, with that deadline: what has it missed meanwhile? 0, or -1
   with an exception set. */
static int
catch_up(mod_scope *of, mod_thread *thread, entry_deadline deadline)
{
    itr_record *record = thread->record;
    mod_scope_lock(of);
    for (itr_deadline newer; (newer = mod_scope_deadline(of)) != deadline.at;) {
        deadline = (entry_deadline){newer, false};
        mod_scope_unlock(of);
        begin_anew(of, record, newer);
        mod_scope_lock(of);
    }
    bool asked = of->asked;
    of->entering--;
    thread->entering = NULL;
    mod_scope_unlock(of);
    bool expired;
    int error = deadline.far ? itr_watch_far_deadline(record, deadline.at, &expired)
                             : itr_watch_deadline(record, deadline.at, &expired);
    if (error != 0) {
        return mod_complain_about_timer(error);
    }
    return asked && ask_as_before(of, record->thread_id) < 0 ? -1 : 0;
}

/* Its block could not be entered: an exception is set, and stays. */
MOD_SELDOM static void
enter_nothing(mod_thread *thread, mod_scope *of)
{
    mod_raised raised = mod_put_aside();
    if (of->shield) {
        (void)mod_leave_block(thread->tstate, &thread->blocks, thread->record, (PyObject *)of);
    }
    mod_settle(state_of_scope(of), thread, itr_flags(thread->record));
    mod_put_back(raised);
    if (thread->blocks.regions == 0) {
        mod_thread_lockset = NULL;
    }
}

/* The block and all that goes with it. -1 with an exception set, and nothing changed. */
static int
enter_block(mod_thread *thread, mod_scope *of, itr_deadline deadline)
{
    PyObject *self = (PyObject *)of;
    if (of->shield && mod_enter_block(thread->tstate, &thread->blocks, thread->record, self,
                                      MOD_BLOCK_SHIELD) < 0) {
        return -1;
    }
    if (mod_current_lockset() == NULL) {
        mod_lockset_begin(&thread->lockset);
    }
    uint64_t entered = mod_lockset_enter_scope(&thread->lockset);
    if (mod_enter_scope(thread->tstate, &thread->blocks, thread->record, self, of->number, deadline,
                        entered) >= 0) {
        return 0;
    }
    enter_nothing(thread, of);
    return -1;
}

/* Leave it again. -1 with an exception set, and nothing changed. */
static int
leave_block(mod_thread *thread, mod_scope *of, PyObject *exception, mod_left *left)
{
    PyObject *self = (PyObject *)of;
    itr_record *record = thread->record;
    /* What expires from here on is late. */
    bool expired = itr_requested(record) && itr_has_expired(record, of->number);
    if (mod_leave_scope(thread->tstate, &thread->blocks, record, self, exception, left) < 0) {
        return -1;
    }
    mod_scope_lock(of);
    mod_scope_remove_thread(of, record->thread_id);
    of->expired = of->expired || expired;
    expired = of->expired; /* also for another thread, whose exception this one may raise */
    mod_scope_unlock(of);
    if (!thread->blocks.several) { /* else it is as if it were in one more: that costs notes only */
        mod_lockset_leave_scope(&thread->lockset, mod_entered_of_innermost(&thread->blocks));
    }
    if (thread->blocks.regions == 0) {
        mod_thread_lockset = NULL;
        if (!mod_lockset_is_clear(&thread->lockset)) {
            mod_left_regions(state_of_scope(of), thread, exception != NULL && left->asked);
        }
    }
    if (of->shield) {
        (void)mod_leave_block(thread->tstate, &thread->blocks, record, self);
    }
    left->expired = expired;
    if (itr_flags(record) & MORE_TO_DO) {
        mod_nothing_waits(record);
        mod_settle(state_of_scope(of), thread, itr_flags(record));
    }
    return 0;
}

/* The calling thread's; NULL with an exception set. */
static mod_thread *
thread_of_now(const mod_scope *of)
{
    mod_thread *thread = mod_thread_self;
    return mod_is_thread_of_now(thread) && thread->started
               ? thread
               : mod_prepare_blocks(state_of_scope(of), 0);
}

static mod_thread *
enter_scope(mod_scope *of, bool once)
{
    entry_deadline deadline;
    mod_thread *thread = thread_of_now(of);
    if (thread == NULL || add_thread(of, once, thread, &deadline) < 0) {
        return NULL;
    }
    BEING_ENTERED();
    if (enter_block(thread, of, deadline.at) < 0) {
        remove_thread(of, thread);
        return NULL;
    }
    BEING_ENTERED();
    if (catch_up(of, thread, deadline) < 0) {
        mod_left left;
        mod_raised raised = mod_put_aside();
        (void)leave_block(thread, of, NULL, &left);
        forget_entry(of);
        mod_put_back(raised);
        return NULL;
    }
    /* What is asked of it already is not raised here, but at its first statement, wait or look: so
       it ends at its own exit (S26). */
    if (itr_flags(thread->record) & MORE_TO_DO) {
        mod_settle(state_of_scope(of), thread, itr_flags(thread->record));
    }
    return thread;
}

PyObject *
mod_scope_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (enter_scope((mod_scope *)self, false) == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Entered by `with`, in a thread that has been asked itself: if it is the thread's outermost
   region, leave it, and raise that (S7). 0, or -1 with an exception set. */
MOD_SELDOM static int
raise_what_was_asked(mod_thread *thread, mod_scope *of)
{
    mod_view view;
    mod_left left;
    mod_view_blocks(thread->tstate, &thread->blocks, &view);
    if (view.regions > 1 || view.shields > 0) {
        return 0;
    }
    if (leave_block(thread, of, NULL, &left) < 0) {
        return -1;
    }
    forget_entry(of);
    return mod_raise_request(state_of_scope(of), thread->record, MOD_THREAD_LEVEL);
}

PyObject *
mod_scope_enter_with(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_thread *thread = enter_scope((mod_scope *)self, true);
    if (thread == NULL) {
        return NULL;
    }
    if (itr_requested(thread->record) &&
        (itr_level_flags(thread->record, ITR_THREAD) & ITR_REQUESTED) &&
        raise_what_was_asked(thread, (mod_scope *)self) < 0) {
        return NULL;
    }
    return Py_NewRef(self);
}

/* Leaving. ------------------------------------------------------------------------------------ */

PyObject *
mod_scope_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_scope *of = (mod_scope *)self;
    mod_thread *thread = thread_of_now(of);
    PyObject *exception = nargs > 0 && args[0] != Py_None ? args[0] : NULL;
    mod_left left;
    if (thread == NULL || leave_block(thread, of, exception, &left) < 0) {
        return NULL;
    }
    return PyBool_FromLong(left.asked);
}

/* The time is up, and `stopped` was raised for that. */
static void
raise_timeout(mod_scope *of, PyObject *stopped)
{
    PyObject *text = NULL, *error = NULL;
    mod_scope_lock(of);
    double delay = of->delay, moment = mod_scope_moment(of);
    mod_scope_unlock(of);
    if (isinf(delay)) {
        PyObject *when = PyFloat_FromDouble(moment);
        text = when == NULL
                   ? NULL
                   : PyUnicode_FromFormat("not done by the deadline, %R of time.monotonic()", when);
        Py_XDECREF(when);
    }
    else {
        char *seconds = PyOS_double_to_string(delay, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
        text = seconds == NULL ? NULL : PyUnicode_FromFormat("not done within %s seconds", seconds);
        PyMem_Free(seconds);
    }
    if (text != NULL) {
        error = PyObject_CallOneArg(PyExc_TimeoutError, text);
        Py_DECREF(text);
    }
    if (error != NULL) {
        PyException_SetCause(error, Py_NewRef(stopped));
        PyErr_SetObject(PyExc_TimeoutError, error);
        Py_DECREF(error);
    }
}

PyObject *
mod_scope_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_scope *of = (mod_scope *)self;
    mod_thread *thread = thread_of_now(of);
    PyObject *exception = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    mod_left left;
    if (thread != NULL) {
        mod_leave_lost(thread, self, args, nargs);
    }
    if (thread == NULL || leave_block(thread, of, exception, &left) < 0) {
        return NULL;
    }
    /* What has been asked of an outer level meanwhile comes out in the place of what ends here: one
       exception, which ends there (S23). And at the end of a shield what has waited for it (S12).
     */
    bool opens = of->shield && exception == NULL;
    const mod_moment here = {.moment = MOD_AT_EXIT};
    if ((left.ends || opens) && mod_deliver(state_of_scope(of), thread, here) < 0) {
        return NULL;
    }
    bool raises = of->kind == MOD_SCOPE_TIMEOUT || of->kind == MOD_SCOPE_TIMEOUT_AT;
    if (left.ends && left.expired && raises && exception != NULL) { /* nothing else ends */
        raise_timeout(of, exception);
        return NULL;
    }
    return PyBool_FromLong(left.ends);
}

/* What concerns several threads that are in it. ------------------------------------------------ */

PyObject *
mod_scope_has_raised(PyObject *self, PyObject *exception)
{
    return PyBool_FromLong(mod_is_marked(exception, ((mod_scope *)self)->number));
}

/* Ask the calling thread for what has been asked of the scope, and for its deadline, unless it has
   been already. -1 with an exception set. */
static int
ask_for_the_same(mod_scope *of, itr_record *record)
{
    mod_scope_lock(of);
    bool asked = of->asked, limited = mod_scope_is_limited(of), expired;
    mod_scope_unlock(of);
    int error = limited ? itr_watch_deadlines(record, &expired) : 0;
    if (error != 0) {
        return mod_complain_about_timer(error);
    }
    bool already = itr_level_flags(record, of->number) & ITR_REQUESTED;
    return asked && !already ? ask_as_before(of, record->thread_id) : 0;
}

/* Is the calling thread in it? Then at that level. */
static bool
find_level_of(const mod_scope *of, mod_level *level)
{
    mod_thread *thread = mod_thread_self;
    *level = MOD_THREAD_LEVEL;
    while (mod_is_thread_of_now(thread) && mod_next_level(thread->tstate, &thread->blocks, level)) {
        if (level->number == of->number) {
            return true;
        }
    }
    return false;
}

PyObject *
mod_scope_is_entered(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_level level;
    return PyBool_FromLong(find_level_of((mod_scope *)self, &level));
}

PyObject *
mod_scope_raise_asked(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_scope *of = (mod_scope *)self;
    mod_thread *thread = thread_of_now(of);
    if (thread == NULL) {
        return NULL;
    }
    mod_level level;
    bool inside = find_level_of(of, &level);
    if (inside && ask_for_the_same(of, thread->record) < 0) {
        return NULL;
    }
    bool waits = inside && (itr_level_flags(thread->record, of->number) & ITR_PENDING);
    if (waits && mod_raise_request(state_of_scope(of), thread->record, level) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

bool
mod_scope_is_in_force(mod_thread *thread, mod_level level)
{
    mod_view view;
    mod_view_level(thread->tstate, &thread->blocks, level, &view);
    uint32_t flags = mod_level_flags(&thread->blocks, thread->record, level);
    return view.shields == 0 && (flags & (ITR_REQUESTED | ITR_PENDING)) != ITR_REQUESTED;
}

PyObject *
mod_scopes_in_force(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_thread *thread = mod_thread_self;
    PyObject *all = PyList_New(0);
    PyObject *scopes = all == NULL ? NULL : PyList_New(0);
    bool shielded = false;
    if (scopes != NULL && mod_is_thread_of_now(thread)) {
        mod_view view;
        mod_view_blocks(thread->tstate, &thread->blocks, &view);
        shielded = view.shields > 0;
        mod_level level = MOD_THREAD_LEVEL;
        while (scopes != NULL && mod_next_level(thread->tstate, &thread->blocks, &level)) {
            PyObject *scope = mod_scope_of_level(thread->tstate, &thread->blocks, level);
            if (PyList_Append(all, scope) < 0 ||
                (mod_scope_is_in_force(thread, level) && PyList_Append(scopes, scope) < 0)) {
                Py_CLEAR(scopes);
            }
        }
    }
    if (scopes == NULL) {
        Py_XDECREF(all);
        return NULL;
    }
    return Py_BuildValue("(NNN)", PyBool_FromLong(shielded), scopes, all);
}
