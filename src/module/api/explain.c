/* See explain.h. The thread is looked at while it cannot run; what is said of it was true then. */
#include "api/explain.h"

#include "cpython/compat.h"
#include "delivery/obstacles.h"
#include "safepoints/code.h"
#include "safepoints/protected.h"
#include "thread/target.h"

/* The names of obstacles, as users see them; by interruption_obstacle_kind. */
static const char *const states[] = {
    [INTERRUPTION_NOTHING] = "running",
    [INTERRUPTION_NOT_OPEN] = "not in a region",
    [INTERRUPTION_SHIELDED] = "shielded",
    [INTERRUPTION_SWITCHED_OFF] = "switched off",
    [INTERRUPTION_LOCKS_UNKNOWN] = "locks unknown",
    [INTERRUPTION_REFUSED] = "refused",
    [INTERRUPTION_PACKAGES_OWN] = "in a package's own code",
    [INTERRUPTION_PROTECTED] = "in protected code",
    [INTERRUPTION_CLEANUP] = "in cleanup",
    [INTERRUPTION_IMPORTING] = "importing",
    [INTERRUPTION_SWALLOWED] = "in a callback",
    [INTERRUPTION_LOCK_HELD] = "holding a lock",
    [INTERRUPTION_IN_STATEMENT] = "running",
    [INTERRUPTION_NOT_ANALYSED] = "running",
};

/* Frames, innermost first. */
typedef struct {
    PyCodeObject *code; /* strong */
    int lasti;
    bool protected;
} place;

typedef struct {
    interruption_state *state;
    interruption_thread *thread;
    uint32_t flags;
    interruption_obstacle obstacle;
    PyObject *lock; /* that it holds; strong, or NULL: to be dropped without our mutex */
    place *stack;
    size_t count;
    size_t capacity;
} inspection;

static void
add_place(inspection *to, const interruption_walk *walk)
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
        .protected = interruption_is_protected_frame(to->state, walk->frame, walk->code),
    };
}

static void
inspect(void *arg)
{
    inspection *to = arg;
    /* Who asks about itself does not want to hear of `explain`, which called us. */
    bool self = to->thread == interruption_thread_self;
    const interruption_moment anywhere = {.moment =
                                              self ? INTERRUPTION_AT_CALLER : INTERRUPTION_AT_WORK};
    to->flags = itr_flags(to->thread->record);
    interruption_find_obstacle(to->state, to->thread, anywhere, &to->obstacle);
    interruption_walk walk = interruption_walk_begin(to->thread->tstate);
    if (self) {
        interruption_walk_on(&walk);
    }
    for (; walk.frame != NULL; interruption_walk_on(&walk)) {
        add_place(to, &walk); /* what is lost cuts the stack short */
    }
    interruption_walk_end(&walk);
}

static PyObject *
describe_stack(const inspection *of)
{
    PyObject *list = PyList_New((Py_ssize_t)of->count);
    for (size_t i = 0; i < of->count && list != NULL; i++) {
        /* outermost first, as tracebacks are shown */
        const place *at = &of->stack[of->count - 1 - i];
        PyObject *where = interruption_describe_place(at->code, at->lasti);
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
    PyObject *where = interruption_describe_place(of->obstacle.code, of->obstacle.lasti);
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
inspect_once(interruption_state *state, const itr_record *record)
{
    inspection found = {.state = state, .flags = itr_flags(record)};
    interruption_obstacle *obstacle = &found.obstacle;
    obstacle->kind = INTERRUPTION_NOT_OPEN;
    interruption_lock_threads();
    found.thread = interruption_thread_of(record);
    if (found.thread != NULL) {
        interruption_while_stopped(inspect, &found);
        if (obstacle->kind == INTERRUPTION_NOTHING &&
            interruption_other_holds_lock(&found.thread->lockset, &found.lock,
                                          (PyObject **)&obstacle->code, &obstacle->lasti)) {
            obstacle->kind = INTERRUPTION_LOCK_HELD;
        }
    }
    interruption_unlock_threads();
    return found;
}

/* What it runs may be new each time. */
enum { EXPLAINING_ROUNDS = 8 };

/* Of a live thread that has looked before. */
static PyObject *
inspect_record(interruption_state *state, const itr_record *record)
{
    inspection found = inspect_once(state, record);
    for (int round = 1;
         found.obstacle.kind == INTERRUPTION_NOT_ANALYSED && round < EXPLAINING_ROUNDS; round++) {
        for (size_t i = 0; i < found.count; i++) {
            (void)interruption_code_of(found.stack[i].code);
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
interruption_inspect(PyObject *module, PyObject *thread)
{
    interruption_state *state = interruption_get_state(module);
    interruption_target target;
    PyObject *result;
    if (!interruption_find_live(state, thread, &target, Py_None, &result)) {
        return result;
    }
    if (target.record != NULL) {
        result = inspect_record(state, target.record);
    }
    else {
        bool asked = itr_asked(target.thread);
        const inspection found = {.obstacle.kind = INTERRUPTION_NOT_OPEN,
                                  .flags = asked ? ITR_REQUESTED | ITR_PENDING : 0};
        result = describe_inspection(&found);
    }
    interruption_release_target(&target);
    return result;
}
