/* See scope_types.h. */
#include "api/scope_types.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "api/scope.h"
#include "api/scope_requests.h"
#include "api/scope_state.h"
#include "cpython/seconds.h"
#include "itr_record.h"

/* Making. -------------------------------------------------------------------------------------- */

/* Memory of scopes that are gone, for the next ones: with a GIL, which guards it. Nobody makes any
   once the module has gone, whose last scopes may go after it. */
enum { SPARE = 8 };
static struct {
    mod_scope *memory[SPARE];
    uint32_t count;
    bool used;
} spare;

static void
free_scope(mod_scope *of, PyTypeObject *type)
{
    if (!MOD_FREE_THREADED && spare.used && spare.count < SPARE) {
        spare.memory[spare.count++] = of;
    }
    else {
        type->tp_free(of);
    }
}

void
mod_scope_types_free(void)
{
    spare.used = false;
    while (spare.count > 0) {
        PyObject *memory = (PyObject *)spare.memory[--spare.count];
        Py_SET_TYPE(memory, &PyList_Type); /* its own may have gone; one with the same header */
        PyObject_GC_Del(memory);
    }
}

/* Not tracked by the garbage collector: it holds nothing until it is asked. */
static mod_scope *
make_scope(PyTypeObject *type, mod_scope_kind kind)
{
    mod_scope *made =
        spare.count > 0 ? (mod_scope *)PyObject_Init((PyObject *)spare.memory[--spare.count], type)
                        : PyObject_GC_New(mod_scope, type);
    if (made != NULL) {
        memset((char *)made + sizeof(PyObject), 0, sizeof(*made) - sizeof(PyObject));
        made->kind = kind;
        made->number = itr_new_scope();
        made->mutex = (mod_mutex)MOD_MUTEX_INIT;
        made->delay = made->when = Py_HUGE_VAL;
    }
    return made;
}

static PyObject *
scope_new(PyObject *type, PyObject *const *Py_UNUSED(args), size_t nargsf, PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) > 0 || kwnames != NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "Scope() takes no arguments: timeout(seconds) and move_on_after(seconds) "
                        "have a limit, and decorate functions");
        return NULL;
    }
    return (PyObject *)make_scope((PyTypeObject *)type, MOD_SCOPE_PLAIN);
}

/* Arguments that are not one thing by position: Python sorts them, has words for what is wrong with
   them, and makes the same of that. */
MOD_SELDOM static PyObject *
sort_arguments(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    const char *name = strrchr(((PyTypeObject *)type)->tp_name, '.') + 1;
    PyObject *module = PyImport_ImportModule("interruption._arguments");
    PyObject *made = NULL, *maker = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    if (maker != NULL) {
        made = PyObject_Vectorcall(maker, args, nargsf, kwnames);
        Py_DECREF(maker);
    }
    Py_XDECREF(module);
    return made;
}

/* Instead of an error about a number: it was written above a function, as `@timeout`. */
MOD_SELDOM static PyObject *
explain_decorating(PyObject *type, PyObject *given)
{
    if (PyCallable_Check(given) && PyErr_ExceptionMatches(PyExc_TypeError)) {
        const char *name = strrchr(((PyTypeObject *)type)->tp_name, '.') + 1;
        PyErr_Format(PyExc_TypeError,
                     "%s() takes a number of seconds or None, not %R: to limit the time of each "
                     "call of a function, write @%s(seconds) above it",
                     name, given, name);
    }
    return NULL;
}

/* With one thing by position, and perhaps `shield`: those that decorate have a limit. */
static PyObject *
make_limit(mod_scope_kind kind, PyObject *type, PyObject *const *args, size_t nargsf,
           PyObject *kwnames)
{
    bool at = kind == MOD_SCOPE_TIMEOUT_AT;
    double limit;
    PyObject *shield = Py_False;
    if (kind == MOD_SCOPE_MOVE_ON && PyVectorcall_NARGS(nargsf) == 1 && kwnames != NULL &&
        PyTuple_GET_SIZE(kwnames) == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "shield") == 0) {
        shield = args[1];
        kwnames = NULL;
    }
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != NULL) {
        return sort_arguments(type, args, nargsf, kwnames);
    }
    if (at ? mod_moment_of(args[0], "when", &limit) : mod_seconds(args[0], "delay", &limit)) {
        return explain_decorating(type, args[0]);
    }
    if (!PyBool_Check(shield)) {
        PyErr_Format(PyExc_TypeError, "shield is True or False, not %R", shield);
        return NULL;
    }
    mod_scope *made = make_scope((PyTypeObject *)type, kind);
    if (made != NULL) {
        made->shield = shield == Py_True;
        if (at) {
            mod_scope_set_deadline(made, limit, mod_nanoseconds_up(limit));
        }
        else {
            made->delay = limit;
        }
    }
    return (PyObject *)made;
}

static PyObject *
timeout_new(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return make_limit(MOD_SCOPE_TIMEOUT, type, args, nargsf, kwnames);
}

