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

/* atomic: released under the mutex, after `reason` was written; acquired by who reads that. */
static _Atomic enum { NOT_TESTED, WELL, REFUSED } verdict;

static char reason[REASON_SIZE]; /* guarded by the mutex until it is released, constant then */

/* The forms. ------------------------------------------------------------------------------------
 *
 * Source, with a comment on each line: its mark says what the line's instructions must be.
 * "Somewhere", "nowhere" are about where an exception may be raised between statements.
 */
enum {
    /* '.': anything */
    POINT = 'p',      /* somewhere; and where it calls, it is known to */
    GAP = 'g',        /* nowhere, if there is an instruction at all: before what a `try` protects */
    FINALLY = 'f',    /* nowhere, and one is in a `finally`, */
    LOOP_THERE = 'F', /* nor in a loop that is all on that line */
    EXCEPT = 'e',     /* nowhere, and one is in an `except` */
    WITH = 'w',       /* somewhere, and there are the entry and the exit of a `with` */
    LOOP = 'l',       /* at the head of a loop or its jump back */
};

static const char forms[] =
    "def f(a): #.\n"
    " for x in a(): #p\n"
    "  with x: #w\n"
    "   if a(): break #p\n"
    "   if x(): continue #p\n"
    "  x.acquire() #p\n"
    "  try: #g\n"
    "   if x(): break #p\n"
    "   if a(): return a() #p\n"
    "   a() #p\n"
    "  finally: #.\n"
    "   a() #f\n"
    "   x.release() #f\n"
    " while a: pass #l\n"
    " match a(): #p\n"
    "  case [x, *_] if x: #.\n"
    "   x() #p\n"
    " return [x() for x in a] #p\n"
    "def f(a): #.\n"
    " try: #g\n"
    "  a() #p\n"
    " except OSError as e: #e\n"
    "  a(e) #e\n"
    " else: #.\n"
    "  a() #p\n"
    " finally: #.\n"
    "  a() #f\n"
    " try: #g\n"
    "  a() #p\n"
    " except* OSError: #e\n"
    "  a() #e\n"
    " try: #g\n"
    "  yield a() #p\n"
    " except: #e\n"
    "  a() #e\n"
    " finally: #.\n"
    "  for x in a: x() #F\n"
    "  with a: a() #f\n"
    " while True: pass #l\n"
    "async def f(a): #.\n"
    " async with a as x: #w\n"
    "  async for x in a(): #p\n"
    "   await x() #p\n"
    " try: #g\n"
    "  a() #p\n"
    " finally: #.\n"
    "  await a() #f\n"
    /* Of a `try` that cannot fail compilers leave no handler that anything leads to. */
    "def f(a): #.\n"
    " for x in a: #p\n"
    "  try: pass #g\n"
    "  finally: #.\n"
    "   a() #f\n"
    " while a: #.\n"
    "  try: break #.\n"
    "  finally: #.\n"
    "   a() #f\n"
    " try: #g\n"
    "  try: x = 1 #.\n"
    "  finally: #.\n"
    "   a() #f\n"
    " finally: #.\n"
    "  a() #f\n"
    " try: return 1 #.\n"
    " finally: #.\n"
    "  if a: a() #f\n";

/* What there is at the instructions of a line. */
typedef struct {
    bool point, calls, entry, exit, in_finally, in_except, loop;
} findings;

/* Of one code object. 1; 0: it is not understood at all; -1: no memory. */
static int
find_in_code(PyCodeObject *code, findings *lines, int count)
{
    mod_bytecode bytecode;
    int done = mod_bytecode_read(&bytecode, code);
    mod_safepoints *points = done > 0 ? mod_safepoints_new(code) : NULL;
    done = done > 0 && points == NULL ? -1 : done;
    for (int i = 0; points != NULL && i < bytecode.count; i++) {
        int line = bytecode.instructions[i].line, lasti = 2 * bytecode.instructions[i].unit;
        if (line < 1 || line > count) {
            continue;
        }
        findings *at = &lines[line - 1];
        unsigned flags = mod_safepoint_flags(points, lasti);
        mod_cleanup in = mod_safepoint_cleanup(points, lasti, -1);
        bool free = in == MOD_IN_NOTHING && !(flags & MOD_SAFEPOINT_GAP);
        bool begins = i == 0 || bytecode.instructions[i - 1].line != line;
        at->point |= free && begins && (flags & MOD_SAFEPOINT_STATEMENT);
        at->loop |= free && (flags & (MOD_SAFEPOINT_LOOP | MOD_SAFEPOINT_HEAD));
        at->calls |= (flags & MOD_SAFEPOINT_CALLS) != 0;
        at->entry |= in == MOD_IN_WITH_ENTRY;
        at->exit |= in == MOD_IN_WITH_EXIT;
        at->in_finally |= in == MOD_IN_FINALLY;
        at->in_except |= in == MOD_IN_EXCEPT;
    }
    mod_safepoints_free(points);
    mod_bytecode_free(&bytecode);
    return done;
}

