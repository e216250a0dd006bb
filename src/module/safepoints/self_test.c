/*
 * See self_test.h. The verdict is written once, under the mutex; others read it by `verdict` first.
 */
#include "safepoints/self_test.h"

#include <stdatomic.h>
#include <string.h>

#include "safepoints/bytecode.h"
#include "cpython/compat.h"
#include "cpython/frame.h"
#include "safepoints/safepoints.h"

enum { REASON_SIZE = 256 };

static interruption_mutex self_test_mutex = INTERRUPTION_MUTEX_INIT;

/* atomic: released under the mutex, after `reason` was written; acquired by who reads that. */
static _Atomic enum { NOT_TESTED, WELL, REFUSED } verdict;

static char reason[REASON_SIZE]; /* guarded by the mutex until it is released, constant then */

/* The forms. ------------------------------------------------------------------------------------
 *
 * A line's mark says what its instructions must be. "Somewhere", "nowhere" are about where an
 * exception may be raised between statements.
 */
enum {
    ANYTHING = '.',
    POINT = 'p',      /* somewhere; and where it calls, it is known to */
    GAP = 'g',        /* nowhere, if there is an instruction at all: before what a `try` protects */
    FINALLY = 'f',    /* nowhere, and one is in a `finally`, */
    LOOP_THERE = 'F', /* nor in a loop that is all on that line */
    EXCEPT = 'e',     /* nowhere, and one is in an `except` */
    WITH = 'w',       /* somewhere, and there are the entry and the exit of a `with` */
    LOOP = 'l',       /* at the head of a loop or its jump back */
};

typedef struct {
    char mark;
    const char *text;
} form;

static const form forms[] = {
    {'.', "def f(a):"},
    {'p', " for x in a():"},
    {'w', "  with x:"},
    {'p', "   if a(): break"},
    {'p', "   if x(): continue"},
    {'p', "  x.acquire()"},
    {'g', "  try:"},
    {'p', "   if x(): break"},
    {'p', "   if a(): return a()"},
    {'p', "   a()"},
    {'.', "  finally:"},
    {'f', "   a()"},
    {'f', "   x.release()"},
    {'l', " while a: pass"},
    {'p', " match a():"},
    {'.', "  case [x, *_] if x:"},
    {'p', "   x()"},
    {'p', " return [x() for x in a]"},
    {'.', "def f(a):"},
    {'g', " try:"},
    {'p', "  a()"},
    {'e', " except OSError as e:"},
    {'e', "  a(e)"},
    {'.', " else:"},
    {'p', "  a()"},
    {'.', " finally:"},
    {'f', "  a()"},
    {'g', " try:"},
    {'p', "  a()"},
    {'e', " except* OSError:"},
    {'e', "  a()"},
    {'g', " try:"},
    {'p', "  yield a()"},
    {'e', " except:"},
    {'e', "  a()"},
    {'.', " finally:"},
    {'F', "  for x in a: x()"},
    {'f', "  with a: a()"},
    {'l', " while True: pass"},
    {'.', "async def f(a):"},
    {'w', " async with a as x:"},
    {'p', "  async for x in a():"},
    {'p', "   await x()"},
    {'g', " try:"},
    {'p', "  a()"},
    {'.', " finally:"},
    {'f', "  await a()"},
    /* Of a `try` that cannot fail compilers leave no handler that anything leads to. */
    {'.', "def f(a):"},
    {'p', " for x in a:"},
    {'g', "  try: pass"},
    {'.', "  finally:"},
    {'f', "   a()"},
    {'.', " while a:"},
    {'.', "  try: break"},
    {'.', "  finally:"},
    {'f', "   a()"},
    {'g', " try:"},
    {'.', "  try: x = 1"},
    {'.', "  finally:"},
    {'f', "   a()"},
    {'.', " finally:"},
    {'f', "  a()"},
    {'.', " try: return 1"},
    {'.', " finally:"},
    {'f', "  if a: a()"},
};

enum { FORMS = sizeof(forms) / sizeof(*forms), MOST_LINES = 1024 };

/* What there is at the instructions of a line. */
typedef struct {
    bool point, calls, entry, exit, in_finally, in_except, loop;
} findings;

