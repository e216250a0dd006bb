/*
 * See compat.h.
 *
 * A thread's serial is its thread state's id, which an interpreter counts up and never gives again.
 * Finding a thread from outside means walking the interpreter's list of thread states. With a GIL,
 * holding it keeps the list still, and with it every state in the list. Without one (free-threaded)
 * the lock of the list must be held, which no public function lends: see walk_threads_locked.
 */
#include "cpython/compat.h"

#include <stdatomic.h>
#include <stdlib.h>

#ifdef Py_GIL_DISABLED
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1 /* for _PyRuntime, whose lock guards the list */
#endif
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_pystate.h>
#endif
#endif

#define FREE MOD_MUTEX_INIT
#define ALL_FREE {FREE, FREE, FREE, FREE, FREE, FREE, FREE}

struct mod_mutexes mod_mutexes = ALL_FREE;

void
mod_mutexes_after_fork_child(void)
{
    mod_mutexes = (struct mod_mutexes)ALL_FREE;
}

/* The serial is the generation of the interpreter, then the id in the low bits. */
#define ID_BITS 48

static _Atomic uint64_t generation; /* written by mod_new_interpreter only */

static uint64_t
serial_of(PyThreadState *tstate)
{
    return atomic_load_explicit(&generation, memory_order_relaxed) << ID_BITS |
           PyThreadState_GetID(tstate);
}

PyObject *
mod_module_of_ours(const char *name)
{
    PyObject *key = PyUnicode_FromString(name);
    PyObject *module = key == NULL ? NULL : PyImport_GetModule(key);
    Py_XDECREF(key);
    return module != NULL || PyErr_Occurred() ? module : PyImport_ImportModule(name);
}

PyObject *
mod_interpreter_dict(void)
{
    PyObject *marks = PyInterpreterState_GetDict(PyInterpreterState_Get());
    if (marks == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter has no dictionary for extensions");
    }
    return marks;
}

int
mod_new_interpreter(void)
{
    PyObject *marks = mod_interpreter_dict();
    PyObject *mark =
        marks == NULL ? NULL : PyUnicode_InternFromString("interruption._interruption");
    if (mark == NULL) {
        return -1;
    }
    int known = PyDict_Contains(marks, mark);
    if (known == 0 && PyDict_SetItem(marks, mark, Py_True) < 0) {
        known = -1;
    }
    Py_DECREF(mark);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    return atomic_fetch_add(&generation, 1) > 0;
}

itr_thread
mod_self(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    return (itr_thread){(uintptr_t)PyThread_get_thread_ident(), serial_of(tstate)};
}

/* One entry of the list of thread states. */
typedef struct {
    itr_thread thread;
    unsigned long native_id; /* the kernel's; tells an unborn thread from a living one on 3.11 */
} entry;

typedef struct {
    PyInterpreterState *interpreter;
    entry *entries;
    size_t capacity;
    size_t count; /* how many there are, also if more than capacity */
} walk;

/* A thread that starts writes its id into its state while we may be reading it (gh-152741). Either
   value is right, and a word is not torn. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define READS_IDS_OF_STARTING_THREADS __attribute__((no_sanitize("thread")))
#endif
#elif defined(__SANITIZE_THREAD__)
#define READS_IDS_OF_STARTING_THREADS __attribute__((no_sanitize("thread")))
#endif
#ifndef READS_IDS_OF_STARTING_THREADS
#define READS_IDS_OF_STARTING_THREADS
#endif

/* Read the list, which must not change meanwhile. No Python code runs and nothing is allocated. */
READS_IDS_OF_STARTING_THREADS static void
walk_threads(walk *to)
{
    to->count = 0;
    PyThreadState *tstate = PyInterpreterState_ThreadHead(to->interpreter);
    for (; tstate != NULL; tstate = PyThreadState_Next(tstate)) {
        if (to->count < to->capacity) {
            to->entries[to->count] = (entry){
                .thread = {(uintptr_t)tstate->thread_id, serial_of(tstate)},
                .native_id = tstate->native_thread_id,
            };
        }
        to->count++;
    }
}