/* Of a code object and all that are within it. */
static int
find_in_all(PyCodeObject *code, findings *lines, int count)
{
    int done = find_in_code(code, lines, count);
    for (Py_ssize_t i = 0; done > 0 && i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyObject *constant = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(constant)) {
            done = find_in_all((PyCodeObject *)constant, lines, count);
        }
    }
    return done;
}

static bool
is_as_marked(char mark, bool calls, const findings *found)
{
    switch (mark) {
    case POINT:
        return found->point && (!calls || found->calls);
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

/* Is each line as marked? Else it is told. */
static int
compare_lines(const char *source, const findings *lines, char *said)
{
    for (int line = 0; *source != '\0'; line++) {
        size_t text = strcspn(source, "#\n"), all = strcspn(source, "\n");
        char mark = text < all ? source[text + 1] : '.';
        bool calls = memchr(source, '(', text) != NULL;
        if (!is_as_marked(mark, calls, &lines[line])) {
            size_t indent = strspn(source, " ");
            (void)PyOS_snprintf(said, REASON_SIZE,
                                "its compiler makes something else of \"%.*s\" (form %d)",
                                (int)(text - indent - 1), source + indent, line + 1);
            return 0;
        }
        source += all + (source[all] != '\0');
    }
    return 1;
}

static int
count_lines(const char *source)
{
    int count = 1;
    while ((source = strchr(source, '\n')) != NULL) {
        source++;
        count++;
    }
    return count;
}

/* 1: all is as marked, 0: it is not, which `said` tells; -1 with an exception set. */
static int
test_forms(const char *source, char *said)
{
    int count = count_lines(source);
    findings *lines = PyMem_Calloc((size_t)count, sizeof(*lines));
    PyObject *code = lines == NULL ? PyErr_NoMemory()
                                   : Py_CompileString(source, "<interruption>", Py_file_input);
    int done = code == NULL ? -1 : find_in_all((PyCodeObject *)code, lines, count);
    if (code != NULL && done < 0) {
        (void)PyErr_NoMemory();
    }
    else if (done == 0) {
        (void)PyOS_snprintf(said, REASON_SIZE, "its compiled code is not understood");
    }
    else if (done > 0) {
        done = compare_lines(source, lines, said);
    }
    Py_XDECREF(code);
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
    long number = name == NULL || mod_get_item(modules, name, &module) < 0 ? -1 : 0;
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
    const char *strange = mod_strange_layout();
    strange = strange == NULL ? mod_strange_frames() : strange;
    if (strange != NULL) {
        (void)PyOS_snprintf(said, REASON_SIZE, "its %s is not where it was", strange);
        return 0;
    }
    return test_forms(forms, said);
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
mod_self_test_once(void)
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
    mod_mutex_lock(&mod_mutexes.self_test);
    if (atomic_load_explicit(&verdict, memory_order_relaxed) == NOT_TESTED) {
        memcpy(reason, said, REASON_SIZE);
        atomic_store_explicit(&verdict, done > 0 ? WELL : REFUSED, memory_order_release);
    }
    mod_mutex_unlock(&mod_mutexes.self_test);
}

bool
mod_statements_are_refused(void)
{
    return atomic_load_explicit(&verdict, memory_order_relaxed) == REFUSED;
}

PyObject *
mod_refused(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    if (atomic_load_explicit(&verdict, memory_order_acquire) != REFUSED) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(reason);
}

PyObject *
mod_self_test(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *source = NULL;
    if (!PyArg_ParseTuple(args, "|z:_self_test", &source)) {
        return NULL;
    }
    char said[REASON_SIZE] = "";
    int done = source == NULL ? test_all(said) : test_forms(source, said);
    return done < 0 ? NULL : done > 0 ? Py_NewRef(Py_None) : PyUnicode_FromString(said);
}
