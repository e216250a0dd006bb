/* See explain.h. The thread is looked at while it cannot run; what is said of it was true then. */
#include "api/explain.h"

#include "cpython/compat.h"
#include "delivery/obstacles.h"
#include "safepoints/code.h"
#include "safepoints/protected.h"
#include "thread/payload.h"
#include "thread/target.h"

/* The names of obstacles, as users see them; by mod_obstacle_kind. */
static const char *const states[] = {
    [MOD_NOTHING] = "running",
    [MOD_NOT_OPEN] = "not in a region",
    [MOD_SHIELDED] = "shielded",
    [MOD_SWITCHED_OFF] = "switched off",
    [MOD_LOCKS_UNKNOWN] = "locks unknown",
    [MOD_REFUSED] = "refused",
    [MOD_PACKAGES_OWN] = "in a package's own code",
    [MOD_PROTECTED] = "in protected code",
    [MOD_CLEANUP] = "in cleanup",
    [MOD_IMPORTING] = "importing",
    [MOD_SWALLOWED] = "in a callback",
    [MOD_LOCK_HELD] = "holding a lock",
    [MOD_IN_STATEMENT] = "running",
    [MOD_NOT_ANALYSED] = "running",
};

/* Of a frame, or where a scope was entered. */
typedef struct {
    PyCodeObject *code; /* strong */
    int lasti;
    bool protected;
} place;

typedef struct {
    place *items;
    size_t count;
    size_t capacity;
} places;

/* What has been asked. Strong references, or NULL. */
typedef struct {
    PyObject *scope;    /* of whom; NULL: of the thread itself */
    uint64_t entered;   /* see mod_holds_lock */
    PyCodeObject *code; /* where it was entered, */
    int lasti;
    PyObject *exc_type; /* NULL: ThreadExit */
    PyObject *reason;
    bool timed; /* it was the deadline that asked */
} request_seen;

typedef struct {
    mod_state *state;
    mod_thread *thread;
    uint32_t flags;
    request_seen asked; /* what is explained */
    mod_obstacle obstacle;
    PyObject *lock; /* that it holds; strong, or NULL: to be dropped without our mutex */
    places stack;   /* frames, innermost first */
    places scopes;  /* where they were entered, outermost first */
} inspection;

/* Without memory it is left out. */
static void
add_place(places *to, PyCodeObject *code, int lasti, bool protected)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity == 0 ? 32 : 2 * to->capacity;
        place *larger = PyMem_RawRealloc(to->items, capacity * sizeof(*to->items));
        if (larger == NULL) {
            return;
        }
        to->items = larger;
        to->capacity = capacity;
    }
    to->items[to->count++] = (place){
        .code = (PyCodeObject *)Py_NewRef((PyObject *)code),
        .lasti = lasti,
        .protected = protected,
    };
}

static void
drop_places(places *of)
{
    for (size_t i = 0; i < of->count; i++) {
        Py_DECREF(of->items[i].code);
    }
    PyMem_RawFree(of->items);
}

static void
add_scopes(inspection *to, const mod_thread *thread)
{
    mod_level level = MOD_THREAD_LEVEL;
    while (mod_next_level(thread->tstate, &thread->blocks, &level)) {
        const mod_block *block = mod_block_of_level(thread->tstate, &thread->blocks, level);
        if (block->code != NULL) {
            add_place(&to->scopes, block->code, block->lasti, false);
        }
    }
}

/* The level whose request is explained: the outermost that waits; else that was stopped. */
static mod_level
find_asked(const mod_thread *thread)
{
    mod_level level = mod_find_pending(thread->tstate, &thread->blocks, thread->record, false);
    uint32_t flags = mod_level_flags(&thread->blocks, thread->record, level);
    mod_level stopped = level;
    while (!(flags & ITR_REQUESTED) && mod_next_level(thread->tstate, &thread->blocks, &stopped)) {
        flags = mod_level_flags(&thread->blocks, thread->record, stopped);
    }
    return flags & ITR_REQUESTED ? stopped : level;
}

static void
see_request(inspection *to, mod_level level)
{
    const mod_thread *thread = to->thread;
    const mod_block *block = mod_block_of_level(thread->tstate, &thread->blocks, level);
    const mod_payload *payload =
        (mod_payload *)itr_asked_for(thread->record, level.number, &to->asked.timed);
    if (block != NULL) {
        to->asked.scope = Py_NewRef(block->object);
        to->asked.entered = block->entered;
        to->asked.code = (PyCodeObject *)Py_XNewRef((PyObject *)block->code);
        to->asked.lasti = block->lasti;
    }
    if (payload != NULL) {
        to->asked.exc_type = Py_XNewRef(payload->exc_type);
        to->asked.reason = Py_XNewRef(payload->reason);
    }
}

static void
inspect(void *arg)
{
    inspection *to = arg;
    /* Who asks about itself does not want to hear of `explain`, which called us. */
    bool self = to->thread == mod_thread_self;
    const mod_moment anywhere = {.moment = self ? MOD_AT_CALLER : MOD_AT_WORK};
    mod_thread *thread = to->thread;
    mod_level level = find_asked(thread);
    see_request(to, level);
    /* Also what waits outside of a shield. */
    to->flags = itr_flags(thread->record) |
                (mod_level_flags(&thread->blocks, thread->record, level) & ITR_PENDING);
    mod_find_obstacle(to->state, thread, level, anywhere, &to->obstacle);
    add_scopes(to, thread);
    mod_walk walk = mod_walk_begin(thread->tstate);
    if (self) {
        mod_walk_on(&walk);
    }
    for (; walk.frame != NULL; mod_walk_on(&walk)) {
        add_place(&to->stack, walk.code, PyFrame_GetLasti(walk.frame),
                  mod_is_protected_frame(to->state, walk.frame, walk.code));
    }
    mod_walk_end(&walk);
}

