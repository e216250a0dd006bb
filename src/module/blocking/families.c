/*
 * See families.h. Methods are looked for without a lock, for that runs Python code; what comes of
 * it is written, and the methods are exchanged, under `mod_mutexes.families`, in one step
 * with the two counts by which others know it: mod_wait_generation and
 * mod_noting.
 */
#include "blocking/families.h"

#include "blocking/interposed.h"
#include "blocking/wait.h"
#include "cpython/compat.h"
#include "interpose/originals.h"
#include "thread/held_locks.h"

enum { REASON_SIZE = 256 };

static bool awaits_modules(PyObject *module);
static PyObject *execute(const mod_call *call);

MOD_REPLACEMENT(execute_dynamic, awaits_modules, execute);
MOD_REPLACEMENT(execute_builtin, awaits_modules, execute);

/* A module of the standard library that is imported later than blocking calls are interposed is
   interposed then: every module in C is executed by one of these two, and is in sys.modules
   afterwards. Nothing is imported for our sake. */
static const mod_row import_rows[] = {
    {"_imp", NULL, "exec_dynamic", &execute_dynamic, true},
    {"_imp", NULL, "exec_builtin", &execute_builtin, false},
    {NULL, NULL, NULL, NULL, false},
};

static mod_family imports = {.name = "imports", .rows = import_rows};

/* What was found of one family. */
typedef struct {
    bool found;
    bool absent;              /* what it is about does not exist here, */
    bool later;               /* or its module has not been imported, */
    bool replaced;            /* or another has its name now */
    char reason[REASON_SIZE]; /* empty, or why it is refused */
} finding;

typedef struct {
    mod_family *family;
    bool needed; /* it notes locks */
    finding now; /* guarded by the mutex */
} entry;

static entry all_families[] = {
    {.family = &mod_locks, .needed = true},
    {.family = &mod_process_locks, .needed = true},
    {.family = &mod_joins},
    {.family = &mod_descriptors},
    {.family = &mod_files},
    {.family = &mod_folders},
    {.family = &mod_file_locks},
    {.family = &mod_child_waits},
#ifdef __linux__
    {.family = &mod_signals},
#endif
    {.family = &imports},
    {.family = &mod_queues},
    {.family = &mod_sleeps},
    {.family = &mod_sockets},
    {.family = &mod_messages},
    {.family = &mod_connections},
    {.family = &mod_select},
    {.family = &mod_poll},
    {.family = &mod_epoll},
    {.family = &mod_tls},
    {.family = &mod_greenlets},
};

enum { COUNT = sizeof(all_families) / sizeof(*all_families) };

/* atomic: written under the mutex; relaxed, for who sees it late takes the mutex then. */
static _Atomic enum { NEW, ON, OFF } families_now;

/* atomic, as `families_now`: how many families are `later`, or `replaced`, while the others are
 * interposed.
 */
static _Atomic size_t awaited, replaced;

/* Looking. ------------------------------------------------------------------------------------ */

/* An exception is set: is it one by which a family is refused? */
static bool
is_refusal(void)
{
    return PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
           !PyErr_ExceptionMatches(PyExc_RecursionError);
}

/* Does the first row's type exist? 1, 0, or -1 with an exception set that is no refusal. */
static int
is_type_there(const mod_family *family)
{
    PyTypeObject *type = mod_find_type(family->rows);
    Py_XDECREF(type);
    if (type == NULL && !is_refusal()) {
        return -1;
    }
    PyErr_Clear();
    return type != NULL;
}

/* Put the exception that is set into words. 0, or -1 with another one set. */
static int
take_refusal(char *reason)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = PyUnicode_FromFormat("%s: %S", ((PyTypeObject *)type)->tp_name, value);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "ascii", "backslashreplace");
    if (bytes != NULL) {
        (void)PyOS_snprintf(reason, REASON_SIZE, "%s", PyBytes_AS_STRING(bytes));
    }
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(traceback);
    Py_XDECREF(value);
    Py_XDECREF(type);
    return bytes == NULL ? -1 : 0;
}

/* Has the module been imported that the first row is about? The others come with it. 1, 0, or -1
   with an exception set. */
static int
is_imported(const mod_family *family)
{
    PyObject *name = PyUnicode_FromString(family->rows->module);
    PyObject *module = name == NULL ? NULL : PyImport_GetModule(name);
    Py_XDECREF(name);
    Py_XDECREF(module);
    return module != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static int
look_for(const mod_family *family, bool needed, finding *found)
{
    *found = (finding){.found = false};
    int imported = is_imported(family);
    if (imported <= 0) {
        found->later = imported == 0;
        (void)PyOS_snprintf(found->reason, REASON_SIZE, "%s has not been imported",
                            family->rows->module);
        return imported;
    }
    bool before = mod_family_enabled(family);
    found->found = before || mod_family_find(family) == 0;
    if (found->found) {
        return 0;
    }
    if (!is_refusal() || take_refusal(found->reason) < 0) {
        return -1;
    }
    int hidden = mod_module_is_hidden(family->rows->module);
    int there = hidden == 0 && needed ? is_type_there(family) : hidden;
    found->replaced = hidden == 1;
    found->absent = there == 0;
    return there < 0 ? -1 : 0;
}

/* Changing. ----------------------------------------------------------------------------------- */

/* With the world stopped: make a count say, by being odd, whether it is so. */
static void
tell_count(_Atomic uint32_t *count, bool so)
{
    uint32_t before = atomic_load(count);
    if ((before % 2 == 1) != so) {
        atomic_store(count, before + 1);
    }
}

/* With the world stopped: all families have been exchanged. */
static void
tell_all(void *on)
{
    bool noting = *(const bool *)on;
    for (size_t i = 0; i < COUNT; i++) {
        const entry *each = &all_families[i];
        if (each->needed && !each->now.absent && !each->now.later && !each->family->enabled) {
            noting = false;
        }
    }
    tell_count(&mod_noting, noting);
    tell_count(&mod_wait_generation, *(const bool *)on);
}

/* Under the mutex. */
static void
exchange_families(const finding *found, bool on)
{
    mod_family *families[COUNT];
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        if (found == NULL || found[i].found) {
            families[count++] = all_families[i].family;
        }
    }
    mod_families_exchange(families, count, on, tell_all, &on);
    atomic_store_explicit(&families_now, on ? ON : OFF, memory_order_relaxed);
    size_t later = 0, others = 0;
    for (size_t i = 0; i < COUNT; i++) {
        later += on && all_families[i].now.later;
        others += on && all_families[i].now.replaced;
    }
    atomic_store_explicit(&awaited, later, memory_order_relaxed);
    atomic_store_explicit(&replaced, others, memory_order_relaxed);
}

