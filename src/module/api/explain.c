/* See explain.h. The thread is looked at while it cannot run; what is said of it was true then. */
#include "api/explain.h"

#include "cpython/compat.h"
#include "delivery/obstacles.h"
#include "safepoints/code.h"
#include "safepoints/protected.h"
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

/* Frames, innermost first. */
typedef struct {
    PyCodeObject *code; /* strong */
    int lasti;
    bool protected;
} place;

typedef struct {
    mod_state *state;
    mod_thread *thread;
    uint32_t flags;
    const PyObject *scope; /* whose request is explained, or NULL: the thread's own */
    mod_obstacle obstacle;
    PyObject *lock; /* that it holds; strong, or NULL: to be dropped without our mutex */
    place *stack;
    size_t count;
    size_t capacity;
} inspection;

static void
add_place(inspection *to, const mod_walk *walk)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity == 0 ? 32 : 2 * to->capacity;
        place *larger = PyMem_RawRealloc(to->stack, capacity * sizeof(*to->stack));
        if (larger == NULL) {
            return; /* the stack is cut short */
        }
        to->stack = larger;
        to->capacity = capacity;
    }
    to->stack[to->count++] = (place){
        .code = (PyCodeObject *)Py_NewRef((PyObject *)walk->code),
        .lasti = PyFrame_GetLasti(walk->frame),
        .protected = mod_is_protected_frame(to->state, walk->frame, walk->code),
    };
}

static void
inspect(void *arg)
{
    inspection *to = arg;
    /* Who asks about itself does not want to hear of `explain`, which called us. */
    bool self = to->thread == mod_thread_self;
    const mod_moment anywhere = {.moment = self ? MOD_AT_CALLER : MOD_AT_WORK};
    mod_thread *thread = to->thread;
    mod_level level = mod_find_pending(thread->tstate, &thread->blocks, thread->record, false);
    to->scope = mod_scope_of_level(thread->tstate, &thread->blocks, level);
    /* Also what waits outside of a shield. */
    to->flags = itr_flags(thread->record) |
                (mod_level_flags(&thread->blocks, thread->record, level) & ITR_PENDING);
    mod_find_obstacle(to->state, thread, level, anywhere, &to->obstacle);
    mod_walk walk = mod_walk_begin(thread->tstate);
    if (self) {
        mod_walk_on(&walk);
    }
    for (; walk.frame != NULL; mod_walk_on(&walk)) {
        add_place(to, &walk); /* what is lost cuts the stack short */
    }
    mod_walk_end(&walk);
}

static PyObject *
describe_stack(const inspection *of)
{
    PyObject *list = PyList_New((Py_ssize_t)of->count);
    for (size_t i = 0; i < of->count && list != NULL; i++) {
        /* outermost first, as tracebacks are shown */
        const place *at = &of->stack[of->count - 1 - i];
        PyObject *where = mod_describe_place(at->code, at->lasti);
        PyObject *described =
            where == NULL ? NULL : Py_BuildValue("(OO)", where, at->protected ? Py_True : Py_False);
        Py_XDECREF(where);
        if (described == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, described);
    }
    return list;
}

static PyObject *
describe_inspection(const inspection *of)
{
    PyObject *where = mod_describe_place(of->obstacle.code, of->obstacle.lasti);
    PyObject *stack = where == NULL ? NULL : describe_stack(of);
    PyObject *result = NULL;
    if (stack != NULL) {
        result = Py_BuildValue("(OOsiOO)", of->flags & ITR_REQUESTED ? Py_True : Py_False,
                               of->flags & ITR_PENDING ? Py_True : Py_False,
                               states[of->obstacle.kind], of->obstacle.detail, where, stack);
    }
    Py_XDECREF(where);
    Py_XDECREF(stack);
    return result;
}

static void
release_inspection(inspection *of)
{
    for (size_t i = 0; i < of->count; i++) {
        Py_DECREF(of->stack[i].code);
    }
    PyMem_RawFree(of->stack);
    Py_XDECREF(of->obstacle.code);
    Py_XDECREF(of->lock);
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
            mod_other_holds_lock(&found.thread->lockset, found.scope, &found.lock,
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
        for (size_t i = 0; i < found.count; i++) {
            (void)mod_code_of(found.stack[i].code);
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
        const inspection found = {.obstacle.kind = MOD_NOT_OPEN,
                                  .flags = asked ? ITR_REQUESTED | ITR_PENDING : 0};
        result = describe_inspection(&found);
    }
    mod_release_target(&target);
    return result;
}
