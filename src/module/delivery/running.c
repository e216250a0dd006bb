/* See running.h. */
#include "delivery/running.h"

#include "cpython/compat.h"

/* Takes the references. */
static void
add_code(PyCodeObject *code, PyObject *globals, mod_running *to)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity == 0 ? 16 : 2 * to->capacity;
        mod_running_code *larger = PyMem_RawRealloc(to->codes, capacity * sizeof(*to->codes));
        if (larger == NULL) {
            Py_DECREF(code);
            Py_XDECREF(globals);
            return;
        }
        to->codes = larger;
        to->capacity = capacity;
    }
    to->codes[to->count++] = (mod_running_code){code, globals};
}

static void
add_frame(PyFrameObject *frame, void *arg)
{
    mod_running *to = arg;
    PyCodeObject *code = PyFrame_GetCode(frame);
    if (to->count > 0 && to->codes[to->count - 1].code == code) {
        Py_DECREF(code); /* a recursion */
        return;
    }
    add_code(code, PyFrame_GetGlobals(frame), to);
}

/* An attribute of a generator, coroutine or asynchronous generator, by the first of its three names
   that fits: a new reference, or NULL with no exception set. */
static PyObject *
attribute_of(PyObject *generator, const char *const names[3])
{
    int kind = PyGen_CheckExact(generator) ? 0 : PyCoro_CheckExact(generator) ? 1 : 2;
    PyObject *value = PyObject_GetAttrString(generator, names[kind]);
    PyErr_Clear();
    return value;
}

/* A suspended generator, and what it waits for by `yield from` or `await`, and so on: all that runs
   when it is resumed. Takes the reference. */
static void
add_chain(PyObject *generator, mod_running *to)
{
    static const char *const frame_names[] = {"gi_frame", "cr_frame", "ag_frame"};
    static const char *const awaited_names[] = {"gi_yieldfrom", "cr_await", "ag_await"};
    while (generator != NULL) {
        PyObject *frame = attribute_of(generator, frame_names);
        if (frame != NULL && PyFrame_Check(frame)) {
            add_frame((PyFrameObject *)frame, to);
        }
        Py_XDECREF(frame);
        PyObject *awaited = attribute_of(generator, awaited_names);
        Py_DECREF(generator);
        if (awaited != NULL && !PyGen_CheckExact(awaited) && !PyCoro_CheckExact(awaited)) {
            Py_CLEAR(awaited);
        }
        generator = awaited;
    }
}

/* A generator that has entered a region: nothing tells when it is resumed. */
static void
add_generator(PyFrameObject *frame, mod_running *to)
{
    PyObject *generator = PyFrame_GetGenerator(frame);
    if (generator != NULL) {
        add_chain(generator, to);
    }
    else {
        add_frame(frame, to);
    }
}

/* What has entered a region, and may be suspended. Of a greenlet or a compiled generator the frames
   are not known, but where its regions were entered: there it comes back to. */
static void
add_context(const mod_context *context, void *arg)
{
    if (context->owner != NULL) {
        add_generator(context->owner, arg);
        return;
    }
    for (uint32_t i = 0; i < context->count; i++) {
        const mod_block *block = &context->blocks[i];
        if (block->code != NULL && !(block->kind & MOD_BLOCK_SHIELD)) {
            add_code((PyCodeObject *)Py_NewRef((PyObject *)block->code), NULL, arg);
        }
    }
}

/* While the thread cannot run. */
static void
find_running(void *arg)
{
    mod_running *to = arg;
    const mod_thread *thread = to->thread;
    mod_view view;
    mod_view_blocks(thread->tstate, &thread->blocks, &view);
    /* Those that are lost are found when they are entered again. */
    mod_walk walk = mod_walk_begin(thread->tstate);
    for (bool last = view.region == NULL; walk.frame != NULL && !last; mod_walk_on(&walk)) {
        add_frame(walk.frame, to);
        last = mod_is_frame_of(view.region, walk.frame);
    }
    mod_walk_end(&walk);
    mod_visit_contexts(thread->tstate, &thread->blocks, add_context, to);
}

void
mod_find_running(const mod_thread *thread, mod_running *found)
{
    *found = (mod_running){.thread = thread};
    mod_while_stopped(find_running, found);
}

/* What a call runs. --------------------------------------------------------------------------- */

/* A function or method in Python; what else it is cannot be told. */
static bool
find_function(PyObject *function, mod_running_code *found)
{
    if (PyMethod_Check(function)) {
        function = PyMethod_GET_FUNCTION(function);
    }
    if (!PyFunction_Check(function)) {
        return false;
    }
    found->code = (PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(function));
    found->globals = Py_NewRef(PyFunction_GET_GLOBALS(function));
    return true;
}

bool
mod_find_called(PyObject *callable, mod_running_code *found)
{
    if (PyFunction_Check(callable) || PyMethod_Check(callable)) {
        return find_function(callable, found);
    }
    PyTypeObject *type = PyType_Check(callable) ? (PyTypeObject *)callable : Py_TYPE(callable);
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return false; /* one in C, that is not made at run time */
    }
    PyObject *special = mod_find_in_class(type, PyType_Check(callable) ? "__init__" : "__call__");
    bool is_function = special != NULL && find_function(special, found);
    Py_XDECREF(special);
    return is_function;
}
