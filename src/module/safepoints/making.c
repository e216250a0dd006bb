/*
 * See making.h. The table is constant but for what was found out about it: atomics, each written
 * with what is true at any time, so relaxed.
 */
#include "safepoints/making.h"

#include <stdatomic.h>
#include <string.h>

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "cpython/main_thread.h"
#include "safepoints/protected.h"

enum { LATEST = 255 }; /* as `until`: no version is known to be without it */

typedef struct {
    const char *function; /* its qualified name */
    mod_making kind;
    const char *variable; /* NULL, or: only from then on that it has a value */
    const char *breaks;   /* BREAKS: an attribute of `self`, perhaps of one of its attributes, that
                             is closed and set to None; NULL: `self` is closed */
    uint8_t since, until; /* 3.x has it */
    _Atomic bool gone;
} row;

typedef struct {
    const char *name;
    row *rows; /* the last has no function */
    _Atomic bool checked;
    _Atomic bool incomplete; /* some row of it has gone */
} table;

#define EVER 11, LATEST
#define ROW(function, kind) {function, MOD_##kind, NULL, NULL, EVER, false}
#define ROW_FROM(function, kind, variable) {function, MOD_##kind, variable, NULL, EVER, false}
#define ROW_BREAKS(function, breaks) {function, MOD_BREAKS, NULL, breaks, EVER, false}
#define ROW_IN(function, kind, since, until) {function, MOD_##kind, NULL, NULL, since, until, false}
#define END {NULL, MOD_MAKES_NOTHING, NULL, NULL, EVER, false}
#define ROWS(...)                                                                                  \
    (row[]) { __VA_ARGS__, END }

/* What is called only by another one of these is left out. */
static table tables[] = {
    {"asyncio.unix_events", /* a child has ended: who waits for it is told, or waits for ever */
     ROWS(ROW_IN("PidfdChildWatcher._do_wait", MAKES, 11, 13),
          ROW_IN("_PidfdChildWatcher._do_wait", MAKES, 14, LATEST))},
    {"concurrent.futures.process", ROWS(ROW("ProcessPoolExecutor.submit", MAKES))},
    {"concurrent.futures.thread", ROWS(ROW("ThreadPoolExecutor.submit", MAKES))},
    {"dbm.dumb", ROWS(ROW("_Database.__setitem__", MAKES), ROW("_Database.__delitem__", MAKES),
                      ROW("_Database._commit", MAKES))},
    {"ftplib", ROWS(ROW_BREAKS("FTP.getresp", NULL))},
    {"logging", ROWS(ROW("Handler.handle", GIVES))},
    {"logging.config", ROWS(ROW("DictConfigurator.configure", MAKES), ROW("fileConfig", MAKES))},
    {"logging.handlers", ROWS(ROW_BREAKS("SocketHandler.send", "sock"))},
    /* who came next would take the rest of a message for the beginning of another */
    {"multiprocessing.connection",
     ROWS(ROW_FROM("Connection._recv_bytes", MAKES, "size"),
          ROW_FROM("Connection._recv", MAKES, "chunk"), ROW_FROM("Connection._send", MAKES, "n"))},
    {"multiprocessing.forkserver",
     ROWS(ROW("ForkServer.ensure_running", MAKES), ROW("ForkServer._stop", MAKES))},
    {"multiprocessing.heap", ROWS(ROW("Arena.__init__", MAKES))},
    {"multiprocessing.managers",
     ROWS(ROW("BaseManager.start", MAKES), ROW("BaseManager.register.<locals>.temp", MAKES),
          ROW("BaseManager._finalize_manager", MAKES), ROW("BaseProxy._incref", MAKES),
          ROW_BREAKS("BaseProxy._callmethod", "_tls.connection"))},
    {"multiprocessing.pool", ROWS(ROW("Pool._terminate_pool", MAKES))},
    {"multiprocessing.process",
     ROWS(ROW("BaseProcess.start", MAKES), ROW("BaseProcess._bootstrap", BEGINS))},
    {"multiprocessing.resource_tracker",
     ROWS(ROW("ResourceTracker.ensure_running", MAKES), ROW("ResourceTracker._send", MAKES),
          ROW("ResourceTracker._stop", MAKES))},
    {"multiprocessing.shared_memory", ROWS(ROW("SharedMemory.__init__", MAKES))},
    {"multiprocessing.synchronize", ROWS(ROW("SemLock.__init__", MAKES))},
    {"multiprocessing.util", ROWS(ROW("Finalize.__call__", CLEANS))},
    {"poplib", ROWS(ROW_BREAKS("POP3._getline", NULL))},
    {"shelve", ROWS(ROW("Shelf.sync", MAKES))},
    {"smtplib", ROWS(ROW_BREAKS("SMTP.getreply", NULL))},
    {"subprocess", ROWS(ROW("Popen.__init__", MAKES))},
    {"tempfile", ROWS(ROW("TemporaryDirectory.cleanup", CLEANS))},
    {"threading", ROWS(ROW("Thread.start", MAKES))},
    {"weakref", ROWS(ROW("finalize.__call__", CLEANS))},
    {"xmlrpc.client", ROWS(ROW_BREAKS("Transport.single_request", NULL))},
};

