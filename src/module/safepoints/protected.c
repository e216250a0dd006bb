/*
 * See protected.h.
 *
 * What the package and its users have said is a list of facts. None is changed or freed before the
 * module is, but for a switch; so readers take no lock, and neither a fork nor a stopped world can
 * find one held. The list is as long as there have been different names.
 */
#include "safepoints/protected.h"

#include "cpython/compat.h"

/* Newest first. What it consists of are tuples and exact strs: dropping them runs no Python code.
 */
typedef struct mod_fact {
    struct mod_fact *next; /* constant once it is in the list */
    enum {
        HOMES, /* see set_protected_doc; the newest counts */
        OWN,   /* names that are the program's, a tuple; the same */
        NAMED, /* one name that users protected */
    } kind;
    PyObject *value;    /* strong */
    _Atomic bool holds; /* sequentially consistent; NAMED: until it is taken back */
} fact;

/* What installers put packages in, of whatever prefix. */
static const char *const folder_spellings[MOD_PACKAGE_FOLDERS] = {"/site-packages/",
                                                                  "/dist-packages/"};

/* The first from there on of that kind, or NULL. */
static const fact *
find_fact(const fact *from, int kind)
{
    while (from != NULL && (int)from->kind != kind) {
        from = from->next;
    }
    return from;
}

static bool
starts_with(PyObject *text, PyObject *prefix)
{
    return PyUnicode_Tailmatch(text, prefix, 0, PY_SSIZE_T_MAX, -1) == 1;
}

/* Is the module that one, or below it? */
static bool
has_prefix(PyObject *module_name, PyObject *prefix)
{
    if (!starts_with(module_name, prefix)) {
        return false;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(prefix);
    return PyUnicode_GET_LENGTH(module_name) == length ||
           PyUnicode_READ_CHAR(module_name, length) == '.';
}

/* The top-level module that a file below a folder belongs to: json/decoder.py, queue.py. NULL:
   there is no memory. */
static PyObject *
top_module(PyObject *file, Py_ssize_t folder_length)
{
    Py_ssize_t end = PyUnicode_FindChar(file, '/', folder_length, PY_SSIZE_T_MAX, 1);
    if (end < 0) {
        end = PyUnicode_FindChar(file, '.', folder_length, PY_SSIZE_T_MAX, 1);
    }
    return PyUnicode_Substring(file, folder_length, end < 0 ? PY_SSIZE_T_MAX : end);
}

static bool
is_at_home(PyObject *home, PyObject *file, PyObject *module_name)
{
    PyObject *folder = PyTuple_GET_ITEM(home, 0);
    if (!starts_with(file, folder)) {
        return false;
    }
    PyObject *top = top_module(file, PyUnicode_GET_LENGTH(folder));
    bool named = PyTuple_GET_ITEM(home, 2) == Py_True;
    bool answer =
        top == NULL || (PySet_Contains(PyTuple_GET_ITEM(home, 1), top) == 1 &&
                        (!named || (module_name != NULL && has_prefix(module_name, top))));
    PyErr_Clear(); /* no memory: it is better not interrupted */
    Py_XDECREF(top);
    return answer;
}

static bool
is_home_of(PyObject *homes, PyObject *file, PyObject *module_name)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(homes); i++) {
        if (is_at_home(PyTuple_GET_ITEM(homes, i), file, module_name)) {
            return true;
        }
    }
    return false;
}

static bool
is_named(const fact *facts, PyObject *module_name)
{
    while ((facts = find_fact(facts, NAMED)) != NULL &&
           !(atomic_load(&facts->holds) && has_prefix(module_name, facts->value))) {
        facts = facts->next;
    }
    return facts != NULL;
}

/* A module's name by its globals: a new reference, or NULL where there is none. */
static PyObject *
get_module_name(struct mod_protected *protected, PyObject *globals)
{
    if (globals == NULL || !PyDict_Check(globals)) {
        return NULL;
    }
    PyObject *name;
    if (mod_get_item(globals, protected->name_key, &name) < 0) {
        PyErr_Clear();
    }
    if (name != NULL && !PyUnicode_Check(name)) {
        Py_CLEAR(name);
    }
    return name;
}