#ifdef Py_GIL_DISABLED

static int
walk_at_first_object(PyObject *Py_UNUSED(object), void *to)
{
    walk_threads(to);
    return 0; /* enough */
}

/*
 * The list's lock is a field of a struct that is not public. The interpreter says, for debuggers
 * (gh-106597), where the field behind it is; if that is not where our headers had it, we do not
 * touch it. What visits all objects for the garbage collector holds the lock, too, while its
 * callback runs, and is public, but it stops the world: a daemon thread that comes upon that while
 * the interpreter exits may be left hanging (gh-87135) with the world's lock in its hands, and the
 * exit waits for it for ever (S18).
 *
 * We detach before we wait for the lock, for the same reason: a thread that waits attached may be
 * given the lock and be left hanging. It hangs in PyEval_RestoreThread instead, with nothing held.
 */
static void
walk_threads_locked(walk *to)
{
    if (_PyRuntime.debug_offsets.runtime_state.interpreters_head !=
        offsetof(_PyRuntimeState, interpreters.head)) {
        PyUnstable_GC_VisitObjects(walk_at_first_object, to);
        return;
    }
    PyThreadState *self = PyEval_SaveThread();
    PyMutex_Lock(&_PyRuntime.interpreters.mutex);
    walk_threads(to);
    PyMutex_Unlock(&_PyRuntime.interpreters.mutex);
    PyEval_RestoreThread(self);
}

#else

/* The GIL is the lock. */
static void
walk_threads_locked(walk *to)
{
    walk_threads(to);
}

#endif

#if !defined(Py_GIL_DISABLED)

void
mod_while_stopped(void (*look)(void *arg), void *arg)
{
    look(arg);
}

bool
mod_world_is_stopped(void)
{
    return false;
}

#else

/* Has the calling thread stopped the world? It cannot do so twice. */
static ITR_TLS bool world_stopped;

typedef struct {
    void (*look)(void *arg);
    void *arg;
} deferred_look;

#if PY_VERSION_HEX >= 0x030E0000

static void
stop_and_look(const deferred_look *what)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    _PyEval_StopTheWorld(interpreter);
    what->look(what->arg);
    _PyEval_StartTheWorld(interpreter);
}

#else /* 3.13 does not export those; what visits all objects stops the world as well. */

static int
look_at_first_object(PyObject *Py_UNUSED(object), void *deferred)
{
    deferred_look *what = deferred;
    what->look(what->arg);
    return 0; /* enough */
}

static void
stop_and_look(deferred_look *what)
{
    PyUnstable_GC_VisitObjects(look_at_first_object, what);
}

#endif

void
mod_while_stopped(void (*look)(void *arg), void *arg)
{
    if (world_stopped) {
        look(arg);
        return;
    }
    deferred_look what = {look, arg};
    world_stopped = true;
    stop_and_look(&what);
    world_stopped = false;
}

bool
mod_world_is_stopped(void)
{
    return world_stopped;
}

#endif

/* A thread's own state. ----------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030D0000

static PyThreadState *
find_in_list(uintptr_t thread_id)
{
    PyThreadState *tstate = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (tstate != NULL && (uintptr_t)tstate->thread_id != thread_id) {
        tstate = PyThreadState_Next(tstate);
    }
    return tstate == NULL || tstate->_status.finalizing ? NULL : tstate;
}

#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000

/* Threads that are detached may come and go even then; but what is found is not theirs to take out
   before they have attached. See walk_threads_locked for the lock. */
PyThreadState *
mod_find_thread_state(uintptr_t thread_id)
{
    if (_PyRuntime.debug_offsets.runtime_state.interpreters_head !=
        offsetof(_PyRuntimeState, interpreters.head)) {
        return NULL;
    }
    PyMutex_Lock(&_PyRuntime.interpreters.mutex);
    PyThreadState *tstate = find_in_list(thread_id);
    PyMutex_Unlock(&_PyRuntime.interpreters.mutex);
    return tstate;
}