static PyObject *
timeout_at_new(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return make_limit(MOD_SCOPE_TIMEOUT_AT, type, args, nargsf, kwnames);
}

static PyObject *
move_on_after_new(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return make_limit(MOD_SCOPE_MOVE_ON, type, args, nargsf, kwnames);
}

static int
scope_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((mod_scope *)self)->exc_type);
    return 0;
}

static int
scope_clear(PyObject *self)
{
    Py_CLEAR(((mod_scope *)self)->exc_type);
    return 0;
}

static void
scope_dealloc(PyObject *self)
{
    mod_scope *of = (mod_scope *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    mod_scope_free_threads(of);
    Py_XDECREF(of->exc_type);
    Py_XDECREF(of->reason);
    free_scope(of, type);
    Py_DECREF(type);
}

/* Decorating: a scope of its own for each call. */
static PyObject *
limit_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", NULL};
    PyObject *function;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:limit", names, &function)) {
        return NULL;
    }
    PyObject *decorators = PyImport_ImportModule("interruption._decorators");
    PyObject *decorated = decorators == NULL ? NULL
                                             : PyObject_CallMethod(decorators, "decorate_limited",
                                                                   "OO", self, function);
    Py_XDECREF(decorators);
    return decorated;
}

/* Another one, as this was made. */
static PyObject *
limit_anew(PyObject *self, PyObject *Py_UNUSED(unused))
{
    const mod_scope *of = (mod_scope *)self;
    mod_scope *made = make_scope(Py_TYPE(self), of->kind);
    if (made != NULL) {
        made->shield = of->shield;
        made->delay = of->delay;
        if (isinf(of->delay)) {
            mod_scope_set_deadline(made, of->when, of->deadline);
        }
    }
    return (PyObject *)made;
}

static PyObject *
scope_repr(PyObject *self)
{
    PyObject *when = mod_scope_when(self, NULL);
    PyObject *repr =
        when == NULL ? NULL
                     : PyUnicode_FromFormat("<interruption.%s when=%R at %p>",
                                            strrchr(Py_TYPE(self)->tp_name, '.') + 1, when, self);
    Py_XDECREF(when);
    return repr;
}