bool
mod_is_protected(mod_state *state, PyCodeObject *code, PyObject *globals)
{
    struct mod_protected *protected = state->protected_code;
    if (protected == NULL) {
        return true;
    }
    const fact *facts = atomic_load(&protected->facts);
    const fact *homes = find_fact(facts, HOMES);
    if (homes == NULL) {
        return true;
    }
    PyObject *name = get_module_name(protected, globals);
    bool verdict = is_home_of(homes->value, code->co_filename, name) ||
                   (name != NULL && is_named(facts, name));
    Py_XDECREF(name);
    return verdict;
}

bool
mod_is_protected_frame(mod_state *state, PyFrameObject *frame, PyCodeObject *code)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool answer = mod_is_protected(state, code, globals);
    Py_XDECREF(globals);
    return answer;
}

bool
mod_is_import_machinery(PyCodeObject *code)
{
    PyObject *file = code->co_filename;
    return PyUnicode_CompareWithASCIIString(file, "<frozen importlib._bootstrap>") == 0 ||
           PyUnicode_CompareWithASCIIString(file, "<frozen importlib._bootstrap_external>") == 0;
}

/* Does it come from a folder that packages are installed in, and has nobody said that it is the
   program's? */
static bool
is_installed(mod_state *state, PyCodeObject *code, PyObject *globals)
{
    struct mod_protected *protected = state->protected_code;
    bool found = false;
    for (size_t i = 0; protected != NULL && !found && i < MOD_PACKAGE_FOLDERS; i++) {
        found = PyUnicode_Find(code->co_filename, protected->folders[i], 0, PY_SSIZE_T_MAX, 1) >= 0;
    }
    PyErr_Clear(); /* no memory: the program's, then */
    const fact *own = found ? find_fact(atomic_load(&protected->facts), OWN) : NULL;
    PyObject *name = own == NULL ? NULL : get_module_name(protected, globals);
    for (Py_ssize_t i = 0; name != NULL && found && i < PyTuple_GET_SIZE(own->value); i++) {
        found = !has_prefix(name, PyTuple_GET_ITEM(own->value, i));
    }
    Py_XDECREF(name);
    return found;
}

bool
mod_is_programs_frame(mod_state *state, PyFrameObject *frame, PyCodeObject *code)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool answer = !mod_is_protected(state, code, globals) && !is_installed(state, code, globals);
    Py_XDECREF(globals);
    return answer;
}

/* Telling facts. ------------------------------------------------------------------------------ */

/* One of that kind and value, or NULL. */
static fact *
find_equal(fact *facts, int kind, PyObject *value)
{
    while ((facts = (fact *)find_fact(facts, kind)) != NULL &&
           PyObject_RichCompareBool(facts->value, value, Py_EQ) != 1) {
        facts = facts->next;
    }
    return facts;
}

/* Of such a value: does it hold from now on? 1: something has changed; 0: it was so; -1 with
   MemoryError set. */
static int
tell(struct mod_protected *protected, int kind, PyObject *value, bool holds)
{
    fact *made = NULL, *facts = atomic_load(&protected->facts);
    do {
        fact *known = kind == NAMED ? find_equal(facts, kind, value) : NULL;
        if (known != NULL || !holds) {
            PyMem_RawFree(made);
            return known != NULL && atomic_exchange(&known->holds, holds) != holds;
        }
        made = made != NULL ? made : PyMem_RawMalloc(sizeof(*made));
        if (made == NULL) {
            (void)PyErr_NoMemory();
            return -1;
        }
        made->next = facts;
        made->kind = kind;
        made->value = value;
        atomic_init(&made->holds, true);
    } while (!atomic_compare_exchange_weak(&protected->facts, &facts, made));
    Py_INCREF(value);
    return 1;
}

/* What counts alone; None. */
static PyObject *
tell_whole(PyObject *module, int kind, PyObject *value)
{
    struct mod_protected *protected = mod_get_state(module)->protected_code;
    const fact *now = find_fact(atomic_load(&protected->facts), kind);
    int same = now == NULL ? 0 : PyObject_RichCompareBool(now->value, value, Py_EQ);
    return same < 0 || (!same && tell(protected, kind, value, true) < 0) ? NULL
                                                                         : Py_NewRef(Py_None);
}

