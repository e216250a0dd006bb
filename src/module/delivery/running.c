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
static void
add_function(PyObject *function, mod_running *to)
{
    if (PyMethod_Check(function)) {
        function = PyMethod_GET_FUNCTION(function);
    }
    if (PyFunction_Check(function)) {
        add_code((PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(function)),
                 Py_NewRef(PyFunction_GET_GLOBALS(function)), to);
    }
}

/* What a class has under that name. */
static void
add_special(PyTypeObject *type, const char *name, mod_running *to)
{
    PyObject *function = mod_find_in_class(type, name);
    if (function != NULL) {
        add_function(function, to);
        Py_DECREF(function);
    }
}

/* What C code keeps in an object under that name, if no Python code has to be run to know: a new
   reference, or NULL with no exception set. */
static PyObject *
kept_in(PyObject *object, const char *name)
{
    PyObject *place = mod_find_in_class(Py_TYPE(object), name);
    PyObject *kept = NULL;
    if (place != NULL &&
        (Py_IS_TYPE(place, &PyGetSetDescr_Type) || Py_IS_TYPE(place, &PyMemberDescr_Type))) {
        kept = Py_TYPE(place)->tp_descr_get(place, object, (PyObject *)Py_TYPE(object));
        PyErr_Clear();
    }
    Py_XDECREF(place);
    return kept;
}

/* The coroutine of a task of asyncio's, if that is one and is written in C: a new reference, or
   NULL with no exception set. */
static PyObject *
coroutine_of(PyObject *task)
{
    const PyAsyncMethods *slots = Py_TYPE(task)->tp_as_async;
    if (slots == NULL || slots->am_await == NULL) {
        return NULL; /* nearly everything: no need to search */
    }
    PyObject *method = mod_find_in_class(Py_TYPE(task), "get_coro");
    PyObject *coroutine = NULL;
    if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type) &&
        strcmp(PyDescr_TYPE(method)->tp_name, "_asyncio.Task") == 0) {
        coroutine = PyObject_CallOneArg(method, task);
        PyErr_Clear();
    }
    Py_XDECREF(method);
    return coroutine;
}

typedef struct {
    PyObject *generator; /* a reference, for whoever looks */
    mod_running *to;
} resumed;

static void
find_resumed(void *arg)
{
    const resumed *at = arg;
    add_chain(at->generator, at->to);
}

/* A generator or coroutine. Takes the reference; what else it is cannot be told. */
static void
add_resumed(PyObject *generator, mod_running *to)
{
    if (PyGen_CheckExact(generator) || PyCoro_CheckExact(generator)) {
        resumed what = {generator, to};
        mod_while_stopped(find_resumed, &what); /* another thread may run it */
    }
    else {
        Py_DECREF(generator);
    }
}

/* What a callable in C is bound to: a method to its coroutine, a step to its task. */
static void
add_bound(PyObject *self, mod_running *to)
{
    PyObject *coroutine = coroutine_of(self);
    add_resumed(coroutine != NULL ? coroutine : Py_NewRef(self), to);
}

/* Of a class that was made at run time, in Python or C. */
static void
add_callable_object(PyObject *callable, mod_running *to)
{
    add_special(Py_TYPE(callable), "__call__", to);
    PyObject *self = to->count > 0 ? NULL : kept_in(callable, "__self__");
    if (self != NULL) {
        add_bound(self, to);
        Py_DECREF(self);
    }
    PyObject *function = to->count > 0 ? NULL : kept_in(callable, "func"); /* functools.partial */
    if (function != NULL) {
        add_function(function, to);
        Py_DECREF(function);
    }
}

void
mod_find_called(PyObject *callable, mod_running *found)
{
    *found = (mod_running){.thread = NULL};
    if (PyFunction_Check(callable) || PyMethod_Check(callable)) {
        add_function(callable, found);
    }
    else if (PyType_Check(callable)) {
        add_special((PyTypeObject *)callable, "__init__", found);
    }
    else if (PyGen_CheckExact(callable) || PyCoro_CheckExact(callable)) {
        add_resumed(Py_NewRef(callable), found);
    }
    else if (PyCFunction_Check(callable)) {
        if (PyCFunction_GET_SELF(callable) != NULL) {
            add_bound(PyCFunction_GET_SELF(callable), found);
        }
    }
    else if (Py_TYPE(callable)->tp_call != NULL &&
             PyType_HasFeature(Py_TYPE(callable), Py_TPFLAGS_HEAPTYPE)) {
        add_callable_object(callable, found);
    }
}