#else /* With a GIL it is the lock; in 3.13 what stops the world holds that of the list. */

PyThreadState *
mod_find_thread_state(uintptr_t thread_id)
{
    return find_in_list(thread_id);
}

#endif

void
mod_watch_end(const PyObject *lock, void (*tell)(const void *lock))
{
    (void)lock; /* none stands for a thread */
    (void)tell;
}

#else

/* What CPython calls at the end of a thread, with a weak reference to its lock (until gh-114271):
   static there, so it is learnt from the first thread that is found. Never changed afterwards. */
static void (*release_lock_of_thread)(void *reference);

static void (*told_of_end)(const void *lock);

static void
release_and_tell(void *reference)
{
    PyObject *lock = PyWeakref_GET_OBJECT((PyObject *)reference); /* None: it has been dropped */
    release_lock_of_thread(reference);
    told_of_end(lock);
}

static bool
ends_with(const PyThreadState *tstate, const PyObject *lock)
{
    PyObject *reference = tstate->on_delete_data;
    return tstate->on_delete != NULL && reference != NULL && PyWeakref_CheckRefExact(reference) &&
           PyWeakref_GET_OBJECT(reference) == lock;
}

void
mod_watch_end(const PyObject *lock, void (*tell)(const void *lock))
{
    PyThreadState *tstate = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (tstate != NULL && !ends_with(tstate, lock)) {
        tstate = PyThreadState_Next(tstate);
    }
    if (tstate == NULL || tstate->on_delete == release_and_tell) {
        return;
    }
    if (release_lock_of_thread == NULL) {
        release_lock_of_thread = tstate->on_delete;
    }
    if (tstate->on_delete == release_lock_of_thread) {
        told_of_end = tell;
        tstate->on_delete = release_and_tell;
    }
}

#endif

#if PY_VERSION_HEX >= 0x030F0000

/* Who has made a thread's state: CPython says it to itself only. Daemons are told from others since
   gh-136003, which changed what the end of the interpreter waits for. */
enum { MADE_BY_THREADING = 3, MADE_BY_THREADING_AS_DAEMON = 6 };

static void
count_as_daemon(void *thread_id)
{
    PyThreadState *tstate = mod_find_thread_state(*(const uintptr_t *)thread_id);
    if (tstate != NULL && tstate->_whence == MADE_BY_THREADING) {
        tstate->_whence = MADE_BY_THREADING_AS_DAEMON;
    }
}

void
mod_count_as_daemon(uintptr_t thread_id)
{
    mod_while_stopped(count_as_daemon, &thread_id);
}

#else

void
mod_count_as_daemon(uintptr_t thread_id)
{
    (void)thread_id;
}

#endif

#if PY_VERSION_HEX >= 0x030C0000
#define new_thread_state PyThreadState_New
#else
PyAPI_FUNC(void) _PyThreadState_SetCurrent(PyThreadState *);

/* What PyThreadState_New does, which crashes up to 3.11 if there is no memory. */
static PyThreadState *
new_thread_state(PyInterpreterState *interpreter)
{
    PyThreadState *made = _PyThreadState_Prealloc(interpreter);
    if (made != NULL) {
        _PyThreadState_SetCurrent(made);
    }
    return made;
}
#endif

bool
mod_attach_thread(void)
{
    PyThreadState *made = new_thread_state(PyInterpreterState_Main());
    if (made == NULL) {
        return false;
    }
    PyEval_AcquireThread(made);
    return true;
}

void
mod_detach_thread(void)
{
    PyThreadState_Clear(PyThreadState_Get());
    PyThreadState_DeleteCurrent();
}