enum { TABLES = sizeof(tables) / sizeof(*tables) };

static bool
is_of_this_version(const row *of)
{
    return of->since <= PY_MINOR_VERSION && PY_MINOR_VERSION <= of->until;
}

/* By its names. ------------------------------------------------------------------------------- */

/* Does the file's name end as that of a module of that name does? */
static bool
is_file_of(const char *file, const char *module)
{
    size_t length = strlen(file), wanted = strlen(module);
    const char *const ends[] = {".py", ".pyc", "/__init__.py", "/__init__.pyc"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        size_t end = strlen(ends[i]);
        if (length < wanted + end || strcmp(file + length - end, ends[i]) != 0) {
            continue;
        }
        const char *at = file + length - end - wanted;
        size_t same = 0;
        while (same < wanted && at[same] == (module[same] == '.' ? '/' : module[same])) {
            same++;
        }
        if (same == wanted && (at == file || at[-1] == '/')) {
            return true;
        }
    }
    return false;
}

mod_maker
mod_maker_of(PyCodeObject *code)
{
    mod_maker maker = {0, 0};
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    if (file == NULL) {
        PyErr_Clear();
        return maker;
    }
    for (size_t i = 0; i < TABLES && maker.module == 0; i++) {
        maker.module = is_file_of(file, tables[i].name) ? (uint8_t)(i + 1) : 0;
    }
    row *rows = maker.module == 0 ? NULL : tables[maker.module - 1].rows;
    for (size_t i = 0; rows != NULL && rows[i].function != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(code->co_qualname, rows[i].function) == 0) {
            maker.row = (uint8_t)(i + 1);
        }
    }
    return maker;
}

/* Has the frame's variable of that name a value? */
static bool
has_value(PyFrameObject *frame, PyCodeObject *code, const char *variable)
{
    PyObject *value = mod_frame_variable(frame, code, variable);
    Py_XDECREF(value);
    return value != NULL;
}

/* How much of a name says of which class it is: with the last dot. */
static size_t
length_of_class(const char *function)
{
    const char *dot = strrchr(function, '.');
    return dot == NULL ? 0 : (size_t)(dot - function) + 1;
}

/* Is the code of a class of which a row has gone, and so perhaps what that was about? */
static bool
is_of_gone(const table *of, PyCodeObject *code)
{
    const char *name = PyUnicode_AsUTF8(code->co_qualname);
    for (const row *at = of->rows; name != NULL && at->function != NULL; at++) {
        if (atomic_load_explicit(&at->gone, memory_order_relaxed) &&
            strncmp(name, at->function, length_of_class(at->function)) == 0) {
            return true;
        }
    }
    PyErr_Clear();
    return name == NULL;
}

mod_making
mod_what_it_makes(mod_state *state, mod_maker maker, PyFrameObject *frame, PyCodeObject *code)
{
    if (maker.module == 0) {
        return MOD_MAKES_NOTHING;
    }
    const table *of = &tables[maker.module - 1];
    bool incomplete = atomic_load_explicit(&of->incomplete, memory_order_relaxed);
    if ((maker.row == 0 && !incomplete) || !mod_is_protected_frame(state, frame, code)) {
        return MOD_MAKES_NOTHING;
    }
    if (maker.row == 0) {
        return is_of_gone(of, code) ? MOD_MAKES : MOD_MAKES_NOTHING;
    }
    const row *found = &of->rows[maker.row - 1];
    if (found->variable != NULL && !has_value(frame, code, found->variable)) {
        return MOD_MAKES_NOTHING;
    }
    return found->kind;
}