PyObject *
mod_set_protected(PyObject *module, PyObject *homes)
{
    bool right = PyTuple_CheckExact(homes);
    for (Py_ssize_t i = 0; right && i < PyTuple_GET_SIZE(homes); i++) {
        PyObject *home = PyTuple_GET_ITEM(homes, i), *folder, *names, *named;
        right =
            PyTuple_CheckExact(home) && PyArg_ParseTuple(home, "UO!O!", &folder, &PyFrozenSet_Type,
                                                         &names, &PyBool_Type, &named);
    }
    if (!right) {
        PyErr_SetString(PyExc_TypeError, "homes must be a tuple of (str, frozenset of str, bool)");
        return NULL;
    }
    return tell_whole(module, HOMES, homes);
}

PyObject *
mod_set_own(PyObject *module, PyObject *names)
{
    bool right = PyTuple_CheckExact(names);
    for (Py_ssize_t i = 0; right && i < PyTuple_GET_SIZE(names); i++) {
        right = PyUnicode_CheckExact(PyTuple_GET_ITEM(names, i));
    }
    if (!right) {
        PyErr_SetString(PyExc_TypeError, "names must be a tuple of str");
        return NULL;
    }
    return tell_whole(module, OWN, names);
}

static PyObject *
tell_name(PyObject *module, PyObject *name, bool protect)
{
    if (!PyUnicode_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "name must be a str, not %.100s",
                            Py_TYPE(name)->tp_name);
    }
    PyObject *exact = PyUnicode_FromObject(name);
    if (exact == NULL) {
        return NULL;
    }
    int changed = tell(mod_get_state(module)->protected_code, NAMED, exact, protect);
    Py_DECREF(exact);
    return changed < 0 ? NULL : PyBool_FromLong(changed);
}

PyObject *
mod_protect(PyObject *module, PyObject *name)
{
    return tell_name(module, name, true);
}

PyObject *
mod_unprotect(PyObject *module, PyObject *name)
{
    return tell_name(module, name, false);
}

PyObject *
mod_is_protected_method(PyObject *module, PyObject *args)
{
    PyObject *code, *globals;
    if (!PyArg_ParseTuple(args, "O!O!:_is_protected", &PyCode_Type, &code, &PyDict_Type,
                          &globals)) {
        return NULL;
    }
    return PyBool_FromLong(mod_is_protected(mod_get_state(module), (PyCodeObject *)code, globals));
}

PyObject *
mod_is_installed_method(PyObject *module, PyObject *args)
{
    PyObject *code, *globals;
    if (!PyArg_ParseTuple(args, "O!O:_is_installed", &PyCode_Type, &code, &globals)) {
        return NULL;
    }
    return PyBool_FromLong(is_installed(mod_get_state(module), (PyCodeObject *)code, globals));
}

int
mod_protected_init(mod_state *state)
{
    struct mod_protected *protected = PyMem_RawCalloc(1, sizeof(*protected));
    if (protected == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    state->protected_code = protected;
    protected->name_key = PyUnicode_InternFromString("__name__");
    bool done = protected->name_key != NULL;
    for (size_t i = 0; done && i < MOD_PACKAGE_FOLDERS; i++) {
        protected->folders[i] = PyUnicode_FromString(folder_spellings[i]);
        done = protected->folders[i] != NULL;
    }
    return done ? 0 : -1;
}

void
mod_protected_free(mod_state *state)
{
    struct mod_protected *protected = state->protected_code;
    if (protected == NULL) {
        return;
    }
    state->protected_code = NULL;
    for (fact *next, *at = atomic_load(&protected->facts); at != NULL; at = next) {
        next = at->next;
        Py_DECREF(at->value);
        PyMem_RawFree(at);
    }
    for (size_t i = 0; i < MOD_PACKAGE_FOLDERS; i++) {
        Py_XDECREF(protected->folders[i]);
    }
    Py_XDECREF(protected->name_key);
    PyMem_RawFree(protected);
}