/* Of one code object. 1; 0: it is not understood at all; -1: no memory. */
static int
look_at_code(PyCodeObject *code, findings *lines, int count)
{
    interruption_bytecode bytecode;
    int done = interruption_bytecode_read(&bytecode, code);
    interruption_points *points = done > 0 ? interruption_points_new(code) : NULL;
    done = done > 0 && points == NULL ? -1 : done;
    for (int i = 0; points != NULL && i < bytecode.count; i++) {
        int line = bytecode.instructions[i].line, lasti = 2 * bytecode.instructions[i].unit;
        if (line < 1 || line > count) {
            continue;
        }
        findings *at = &lines[line - 1];
        unsigned flags = interruption_point_flags(points, lasti);
        interruption_cleanup in = interruption_point_cleanup(points, lasti, -1, NULL);
        bool free = in == INTERRUPTION_IN_NOTHING && !(flags & INTERRUPTION_POINT_GAP);
        bool begins = i == 0 || bytecode.instructions[i - 1].line != line;
        at->point |= free && begins && (flags & INTERRUPTION_POINT_STATEMENT);
        at->loop |= free && (flags & (INTERRUPTION_POINT_LOOP | INTERRUPTION_POINT_HEAD));
        at->calls |= (flags & INTERRUPTION_POINT_CALLS) != 0;
        at->entry |= in == INTERRUPTION_IN_WITH_ENTRY;
        at->exit |= in == INTERRUPTION_IN_WITH_EXIT;
        at->in_finally |= in == INTERRUPTION_IN_FINALLY;
        at->in_except |= in == INTERRUPTION_IN_EXCEPT;
    }
    interruption_points_free(points);
    interruption_bytecode_free(&bytecode);
    return done;
}

/* Of a code object and all that are within it. */
static int
look_at_all(PyCodeObject *code, findings *lines, int count)
{
    int done = look_at_code(code, lines, count);
    for (Py_ssize_t i = 0; done > 0 && i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyObject *constant = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(constant)) {
            done = look_at_all((PyCodeObject *)constant, lines, count);
        }
    }
    return done;
}

static bool
is_as_marked(const form *of, const findings *found)
{
    switch (of->mark) {
    case POINT:
        return found->point && (strchr(of->text, '(') == NULL || found->calls);
    case GAP:
        return !found->point;
    case LOOP_THERE:
        return !found->point && !found->loop && found->in_finally;
    case FINALLY:
        return !found->point && found->in_finally;
    case EXCEPT:
        return !found->point && found->in_except;
    case WITH:
        return found->point && found->entry && found->exit;
    case LOOP:
        return found->loop;
    default:
        return true;
    }
}

/* The forms as one module's source, to be given back by PyMem_Free; or NULL. */
static char *
write_source(const form *all, int count)
{
    size_t size = 1;
    for (int i = 0; i < count; i++) {
        size += strlen(all[i].text) + 1;
    }
    char *source = PyMem_Malloc(size), *at = source;
    for (int i = 0; source != NULL && i < count; i++) {
        size_t length = strlen(all[i].text);
        memcpy(at, all[i].text, length);
        at[length] = '\n';
        at += length + 1;
    }
    if (source != NULL) {
        *at = '\0';
    }
    return source;
}

/* 1: all is as marked, 0: it is not, which `said` tells; -1 with an exception set. */
static int
compare_form(const form *all, int count, findings *lines, char *said)
{
    char *source = write_source(all, count);
    PyObject *code = source == NULL ? PyErr_NoMemory()
                                    : Py_CompileString(source, "<interruption>", Py_file_input);
    PyMem_Free(source);
    if (code == NULL) {
        return -1;
    }
    int done = look_at_all((PyCodeObject *)code, lines, count);
    Py_DECREF(code);
    if (done < 0) {
        (void)PyErr_NoMemory();
        return -1;
    }
    if (done == 0) {
        (void)PyOS_snprintf(said, REASON_SIZE, "its compiled code is not understood");
        return 0;
    }
    for (int i = 0; i < count; i++) {
        if (!is_as_marked(&all[i], &lines[i])) {
            (void)PyOS_snprintf(said, REASON_SIZE,
                                "its compiler makes something else of \"%s\" (form %d)",
                                all[i].text + strspn(all[i].text, " "), i + 1);
            return 0;
        }
    }
    return 1;
}

