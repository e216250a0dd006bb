/*
 * See protected.h.
 *
 * A table is found, read and left between begin_reading and end_reading. Whoever replaces it puts
 * the old one aside, and frees what was put aside only if nobody reads at that moment: a reader who
 * comes later finds a newer table. No lock is taken, so neither a fork nor a signal handler can
 * find one held.
 */
#include "safepoints/protected.h"

#include "cpython/compat.h"

/* Made by _protected.py: tuples of exact strs, so that dropping them runs no Python code. */
typedef struct interruption_protected_table {
    PyObject *homes;    /* of (folder, names, named): see set_protected_doc; NULL: not known yet */
    PyObject *prefixes; /* names that users protected */
    struct interruption_protected_table *next; /* in the list of retired ones */
} table;

/* Part of a str. */
typedef struct {
    PyObject *text;
    Py_ssize_t start;
    Py_ssize_t end;
} part;

static table *
begin_reading(struct interruption_protected *protected)
{
    atomic_fetch_add(&protected->readers, 1);
    return atomic_load(&protected->table);
}

static void
end_reading(struct interruption_protected *protected)
{
    atomic_fetch_sub(&protected->readers, 1);
}

/* As strcmp. Python sorts strs in the same order. */
static int
compare_parts(part a, part b)
{
    while (a.start < a.end && b.start < b.end) {
        Py_UCS4 left = PyUnicode_READ_CHAR(a.text, a.start++);
        Py_UCS4 right = PyUnicode_READ_CHAR(b.text, b.start++);
        if (left != right) {
            return left < right ? -1 : 1;
        }
    }
    return (a.start < a.end) - (b.start < b.end);
}

static part
whole(PyObject *text)
{
    return (part){text, 0, PyUnicode_GET_LENGTH(text)};
}

/* The part from `start` up to the first `separator`, or to the end. */
static part
cut(PyObject *text, Py_ssize_t start, Py_UCS4 separator)
{
    part found = {text, start, start};
    while (found.end < PyUnicode_GET_LENGTH(text) &&
           PyUnicode_READ_CHAR(text, found.end) != separator) {
        found.end++;
    }
    return found;
}

static bool
starts_with(PyObject *text, PyObject *prefix)
{
    part start = whole(text);
    if (start.end < PyUnicode_GET_LENGTH(prefix)) {
        return false;
    }
    start.end = PyUnicode_GET_LENGTH(prefix);
    return compare_parts(start, whole(prefix)) == 0;
}

/* Is it one of those names, which are sorted? */
static bool
is_listed(PyObject *names, part name)
{
    Py_ssize_t low = 0, high = PyTuple_GET_SIZE(names);
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        int order = compare_parts(name, whole(PyTuple_GET_ITEM(names, middle)));
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return false;
}

/* The top-level module that a file below a folder belongs to: json/decoder.py, queue.py. */
static part
top_module(PyObject *file, Py_ssize_t folder_length)
{
    part name = cut(file, folder_length, '/');
    return name.end < PyUnicode_GET_LENGTH(file) ? name : cut(file, folder_length, '.');
}

static bool
is_at_home(PyObject *home, PyObject *file, PyObject *module_name)
{
    PyObject *folder = PyTuple_GET_ITEM(home, 0);
    if (!starts_with(file, folder)) {
        return false;
    }
    part top = top_module(file, PyUnicode_GET_LENGTH(folder));
    if (!is_listed(PyTuple_GET_ITEM(home, 1), top)) {
        return false;
    }
    if (PyTuple_GET_ITEM(home, 2) == Py_False) {
        return true;
    }
    return module_name != NULL && compare_parts(cut(module_name, 0, '.'), top) == 0;
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

static bool
find_home(const table *in, PyObject *file, PyObject *module_name)
{
    if (in->homes == NULL) {
        return true;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(in->homes); i++) {
        if (is_at_home(PyTuple_GET_ITEM(in->homes, i), file, module_name)) {
            return true;
        }
    }
    for (Py_ssize_t i = 0; module_name != NULL && i < PyTuple_GET_SIZE(in->prefixes); i++) {
        if (has_prefix(module_name, PyTuple_GET_ITEM(in->prefixes, i))) {
            return true;
        }
    }
    return false;
}

/* A module's name by its globals: a new reference, or NULL where there is none. */
static PyObject *
get_module_name(struct interruption_protected *protected, PyObject *globals)
{
    if (globals == NULL || !PyDict_Check(globals)) {
        return NULL;
    }
    PyObject *name;
    if (interruption_get_item(globals, protected->name_key, &name) < 0) {
        PyErr_Clear();
    }
    if (name != NULL && !PyUnicode_Check(name)) {
        Py_CLEAR(name);
    }
    return name;
}

bool
interruption_is_protected(interruption_state *state, PyCodeObject *code, PyObject *globals)
{
    struct interruption_protected *protected = state->protected_code;
    if (protected == NULL) {
        return true;
    }
    PyObject *name = get_module_name(protected, globals);
    bool verdict = find_home(begin_reading(protected), code->co_filename, name);
    end_reading(protected);
    Py_XDECREF(name);
    return verdict;
}

bool
interruption_is_protected_frame(interruption_state *state, PyFrameObject *frame, PyCodeObject *code)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool answer = interruption_is_protected(state, code, globals);
    Py_XDECREF(globals);
    return answer;
}