/* The types. ----------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    scope_doc,
    "Scope()\n"
    "--\n\n"
    "A `with` block that can be asked to stop by itself (S22).\n\n"
    "    with Scope() as scope:\n"
    "        ...                     # another thread: scope.interrupt()\n\n"
    "The block is a region: what may be raised in it, and where, is said of\n"
    "allow_interruption. What interrupt() asks for passes inner scopes and ends, in\n"
    "silence, where this one is left. Whatever else the block raises comes out, and a\n"
    "result that is there stands (S26).\n\n"
    "Several threads may be in one scope at once: interrupt() reaches all of them, and\n"
    "those that enter it later.\n\n"
    "RuntimeError: on entry, that the thread is in it already, or that it is entered by a\n"
    "coroutine or generator (use asyncio.timeout() there); on leaving, that it is left out\n"
    "of order or in another thread than it was entered in.");

PyDoc_STRVAR(
    timeout_doc,
    "timeout(delay)\n"
    "--\n\n"
    "A block that raises TimeoutError if it takes longer than `delay` seconds (S23).\n\n"
    "    with timeout(2.0):\n"
    "        answer = connection.recv(1024)\n\n"
    "In any thread, and nested. The time begins when the block is entered. When it is up,\n"
    "a blocking call is woken, and running code is stopped at its next safe point: ThreadExit\n"
    "is raised there, and becomes TimeoutError where the block is left. `delay` None: no\n"
    "limit; 0: it has passed, and the block is stopped at its first wait or statement.\n\n"
    "Otherwise as Scope, but for one `with` statement only. As a decorator, each call of\n"
    "the function has a limit of its own.\n\n"
    "ValueError: negative, or NaN. TypeError: not a number.");

PyDoc_STRVAR(timeout_at_doc,
             "timeout_at(when)\n"
             "--\n\n"
             "As timeout(), until a moment of time.monotonic(), which may have passed (S27): a\n"
             "small number is one of long ago.");

PyDoc_STRVAR(move_on_after_doc,
             "move_on_after(delay, *, shield=False)\n"
             "--\n\n"
             "As timeout(), but the program goes on behind the block when the time is up.\n\n"
             "    with move_on_after(2.0) as scope:\n"
             "        ...\n"
             "    if scope.expired(): ...\n\n"
             "shield: what is asked from outside of the block waits until its end (S24); its\n"
             "    own time limit, and scopes inside of it, work all the same.");

PyDoc_STRVAR(enter_with_doc, "__enter__($self, /)\n--\n\nEnter it in the calling thread.");
PyDoc_STRVAR(enter_doc, "_enter($self, /)\n--\n\n"
                        "The same, but what the thread has been asked for is not raised here,\n"
                        "and a time limit may be entered by several threads.");
PyDoc_STRVAR(leave_doc, "_leave($self, exception=None, /)\n"
                        "--\n\n"
                        "Leave it by that exception, which goes on. Returns whether it was asked.");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
                       "Leave it; what was asked of it ends here.");
PyDoc_STRVAR(
    interrupt_doc,
    "interrupt($self, /, exc_type=None, *, reason=None)\n"
    "--\n\n"
    "Ask all threads in the scope to stop, as interrupt(); and those that enter it later.\n\n"
    "True: it has been asked, now or before. False: all have left it, and nothing has\n"
    "happened. By any thread.");
PyDoc_STRVAR(when_doc, "when($self, /)\n--\n\n"
                       "The deadline, on time.monotonic()'s clock; None if there is none (yet).");
PyDoc_STRVAR(
    reschedule_doc,
    "reschedule($self, when, /)\n"
    "--\n\n"
    "Another deadline, earlier or later, on time.monotonic()'s clock; None: none. In five\n"
    "seconds: time.monotonic() + 5. A small number is a moment of long ago: it stops the block.\n\n"
    "False, and nothing has changed: the old one has expired already, or the time limit's\n"
    "block has been left. By any thread.");
PyDoc_STRVAR(expired_doc, "expired($self, /)\n--\n\n"
                          "Has the deadline passed while some thread was in the block?");
PyDoc_STRVAR(anew_doc, "_anew($self, /)\n--\n\nAnother one, as this was made.");

PyDoc_STRVAR(is_entered_doc, "_is_entered($self, /)\n--\n\nIs the calling thread in it?");
PyDoc_STRVAR(has_raised_doc, "_has_raised($self, exception, /)\n--\n\n"
                             "Was it raised, in any thread, for what was asked of the scope?");
PyDoc_STRVAR(raise_asked_doc,
             "_raise_asked($self, /)\n--\n\n"
             "Raise what has been asked of it, of whichever thread in it, or its deadline, unless\n"
             "the calling thread has been stopped for that already.");

static PyMethodDef scope_methods[] = {
    {"__enter__", mod_scope_enter_with, METH_NOARGS, enter_with_doc},
    {"__exit__", _PyCFunction_CAST(mod_scope_exit), METH_FASTCALL, exit_doc},
    {"interrupt", _PyCFunction_CAST(mod_scope_interrupt), METH_VARARGS | METH_KEYWORDS,
     interrupt_doc},
    {"when", mod_scope_when, METH_NOARGS, when_doc},
    {"reschedule", mod_scope_reschedule, METH_O, reschedule_doc},
    {"expired", mod_scope_expired, METH_NOARGS, expired_doc},
    {"_enter", mod_scope_enter, METH_NOARGS, enter_doc},
    {"_leave", _PyCFunction_CAST(mod_scope_leave), METH_FASTCALL, leave_doc},
    {"_is_entered", mod_scope_is_entered, METH_NOARGS, is_entered_doc},
    {"_has_raised", mod_scope_has_raised, METH_O, has_raised_doc},
    {"_raise_asked", mod_scope_raise_asked, METH_NOARGS, raise_asked_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef limit_methods[] = {
    {"_anew", limit_anew, METH_NOARGS, anew_doc},
    {NULL, NULL, 0, NULL},
};

typedef struct {
    const char *name;
    const char *doc;
    vectorcallfunc make;
} scope_type;

/* One of the types; its base is Scope, or NULL. */
static PyTypeObject *
add_scope_type(PyObject *module, const scope_type *of, PyTypeObject *base)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)of->doc},
        {Py_tp_methods, base == NULL ? scope_methods : limit_methods},
        {Py_tp_traverse, scope_traverse},
        {Py_tp_clear, scope_clear},
        {Py_tp_dealloc, scope_dealloc},
        {Py_tp_repr, scope_repr},
        {base == NULL ? 0 : Py_tp_call, base == NULL ? NULL : (void *)limit_call},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = of->name,
        .basicsize = sizeof(mod_scope),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION | (base == NULL ? Py_TPFLAGS_BASETYPE : 0),
        .slots = slots,
    };
    PyTypeObject *made = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, (PyObject *)base);
    if (made == NULL) {
        return NULL;
    }
    made->tp_vectorcall = of->make; /* what a call of the type does */
    if (PyModule_AddType(module, made) < 0) {
        Py_CLEAR(made);
    }
    return made;
}

int
mod_scope_types_init(PyObject *module)
{
    static const scope_type base = {"interruption.Scope", scope_doc, scope_new};
    static const scope_type limits[] = {
        {"interruption.timeout", timeout_doc, timeout_new},
        {"interruption.timeout_at", timeout_at_doc, timeout_at_new},
        {"interruption.move_on_after", move_on_after_doc, move_on_after_new},
    };
    PyTypeObject *root = add_scope_type(module, &base, NULL);
    int status = root == NULL ? -1 : 0;
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits) && status == 0; i++) {
        PyTypeObject *made = add_scope_type(module, &limits[i], root);
        status = made == NULL ? -1 : 0;
        Py_XDECREF(made);
    }
    if (root != NULL) {
        root->tp_flags &= ~Py_TPFLAGS_BASETYPE; /* the library's own only */
    }
    Py_XDECREF(root);
    spare.used = status == 0;
    return status;
}