/* Under the mutex: somebody has been faster with one of its methods. */
static void
note_replaced(const finding *found)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (found[i].found && !mod_family_enabled(all_families[i].family)) {
            (void)PyOS_snprintf(all_families[i].now.reason, REASON_SIZE,
                                "RuntimeError: another library has replaced one of its calls");
        }
    }
}

/* Unless it is not as `expected` (OFF: whatever it is). 0, or -1 with an exception set. */
static int
enable(int expected)
{
    finding found[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        if (look_for(all_families[i].family, all_families[i].needed, &found[i]) < 0) {
            return -1;
        }
    }
    mod_mutex_lock(&mod_mutexes.families);
    if (expected == OFF ||
        (int)atomic_load_explicit(&families_now, memory_order_relaxed) == expected) {
        for (size_t i = 0; i < COUNT; i++) {
            all_families[i].now = found[i];
        }
        exchange_families(found, true);
        note_replaced(found);
    }
    mod_mutex_unlock(&mod_mutexes.families);
    return 0;
}

static void
copy_families(entry copies[])
{
    mod_mutex_lock(&mod_mutexes.families);
    memcpy(copies, all_families, sizeof(all_families));
    mod_mutex_unlock(&mod_mutexes.families);
}

/* Is there one among them that can be found now? */
static bool
has_come(void)
{
    entry copies[COUNT];
    copy_families(copies);
    for (size_t i = 0; i < COUNT; i++) {
        const mod_family *family = copies[i].family;
        if ((copies[i].now.later && is_imported(family) > 0) ||
            (copies[i].now.replaced && mod_module_is_hidden(family->rows->module) == 0)) {
            return true;
        }
    }
    return false;
}

/* Some module has just been imported: interpose what can be interposed now. Attached with no
   exception set, and none is set afterwards. */
static void
module_came(void)
{
    if (has_come() && !PyErr_Occurred()) {
        (void)enable(ON);
    }
    PyErr_Clear(); /* no memory, say: the next import tries again */
}

bool
mod_blocking_is_complete(void)
{
    return atomic_load_explicit(&replaced, memory_order_relaxed) == 0;
}

int
mod_blocking_start(void)
{
    if (atomic_load_explicit(&families_now, memory_order_relaxed) == NEW) {
        return enable(NEW);
    }
    if (!mod_blocking_is_complete()) {
        module_came();
    }
    return 0;
}

/* Is a family not interposed because its module has not been imported yet? What a subinterpreter
   imports is none of ours. */
static bool
awaits_modules(PyObject *Py_UNUSED(module))
{
    return atomic_load_explicit(&awaited, memory_order_relaxed) > 0 &&
           PyInterpreterState_Get() == PyInterpreterState_Main();
}

static PyObject *
execute(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    if (result != NULL) {
        module_came();
    }
    return result;
}

PyObject *
mod_blocking_enable(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    if (enable(OFF) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*
 * Who waits in the lot is woken by releases that come to us, and they do not any more. A waiter
 * enters the lot and then looks at the generation; that has changed before the lot is walked. So
 * each either sees the change itself or is found, and goes on in the original.
 */
PyObject *
mod_blocking_disable(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_mutex_lock(&mod_mutexes.families);
    exchange_families(NULL, false);
    mod_mutex_unlock(&mod_mutexes.families);
    itr_lot_wake_all();
    Py_RETURN_NONE;
}

/* Telling. ------------------------------------------------------------------------------------ */

static PyObject *
describe_family(const mod_family *family, const char *reason)
{
    PyObject *rows = PyList_New(0);
    for (const mod_row *row = family->rows; rows != NULL && row->module != NULL; row++) {
        PyObject *described =
            Py_BuildValue("(zzzi)", row->module, row->type, row->name, (int)mod_row_now(row));
        if (described == NULL || PyList_Append(rows, described) < 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(described);
    }
    return rows == NULL
               ? NULL
               : Py_BuildValue("(sNzN)", family->name, PyBool_FromLong(mod_family_enabled(family)),
                               reason[0] == '\0' ? NULL : reason, rows);
}

PyObject *
mod_blocking_status(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    entry copies[COUNT];
    copy_families(copies);
    bool on = atomic_load_explicit(&families_now, memory_order_relaxed) == ON;
    PyObject *families = PyTuple_New(COUNT);
    for (size_t i = 0; i < COUNT && families != NULL; i++) {
        PyObject *family = describe_family(copies[i].family, copies[i].now.reason);
        if (family == NULL) {
            Py_CLEAR(families);
            break;
        }
        PyTuple_SET_ITEM(families, (Py_ssize_t)i, family);
    }
    return families == NULL ? NULL : Py_BuildValue("(ON)", on ? Py_True : Py_False, families);
}