bool
interruption_is_import_machinery(PyCodeObject *code)
{
    PyObject *file = code->co_filename;
    return PyUnicode_CompareWithASCIIString(file, "<frozen importlib._bootstrap>") == 0 ||
           PyUnicode_CompareWithASCIIString(file, "<frozen importlib._bootstrap_external>") == 0;
}

static void
free_tables(table *list)
{
    while (list != NULL) {
        table *next = list->next;
        Py_XDECREF(list->homes);
        Py_DECREF(list->prefixes);
        PyMem_RawFree(list);
        list = next;
    }
}

/* Takes over the reference to `prefixes`. NULL with an exception set, also if that is NULL. */
static table *
make_table(PyObject *homes, PyObject *prefixes)
{
    if (prefixes == NULL) {
        return NULL;
    }
    table *made = PyMem_RawMalloc(sizeof(*made));
    if (made == NULL) {
        Py_DECREF(prefixes);
        (void)PyErr_NoMemory();
        return NULL;
    }
    *made = (table){.homes = Py_XNewRef(homes), .prefixes = prefixes};
    return made;
}

static void
retire(struct interruption_protected *protected, table *first)
{
    table *last = first;
    while (last->next != NULL) {
        last = last->next;
    }
    table *head = atomic_load(&protected->retired);
    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak(&protected->retired, &head, first));
}

static void
free_retired(struct interruption_protected *protected)
{
    table *list = atomic_exchange(&protected->retired, NULL);
    if (list == NULL) {
        return;
    }
    if (atomic_load(&protected->readers) == 0) {
        free_tables(list);
    }
    else {
        retire(protected, list); /* for the next change to free */
    }
}

/* Makes a new table from the old one. NULL without an exception: nothing is to be changed. */
typedef table *(*editor)(const table *old, PyObject *argument);

/*
 * Replace the table. 1: done; 0: nothing was to be changed; -1 with an exception set. An editor
 * allocates, which may run Python code that changes the table meanwhile: then once more.
 */
static int
edit(struct interruption_protected *protected, editor make, PyObject *argument)
{
    table *made;
    bool done;
    do {
        table *old = begin_reading(protected); /* keeps it from being freed and made anew */
        made = make(old, argument);
        done = made == NULL || atomic_compare_exchange_strong(&protected->table, &old, made);
        end_reading(protected);
        if (!done) {
            free_tables(made);
        }
        else if (made != NULL) {
            retire(protected, old);
        }
    } while (!done);
    free_retired(protected);
    return made != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static table *
with_homes(const table *old, PyObject *homes)
{
    return make_table(homes, Py_NewRef(old->prefixes));
}

static bool
is_prefix_of(const table *in, PyObject *name)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(in->prefixes); i++) {
        if (compare_parts(whole(PyTuple_GET_ITEM(in->prefixes, i)), whole(name)) == 0) {
            return true;
        }
    }
    return false;
}

static table *
with_prefix(const table *old, PyObject *name)
{
    if (is_prefix_of(old, name)) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(old->prefixes);
    PyObject *prefixes = PyTuple_New(count + 1);
    if (prefixes != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(prefixes, i, Py_NewRef(PyTuple_GET_ITEM(old->prefixes, i)));
        }
        PyTuple_SET_ITEM(prefixes, count, Py_NewRef(name));
    }
    return make_table(old->homes, prefixes);
}