static int
test_forms(const form *all, int count, char *said)
{
    findings *lines = PyMem_Calloc((size_t)count + 1, sizeof(*lines));
    if (lines == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    int done = compare_form(all, count, lines, said);
    PyMem_Free(lines);
    return done;
}

/* The rest. ----------------------------------------------------------------------------------- */

/* The number of this interpreter's bytecode, as it writes it into its files; 0 if it has none; -1
   with an exception set. */
static long
magic_number(void)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *name = PyUnicode_FromString("_frozen_importlib_external");
    PyObject *module = NULL, *bytes = NULL;
    long number = name == NULL || interruption_get_item(modules, name, &module) < 0 ? -1 : 0;
    if (module != NULL) {
        bytes = PyObject_GetAttrString(module, "MAGIC_NUMBER");
        number = bytes == NULL ? -1 : 0;
    }
    if (bytes != NULL && PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 4) {
        const unsigned char *from = (const unsigned char *)PyBytes_AS_STRING(bytes);
        number = from[0] | from[1] << 8;
    }
    Py_XDECREF(bytes);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return number;
}

static int
test_all(char *said)
{
    long magic = magic_number();
    if (magic < 0) {
        return -1;
    }
    if (magic != INTERRUPTION_MAGIC_NUMBER) {
        (void)PyOS_snprintf(said, REASON_SIZE,
                            "its bytecode has number %ld, and this library was built for %ld",
                            magic, (long)INTERRUPTION_MAGIC_NUMBER);
        return 0;
    }
    const char *strange = interruption_strange_layout();
    strange = strange == NULL ? interruption_strange_frames() : strange;
    if (strange != NULL) {
        (void)PyOS_snprintf(said, REASON_SIZE, "its %s is not where it was", strange);
        return 0;
    }
    return test_forms(forms, FORMS, said);
}

/* What the exception that is set says; it is cleared. */
static void
take_failure(char *said)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    (void)PyOS_snprintf(said, REASON_SIZE, "it cannot be tested: %s",
                        type == NULL ? "nothing" : ((PyTypeObject *)type)->tp_name);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

void
interruption_self_test_once(void)
{
    if (atomic_load_explicit(&verdict, memory_order_relaxed) != NOT_TESTED) {
        return;
    }
    char said[REASON_SIZE] = "";
    int done = test_all(said);
    /* Without memory some compilers fail and set nothing. */
    if (done < 0 && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_MemoryError) ||
                     PyErr_ExceptionMatches(PyExc_RecursionError) ||
                     PyErr_ExceptionMatches(PyExc_SystemError))) {
        PyErr_Clear(); /* the next region tries again */
        return;
    }
    if (done < 0) {
        take_failure(said);
    }
    interruption_mutex_lock(&self_test_mutex);
    if (atomic_load_explicit(&verdict, memory_order_relaxed) == NOT_TESTED) {
        memcpy(reason, said, REASON_SIZE);
        atomic_store_explicit(&verdict, done > 0 ? WELL : REFUSED, memory_order_release);
    }
    interruption_mutex_unlock(&self_test_mutex);
}

bool
interruption_statements_are_refused(void)
{
    return atomic_load_explicit(&verdict, memory_order_relaxed) == REFUSED;
}

PyObject *
interruption_refused(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    if (atomic_load_explicit(&verdict, memory_order_acquire) != REFUSED) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(reason);
}

/* For tests. ---------------------------------------------------------------------------------- */

static PyObject *
test_list(PyObject *list)
{
    form all[MOST_LINES];
    Py_ssize_t count = PyList_GET_SIZE(list);
    if (count > MOST_LINES) {
        PyErr_SetString(PyExc_ValueError, "too many lines");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        int mark;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "Cs", &mark, &all[i].text)) {
            return NULL;
        }
        all[i].mark = (char)mark;
    }
    char said[REASON_SIZE] = "";
    int done = test_forms(all, (int)count, said);
    return done < 0 ? NULL : done > 0 ? Py_NewRef(Py_None) : PyUnicode_FromString(said);
}

PyObject *
interruption_self_test(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *list = Py_None;
    if (!PyArg_ParseTuple(args, "|O:_self_test", &list)) {
        return NULL;
    }
    if (PyList_Check(list)) {
        return test_list(list);
    }
    if (list != Py_None) {
        PyErr_SetString(PyExc_TypeError, "forms must be a list or None");
        return NULL;
    }
    char said[REASON_SIZE] = "";
    int done = test_all(said);
    return done < 0 ? NULL : done > 0 ? Py_NewRef(Py_None) : PyUnicode_FromString(said);
}