/* Is it there? -------------------------------------------------------------------------------- */

/* The code of that qualified name among a code's constants: a new reference, or NULL. */
static PyObject *
find_inner_code(PyObject *outer, const char *qualified)
{
    PyObject *constants = ((PyCodeObject *)outer)->co_consts;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); i++) {
        PyObject *constant = PyTuple_GET_ITEM(constants, i);
        if (PyCode_Check(constant) &&
            PyUnicode_CompareWithASCIIString(((PyCodeObject *)constant)->co_qualname, qualified) ==
                0) {
            return Py_NewRef(constant);
        }
    }
    return NULL;
}

/* What a module or class has under a name: a new reference, or NULL. Nothing of Python's runs. */
static PyObject *
find_in(PyObject *holder, const char *name)
{
    return PyType_Check(holder)     ? mod_find_in_class((PyTypeObject *)holder, name)
           : PyModule_Check(holder) ? mod_find_named(PyModule_GetDict(holder), name)
                                    : NULL;
}

/* A function's code, in whatever it is wrapped: takes the reference, a new one or NULL. */
static PyObject *
code_of(PyObject *function)
{
    if (function == NULL || PyFunction_Check(function)) {
        PyObject *code = function == NULL ? NULL : Py_NewRef(PyFunction_GET_CODE(function));
        Py_XDECREF(function);
        return code;
    }
    PyObject *inner = NULL;
    if (Py_IS_TYPE(function, &PyStaticMethod_Type) || Py_IS_TYPE(function, &PyClassMethod_Type)) {
        inner = PyObject_GetAttrString(function, "__func__");
    }
    PyErr_Clear();
    Py_DECREF(function);
    return inner == NULL ? NULL : code_of(inner);
}

/* The code of a row's function, as the module has it; what was replaced by somebody's own is that.
   NULL: there is none. */
static PyObject *
find_maker(PyObject *module, const char *function)
{
    static const char inner[] = ".<locals>.";
    char name[128];
    const char *local = strstr(function, inner);
    (void)PyOS_snprintf(name, sizeof(name), "%.*s",
                        (int)(local == NULL ? strlen(function) : (size_t)(local - function)),
                        function);
    PyObject *at = Py_NewRef(module);
    for (char *part = name, *next; part != NULL && at != NULL; part = next) {
        next = strchr(part, '.');
        if (next != NULL) {
            *next++ = '\0';
        }
        PyObject *found = find_in(at, part);
        Py_DECREF(at);
        at = found;
    }
    if (local == NULL) {
        return at;
    }
    PyObject *outer = code_of(at);
    PyObject *code = outer == NULL ? NULL : find_inner_code(outer, function);
    Py_XDECREF(outer);
    return code;
}

PyObject *
mod_find_code_of(PyObject *module, const char *function)
{
    return code_of(find_maker(module, function));
}

/* Has the function that variable? Only asked of the standard library's own. */
static bool
has_variable(PyObject *function, const row *of)
{
    PyObject *code = code_of(Py_NewRef(function));
    bool answer = true;
    if (code != NULL && of->variable != NULL) {
        answer = mod_find_variable((PyCodeObject *)code, of->variable) != -1;
    }
    Py_XDECREF(code);
    return answer;
}

/* The module, when it has been imported to its end: a new reference, or NULL. PyImport_GetModule
   would wait for that end. */
static PyObject *
find_module(const char *name)
{
    PyObject *module = mod_find_named(PyImport_GetModuleDict(), name);
    PyObject *spec = module == NULL ? NULL : find_in(module, "__spec__");
    PyObject *begun = spec == NULL ? NULL : PyObject_GetAttrString(spec, "_initializing");
    if (begun == Py_True) {
        Py_CLEAR(module);
    }
    Py_XDECREF(begun);
    Py_XDECREF(spec);
    PyErr_Clear();
    return module;
}