/* Fill a walk, which grows until everything fits. -1 with MemoryError set. */
static int
collect_threads(walk *to)
{
    *to = (walk){.interpreter = PyInterpreterState_Get(), .capacity = 64};
    for (;;) {
        to->entries = PyMem_RawMalloc(to->capacity * sizeof(*to->entries));
        if (to->entries == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        walk_threads_locked(to);
        if (to->count <= to->capacity) {
            return 0;
        }
        PyMem_RawFree(to->entries);
        to->capacity = to->count + to->count / 4;
    }
}

#if PY_VERSION_HEX < 0x030C0000
/* By thread id, then by the kernel's, then by age. */
static int
compare_threads(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    if (a->thread.thread_id != b->thread.thread_id) {
        return a->thread.thread_id < b->thread.thread_id ? -1 : 1;
    }
    if (a->native_id != b->native_id) {
        return a->native_id < b->native_id ? -1 : 1;
    }
    return a->thread.serial < b->thread.serial ? -1 : 1;
}

/* Up to 3.11 a thread that does not run yet carries the ids of the thread that makes it: whoever
   has the same two ids as an older one is not running. */
static void
mark_unborn(walk *of)
{
    qsort(of->entries, of->count, sizeof(*of->entries), compare_threads);
    for (size_t i = of->count; i-- > 1;) {
        const entry *older = &of->entries[i - 1];
        entry *here = &of->entries[i];
        if (here->thread.thread_id == older->thread.thread_id &&
            here->native_id == older->native_id) {
            here->thread.thread_id = ITR_NO_THREAD_ID;
        }
    }
}
#else
/* From 3.12 (gh-59956) a state has no id before its thread runs: 0, which is ITR_NO_THREAD_ID. */
static void
mark_unborn(walk *of)
{
    (void)of;
}
#endif

int
mod_list_threads(itr_thread **threads, size_t *count)
{
    walk all;
    if (collect_threads(&all) < 0) {
        return -1;
    }
    mark_unborn(&all);
    *threads = PyMem_RawMalloc((all.count + 1) * sizeof(**threads));
    if (*threads != NULL) {
        for (size_t i = 0; i < all.count; i++) {
            (*threads)[i] = all.entries[i].thread;
        }
        *count = all.count;
    }
    PyMem_RawFree(all.entries);
    if (*threads == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

#if PY_VERSION_HEX >= 0x030D0000 /* gh-106004: it returns a new reference */
int
mod_get_item(PyObject *dict, PyObject *key, PyObject **item)
{
    return PyDict_GetItemRef(dict, key, item);
}
#else
int
mod_get_item(PyObject *dict, PyObject *key, PyObject **item)
{
    *item = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    if (*item != NULL) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}
#endif

PyObject *
mod_find_in_class(PyTypeObject *type, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
#if PY_VERSION_HEX >= 0x030D0000 /* gh-106004: it returns a new reference */
    PyObject *found = key == NULL ? NULL : _PyType_LookupRef(type, key);
#else
    PyObject *found = key == NULL ? NULL : Py_XNewRef(_PyType_Lookup(type, key));
#endif
    Py_XDECREF(key);
    PyErr_Clear();
    return found;
}

const char *
mod_strange_layout(void)
{
    PyThreadState *self = PyThreadState_Get();
    if (self->interp != PyThreadState_GetInterpreter(self)) {
        return "PyThreadState.interp";
    }
    if (self->thread_id != PyThread_get_thread_ident()) {
        return "PyThreadState.thread_id";
    }
#if PY_VERSION_HEX >= 0x030C0000 /* gh-59956 */
    if (!self->_status.initialized || !self->_status.bound || !self->_status.active ||
        self->_status.finalizing || self->_status.cleared) {
        return "PyThreadState._status";
    }
#endif
#if PY_VERSION_HEX >= 0x030F0000 /* gh-136003 */
    if (self->_whence < 0 || self->_whence > MADE_BY_THREADING_AS_DAEMON) {
        return "PyThreadState._whence";
    }
#endif
    return NULL;
}

int
mod_add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int status = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return status;
}