static table *
without_prefix(const table *old, PyObject *name)
{
    if (!is_prefix_of(old, name)) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(old->prefixes);
    PyObject *prefixes = PyTuple_New(count - 1);
    if (prefixes != NULL) {
        Py_ssize_t kept = 0;
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *prefix = PyTuple_GET_ITEM(old->prefixes, i);
            if (compare_parts(whole(prefix), whole(name)) != 0) {
                PyTuple_SET_ITEM(prefixes, kept++, Py_NewRef(prefix));
            }
        }
    }
    return make_table(old->homes, prefixes);
}

static bool
is_home(PyObject *home)
{
    if (!PyTuple_CheckExact(home) || PyTuple_GET_SIZE(home) != 3 ||
        !PyUnicode_CheckExact(PyTuple_GET_ITEM(home, 0)) ||
        !PyTuple_CheckExact(PyTuple_GET_ITEM(home, 1)) ||
        !PyBool_Check(PyTuple_GET_ITEM(home, 2))) {
        return false;
    }
    PyObject *names = PyTuple_GET_ITEM(home, 1);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(names, i))) {
            return false;
        }
    }
    return true;
}

PyObject *
interruption_set_protected(PyObject *module, PyObject *homes)
{
    bool right = PyTuple_CheckExact(homes);
    for (Py_ssize_t i = 0; right && i < PyTuple_GET_SIZE(homes); i++) {
        right = is_home(PyTuple_GET_ITEM(homes, i));
    }
    if (!right) {
        PyErr_SetString(PyExc_TypeError, "homes must be a tuple of (str, tuple of str, bool)");
        return NULL;
    }
    interruption_state *state = interruption_get_state(module);
    return edit(state->protected_code, with_homes, homes) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
edit_prefixes(PyObject *module, editor make, PyObject *name)
{
    if (!PyUnicode_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "name must be a str, not %.100s",
                            Py_TYPE(name)->tp_name);
    }
    PyObject *exact = PyUnicode_FromObject(name);
    if (exact == NULL) {
        return NULL;
    }
    int changed = edit(interruption_get_state(module)->protected_code, make, exact);
    Py_DECREF(exact);
    return changed < 0 ? NULL : PyBool_FromLong(changed);
}

PyObject *
interruption_protect(PyObject *module, PyObject *name)
{
    return edit_prefixes(module, with_prefix, name);
}

PyObject *
interruption_unprotect(PyObject *module, PyObject *name)
{
    return edit_prefixes(module, without_prefix, name);
}

PyObject *
interruption_is_protected_method(PyObject *module, PyObject *args)
{
    PyObject *code, *globals;
    if (!PyArg_ParseTuple(args, "O!O!:_is_protected", &PyCode_Type, &code, &PyDict_Type,
                          &globals)) {
        return NULL;
    }
    return PyBool_FromLong(
        interruption_is_protected(interruption_get_state(module), (PyCodeObject *)code, globals));
}

PyObject *
interruption_is_import_machinery_method(PyObject *Py_UNUSED(module), PyObject *code)
{
    if (!PyCode_Check(code)) {
        return PyErr_Format(PyExc_TypeError, "code must be a code object, not %.100s",
                            Py_TYPE(code)->tp_name);
    }
    return PyBool_FromLong(interruption_is_import_machinery((PyCodeObject *)code));
}

int
interruption_protected_init(interruption_state *state)
{
    struct interruption_protected *protected = PyMem_RawCalloc(1, sizeof(*protected));
    if (protected == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    state->protected_code = protected;
    protected->name_key = PyUnicode_InternFromString("__name__");
    table *first = make_table(NULL, PyTuple_New(0));
    atomic_init(&protected->table, first);
    return protected->name_key == NULL || first == NULL ? -1 : 0;
}

void
interruption_protected_free(interruption_state *state)
{
    struct interruption_protected *protected = state->protected_code;
    if (protected == NULL) {
        return;
    }
    state->protected_code = NULL;
    free_tables(atomic_load(&protected->table));
    free_tables(atomic_load(&protected->retired));
    Py_XDECREF(protected->name_key);
    PyMem_RawFree(protected);
}