static void
check(table *of)
{
    PyObject *module = find_module(of->name);
    if (module == NULL) {
        return;
    }
    bool incomplete = false;
    for (row *at = of->rows; at->function != NULL; at++) {
        PyObject *function = is_of_this_version(at) ? find_maker(module, at->function) : NULL;
        bool gone = is_of_this_version(at) && (function == NULL || !has_variable(function, at));
        atomic_store_explicit(&at->gone, gone, memory_order_relaxed);
        incomplete = incomplete || gone;
        Py_XDECREF(function);
    }
    atomic_store_explicit(&of->incomplete, incomplete, memory_order_relaxed);
    atomic_store_explicit(&of->checked, true, memory_order_relaxed);
    Py_DECREF(module);
}

void
mod_makers_check(mod_maker maker)
{
    if (maker.module != 0 &&
        !atomic_load_explicit(&tables[maker.module - 1].checked, memory_order_relaxed)) {
        check(&tables[maker.module - 1]);
    }
}

/* Breaking off. ------------------------------------------------------------------------------- */

/* Close what the row says, of `self`: again if a signal handler breaks that off; `*later`: what it
   has raised. What else goes wrong is nobody's: it has been closed already. */
static void
close_what_breaks(mod_state *state, PyObject *self, const char *path, PyObject **later)
{
    enum { TRIES = 5 };
    PyObject *module = mod_module_of_ours("interruption._broken_off");
    PyObject *done = NULL;
    for (int i = 0; module != NULL && done == NULL && i < TRIES; i++) {
        done = PyObject_CallMethod(module, "close", "Oz", self, path);
        if (done == NULL && !mod_raised_later(state, later)) {
            break;
        }
    }
    PyErr_Clear();
    Py_XDECREF(done);
    Py_XDECREF(module);
}

static bool
break_off(mod_state *state, PyFrameObject *frame, PyCodeObject *code, PyObject **later)
{
    bool protected = mod_is_protected_frame(state, frame, code);
    mod_maker maker = protected ? mod_maker_of(code) : (mod_maker){0, 0};
    const row *found = maker.row == 0 ? NULL : &tables[maker.module - 1].rows[maker.row - 1];
    PyObject *self = NULL;
    if (found != NULL && found->kind == MOD_BREAKS) {
        self = mod_frame_argument(frame, code, 0);
    }
    if (self != NULL) {
        close_what_breaks(state, self, found->breaks, later);
        Py_DECREF(self);
    }
    return protected;
}

void
mod_makers_break_off(mod_state *state, PyThreadState *tstate)
{
    mod_raised raised = mod_put_aside();
    PyObject *later = NULL;
    mod_walk walk = mod_walk_begin(tstate);
    while (walk.frame != NULL && break_off(state, walk.frame, walk.code, &later)) {
        mod_walk_on(&walk);
    }
    mod_walk_end(&walk);
    mod_put_back(raised);
    (void)mod_raise_kept(later);
}

/* Telling. ------------------------------------------------------------------------------------ */

static const char *
name_of_kind(mod_making kind)
{
    static const char *const names[] = {
        [MOD_MAKES_NOTHING] = "nothing", [MOD_MAKES] = "makes",   [MOD_GIVES] = "gives",
        [MOD_CLEANS] = "cleans",         [MOD_BREAKS] = "breaks", [MOD_BEGINS] = "begins",
    };
    return names[kind];
}

static int
tell_table(PyObject *list, const table *of)
{
    bool checked = atomic_load_explicit(&of->checked, memory_order_relaxed);
    for (const row *at = of->rows; at->function != NULL; at++) {
        if (!is_of_this_version(at)) {
            continue;
        }
        const char *state = !checked                                                ? "not imported"
                            : atomic_load_explicit(&at->gone, memory_order_relaxed) ? "gone"
                                                                                    : "there";
        PyObject *item =
            Py_BuildValue("(ssss)", of->name, at->function, name_of_kind(at->kind), state);
        int failed = item == NULL ? -1 : PyList_Append(list, item);
        Py_XDECREF(item);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

PyObject *
mod_makers(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < TABLES && list != NULL; i++) {
        if (!atomic_load_explicit(&tables[i].checked, memory_order_relaxed)) {
            check(&tables[i]);
        }
        if (tell_table(list, &tables[i]) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}
