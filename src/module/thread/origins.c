/* See origins.h. */
#include "thread/origins.h"

#include "safepoints/code.h"

bool
mod_is_wrapper(const PyCodeObject *code)
{
    static const enum mod_name names[] = {MOD_ENTER, MOD_EXIT,          MOD_AENTER,
                                          MOD_AEXIT, MOD_ENTER_CONTEXT, MOD_ENTER_ASYNC_CONTEXT};
    size_t i = 0, count = sizeof(names) / sizeof(*names);
    while (i < count && !mod_is_named(code, (int)names[i])) {
        i++;
    }
    return i < count;
}

bool
mod_is_entering(const PyCodeObject *code)
{
    return !mod_is_named(code, MOD_EXIT) && !mod_is_named(code, MOD_AEXIT);
}

static bool
runs_code(PyFrameObject *frame, bool (*such)(const PyCodeObject *code))
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool answer = such(code);
    Py_DECREF(code);
    return answer;
}

static bool
is_coroutine(const PyCodeObject *code)
{
    return (code->co_flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE)) != 0;
}

static bool
is_plain_generator(const PyCodeObject *code)
{
    return (code->co_flags & CO_GENERATOR) && !is_coroutine(code);
}

/* One that is called so and is a generator is no method that a `with` statement calls. */
static bool
enters_for_others(const PyCodeObject *code)
{
    return mod_is_wrapper(code) && (!mod_is_generator_code(code) || is_coroutine(code));
}

/* Is the innermost generator, a compiled one, what the frame drives, as an `__enter__` or
   `__exit__` of contextlib.contextmanager does? Else it has called the frame. */
static bool
drives(PyFrameObject *frame, const void *generator)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *manager = code->co_argcount > 0 ? mod_frame_argument(frame, code, 0) : NULL;
    const char *type = manager == NULL ? "" : Py_TYPE(manager)->tp_name;
    PyObject *driven = NULL;
    if (strcmp(type, "_GeneratorContextManager") == 0 ||
        strcmp(type, "_AsyncGeneratorContextManager") == 0) {
        driven = PyObject_GetAttrString(manager, "gen");
        PyErr_Clear();
    }
    const char *begin = (const char *)driven, *place = generator;
    bool inside = driven != NULL && place > begin && place < begin + Py_TYPE(driven)->tp_basicsize;
    Py_XDECREF(driven);
    Py_XDECREF(manager);
    Py_DECREF(code);
    return inside;
}

/* What is known of where the frame is: MOD_SAFEPOINT_*, and its cleanup. */
static unsigned
flags_of_frame(PyFrameObject *frame, mod_cleanup *cleanup)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    const mod_code *known = mod_code_of(code);
    PyErr_Clear(); /* no memory: then nothing is known */
    int lasti = PyFrame_GetLasti(frame);
    *cleanup = known == NULL ? MOD_IN_UNKNOWN : mod_safepoint_cleanup(known->points, lasti, -1);
    unsigned flags = known == NULL ? 0 : mod_safepoint_flags(known->points, lasti);
    Py_DECREF(code);
    return flags;
}

/* Is the frame at the entry of a `with` statement of its own? `whole`: of one in whose block it is
   not suspended. */
static bool
is_at_with(PyFrameObject *frame, bool whole)
{
    mod_cleanup cleanup;
    unsigned flags = flags_of_frame(frame, &cleanup);
    return whole ? (flags & MOD_SAFEPOINT_NO_YIELD) != 0 : cleanup == MOD_IN_WITH_ENTRY;
}

/* Is it a generator that does by `yield from` what one does that it has called? */
static bool
delegates(PyFrameObject *frame)
{
    mod_cleanup cleanup;
    return runs_code(frame, is_plain_generator) &&
           (flags_of_frame(frame, &cleanup) & MOD_SAFEPOINT_DELEGATES) != 0;
}

/* Does a wrapper drive the generator that the frame has called or resumed: that itself, or one that
   does by `yield from` what it does? */
static bool
is_driver(PyFrameObject *frame, bool *lost)
{
    Py_XINCREF(frame);
    while (frame != NULL && delegates(frame)) {
        frame = mod_frame_back(frame, lost);
    }
    bool answer = frame != NULL && runs_code(frame, enters_for_others);
    Py_XDECREF(frame);
    return answer;
}

/*
 * Outwards from the innermost frame, wrappers are passed over: frames of `__enter__`, `__exit__`
 * and ExitStack's methods, and generators that such a frame drives, as contextlib.contextmanager
 * has them, itself or by way of `yield from`. (But not one at a `with` statement of its own, if a
 * generator is not suspended in that; nor a coroutine that has entered by it what nobody else
 * leaves.) What comes first then is the frame whose block it is. If that or one below it is a
 * generator, the block belongs to the generator; and to a compiled one, which has no frame, if that
 * runs above all others. A wrapper is no such generator, whatever its own block: it is passed over
 * when that is left.
 */
void
mod_find_origin(PyThreadState *tstate, mod_origin *found)
{
    *found = (mod_origin){.loose = false};
    const void *running = mod_generator_now(tstate);
    PyFrameObject *frame = mod_frame_innermost(tstate, &found->lost);
    if (frame != NULL && mod_compiled_generator_runs(tstate) && runs_code(frame, mod_is_wrapper) &&
        drives(frame, running)) {
        running = mod_generator_below(tstate, running);
    }
    while (frame != NULL && found->generator == NULL && found->compiled == NULL) {
        PyFrameObject *back =
            mod_frame_back((PyFrameObject *)Py_NewRef((PyObject *)frame), &found->lost);
        bool generator = runs_code(frame, mod_is_generator_code);
        bool coroutine = runs_code(frame, is_coroutine);
        bool searched = found->base == NULL, innermost = searched && !found->loose;
        bool wrapper =
            runs_code(frame, enters_for_others) || (generator && is_driver(back, &found->lost));
        if (found->lost) {
            Py_XDECREF(back);
            running = NULL;
            break;
        }
        if (wrapper && coroutine && innermost && is_at_with(frame, false)) {
            wrapper = false;
        }
        bool own = wrapper && searched && is_at_with(frame, generator);
        found->coroutine = found->coroutine || (coroutine && searched);
        bool runs = generator && mod_is_generator_of(running, frame);
        if (wrapper && !own) {
            found->loose = true;
        }
        else if (searched) {
            found->base = (PyFrameObject *)Py_NewRef((PyObject *)frame);
        }
        if (generator && !runs && running != NULL) {
            found->compiled = running;
        }
        else if (generator && !wrapper) {
            found->generator = (PyFrameObject *)Py_NewRef((PyObject *)frame);
        }
        else if (runs) {
            running = mod_generator_below(tstate, running);
        }
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    if (found->generator == NULL && found->compiled == NULL) {
        found->compiled = running; /* nearly always NULL: none */
    }
}

void
mod_release_origin(mod_origin *found)
{
    Py_XDECREF(found->generator);
    Py_XDECREF(found->base);
}