static PyObject *
describe_places(const places *of)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < of->count && list != NULL; i++) {
        const place *at = &of->items[i];
        PyObject *where = mod_describe_place(at->code, at->lasti);
        PyObject *described =
            where == NULL ? NULL : Py_BuildValue("(NN)", where, PyBool_FromLong(at->protected));
        if (described == NULL || PyList_Append(list, described) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(described);
    }
    return list;
}

/* (scope or None, where it was entered or None, exception class, reason or None) */
static PyObject *
describe_request(const inspection *of)
{
    const request_seen *asked = &of->asked;
    PyObject *entered = mod_describe_place(asked->code, asked->lasti);
    PyObject *reason = asked->reason != NULL ? Py_NewRef(asked->reason)
                       : asked->timed        ? PyUnicode_FromString("deadline")
                                             : Py_NewRef(Py_None);
    if (entered == NULL || reason == NULL) {
        Py_XDECREF(entered);
        Py_XDECREF(reason);
        return NULL;
    }
    PyObject *exc_type =
        asked->exc_type != NULL ? asked->exc_type : (PyObject *)of->state->thread_exit;
    return Py_BuildValue("(ONON)", asked->scope == NULL ? Py_None : asked->scope, entered, exc_type,
                         reason);
}

static PyObject *
describe_inspection(const inspection *of)
{
    PyObject *where = mod_describe_place(of->obstacle.code, of->obstacle.lasti);
    PyObject *stack = where == NULL ? NULL : describe_places(&of->stack);
    PyObject *asked = stack == NULL ? NULL : describe_request(of);
    PyObject *scopes = asked == NULL ? NULL : describe_places(&of->scopes);
    PyObject *result = NULL;
    if (scopes != NULL) {
        result =
            Py_BuildValue("(OOsiOOOO)", of->flags & ITR_REQUESTED ? Py_True : Py_False,
                          of->flags & ITR_PENDING ? Py_True : Py_False, states[of->obstacle.kind],
                          of->obstacle.detail, where, stack, asked, scopes);
    }
    Py_XDECREF(scopes);
    Py_XDECREF(asked);
    Py_XDECREF(where);
    Py_XDECREF(stack);
    return result;
}

static void
release_inspection(inspection *of)
{
    drop_places(&of->stack);
    drop_places(&of->scopes);
    Py_XDECREF(of->obstacle.code);
    Py_XDECREF(of->lock);
    Py_XDECREF(of->asked.scope);
    Py_XDECREF(of->asked.code);
    Py_XDECREF(of->asked.exc_type);
    Py_XDECREF(of->asked.reason);
}

static inspection
inspect_once(mod_state *state, const itr_record *record)
{
    inspection found = {.state = state, .flags = itr_flags(record)};
    mod_obstacle *obstacle = &found.obstacle;
    obstacle->kind = MOD_NOT_OPEN;
    mod_lock_threads();
    found.thread = mod_thread_of(record);
    if (found.thread != NULL) {
        mod_while_stopped(inspect, &found);
        if (obstacle->kind == MOD_NOTHING &&
            mod_other_holds_lock(&found.thread->lockset, found.asked.entered, &found.lock,
                                 (PyObject **)&obstacle->code, &obstacle->lasti)) {
            obstacle->kind = MOD_LOCK_HELD;
        }
    }
    mod_unlock_threads();
    return found;
}

/* What it runs may be new each time. */
enum { EXPLAINING_ROUNDS = 8 };

/* Of a live thread that has looked before. */
static PyObject *
inspect_record(mod_state *state, const itr_record *record)
{
    inspection found = inspect_once(state, record);
    for (int round = 1; found.obstacle.kind == MOD_NOT_ANALYSED && round < EXPLAINING_ROUNDS;
         round++) {
        for (size_t i = 0; i < found.stack.count; i++) {
            (void)mod_code_of(found.stack.items[i].code);
            PyErr_Clear(); /* no memory: it is not known, then */
        }
        release_inspection(&found);
        found = inspect_once(state, record);
    }
    /* It may have ended while we came here. */
    bool ended = found.thread == NULL && (itr_flags(record) & ITR_ENDED);
    PyObject *result = ended ? Py_NewRef(Py_None) : describe_inspection(&found);
    release_inspection(&found);
    return result;
}

PyObject *
mod_inspect(PyObject *module, PyObject *thread)
{
    mod_state *state = mod_get_state(module);
    mod_target target;
    PyObject *result;
    if (!mod_find_live(state, thread, &target, Py_None, &result)) {
        return result;
    }
    if (target.record != NULL) {
        result = inspect_record(state, target.record);
    }
    else {
        bool asked = itr_asked(target.thread);
        const inspection found = {.state = state,
                                  .obstacle.kind = MOD_NOT_OPEN,
                                  .flags = asked ? ITR_REQUESTED | ITR_PENDING : 0};
        result = describe_inspection(&found);
    }
    mod_release_target(&target);
    return result;
}
