/*
 * A FIFO is opened so that this does not wait, then its other end is waited for, and
 * the descriptor is made as it was asked for. Nothing tells when a writer opens it that does not
 * write, nor when a reader waits for a writer to open it; so we look again from time to time.
 *
 * open() of a FIFO is given os.open as its opener. What is no FIFO is the original's.
 */
#include "blocking/interposed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

#ifndef O_PATH
#define O_PATH 0
#endif

/* What is to be opened, and how. */
typedef struct {
    PyObject *name;  /* strong */
    PyObject *bytes; /* strong: the path, or NULL */
    int folder;      /* or AT_FDCWD */
    int flags;
    bool waits;     /* for a reader */
    itr_own_fd own; /* what is open, or none */
    int fd;         /* the program's, when the other end is there */
} opening;

/* Fill in the name, and the path if it can be one; false with an exception set: there is no name.
   To be ended by forget_opening. */
static bool
name_it(opening *of, PyObject *name)
{
    of->name = PyOS_FSPath(name);
    if (of->name != NULL && !PyUnicode_FSConverter(of->name, &of->bytes)) {
        PyErr_Clear(); /* the original says what is wrong */
    }
    return of->name != NULL;
}

static void
forget_opening(opening *of)
{
    Py_CLEAR(of->name);
    Py_CLEAR(of->bytes);
}

static bool
is_fifo(const opening *of)
{
    struct stat found;
    int status;
    if (of->bytes == NULL) {
        return false;
    }
    Py_BEGIN_ALLOW_THREADS
    status = fstatat(of->folder, PyBytes_AS_STRING(of->bytes), &found, 0);
    Py_END_ALLOW_THREADS
    return status == 0 && S_ISFIFO(found.st_mode);
}

/* With flags that may have to wait for the other end. */
static bool
open_may_wait(int flags)
{
    int way = flags & O_ACCMODE;
    return (way == O_RDONLY || way == O_WRONLY) &&
           !(flags & (O_NONBLOCK | O_DIRECTORY | O_PATH | O_EXCL));
}

/* The other end. ------------------------------------------------------------------------------ */

/* Is there a writer, or has there been one? What a read says without data, but nothing is taken. -1
   with errno set: that takes descriptors, and none are left. */
static int
has_writer(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    if (poll(&look, 1, 0) != 0) {
        return true;
    }
#ifdef __linux__
    int copy[2];
    if (pipe2(copy, O_CLOEXEC) < 0) {
        return -1;
    }
    ssize_t count = tee(fd, copy[1], 1, SPLICE_F_NONBLOCK);
    int error = errno;
    (void)close(copy[0]);
    (void)close(copy[1]);
    return count > 0 || (count < 0 && error == EAGAIN);
#else
    return false;
#endif
}

/* Open it, unless it is open already. 1: the other end is there; 0: not yet; -1 with errno set. A
   FIFO that has lost its name meanwhile is waited for, as by the original: perhaps for the next one
   of that name. */
static int
open_end(opening *of)
{
    int flags = (of->flags & ~O_CREAT) | O_NONBLOCK | O_CLOEXEC;
    if (!itr_own_fd_is_ours(&of->own) &&
        !itr_own_fd_keep(&of->own, openat(of->folder, PyBytes_AS_STRING(of->bytes), flags))) {
        bool not_yet = errno == ENXIO || (of->waits && errno == ENOENT);
        of->waits = true;
        return not_yet ? 0 : -1;
    }
    return (of->flags & O_ACCMODE) == O_WRONLY ? 1 : has_writer(of->own.fd);
}

/* See mod_try. The descriptor is as the program asked for. */
static int
try_open(void *arg)
{
    opening *of = arg;
    for (;;) {
        int there = open_end(of);
        if (there < 0) {
            (void)PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, of->name);
        }
        if (there <= 0) {
            return there;
        }
        of->fd = itr_own_fd_give(&of->own);
        if (of->fd >= 0) { /* else the program has closed it */
            (void)fcntl(of->fd, F_SETFL, fcntl(of->fd, F_GETFL) & ~O_NONBLOCK);
            return 1;
        }
    }
}

/* The descriptor, or NULL with an exception set. */
static PyObject *
open_fifo(mod_waiting *waiting, opening *of)
{
    waiting->own = &of->own;
    int status = mod_wait_trying(waiting, try_open, of, true, ITR_NEVER);
    itr_own_fd_close(&of->own);
    return status == 1 ? PyLong_FromLong(of->fd) : NULL;
}

/* os.open ------------------------------------------------------------------------------------- */

static bool
is_plain_name(PyObject *path)
{
    return PyUnicode_Check(path) || PyBytes_Check(path);
}

/* The arguments, if they are such that we can do the rest. */
static bool
sort_open_arguments(const mod_call *call, opening *of)
{
    PyObject *path = mod_call_argument(call, 0, "path");
    PyObject *flags = mod_call_argument(call, 1, "flags");
    PyObject *mode = mod_call_argument(call, 2, "mode");
    PyObject *folder = mod_call_argument(call, PY_SSIZE_T_MAX, "dir_fd");
    int unused;
    *of = (opening){.folder = AT_FDCWD, .own = ITR_NO_FD};
    return path != NULL && (folder == NULL || is_plain_name(path)) &&
           mod_int_of(flags, &of->flags) && open_may_wait(of->flags) &&
           (mode == NULL || mod_int_of(mode, &unused)) &&
           (folder == NULL || folder == Py_None || mod_int_of(folder, &of->folder)) &&
           mod_call_count(call) == 2 + (mode != NULL) + (folder != NULL) && name_it(of, path);
}

/* The original, with the path as it has been asked for: it is not asked again. */
static PyObject *
open_by_original(const mod_call *call, const opening *of)
{
    PyObject *mode = mod_call_argument(call, 2, "mode");
    PyObject *arguments[] = {of->name, mod_call_argument(call, 1, "flags"), mode};
    return is_plain_name(mod_call_argument(call, 0, "path"))
               ? mod_call_original(call)
               : mod_call_again(call, arguments, 2 + (mode != NULL));
}

static PyObject *
open_descriptor(const mod_call *call)
{
    opening of;
    mod_waiting waiting;
    if (!sort_open_arguments(call, &of)) {
        PyErr_Clear();
        return mod_call_original(call);
    }
    PyObject *result = NULL;
    if (!is_fifo(&of) || !mod_wait_begin(&waiting)) {
        result = open_by_original(call, &of);
    }
    else if (PySys_Audit("open", "OOi", of.name, Py_None, of.flags | O_CLOEXEC) == 0) {
        result = open_fifo(&waiting, &of);
    }
    forget_opening(&of);
    return result;
}

MOD_REPLACEMENT(os_open, mod_called_inside, open_descriptor);

/* open() -------------------------------------------------------------------------------------- */

enum { OPEN_ARGUMENTS = 8, OPENER = OPEN_ARGUMENTS - 1 };

static bool
is_text_or_none(PyObject *argument)
{
    return argument == Py_None || PyUnicode_Check(argument);
}

/* The arguments of the call, each as it is if it was not given. False: it has others, or one twice,
   or of a wrong type, or an opener; that is the original's. */
static bool
find_open_arguments(const mod_call *call, PyObject *arguments[OPEN_ARGUMENTS])
{
    static const char *const names[OPEN_ARGUMENTS] = {"file",   "mode",    "buffering", "encoding",
                                                      "errors", "newline", "closefd",   "opener"};
    Py_ssize_t given = 0;
    for (int i = 0; i < OPEN_ARGUMENTS; i++) {
        PyObject *argument = mod_call_argument(call, i, names[i]);
        arguments[i] = argument != NULL ? argument : arguments[i];
        given += argument != NULL;
    }
    return mod_call_count(call) == given && arguments[0] != NULL && !PyNumber_Check(arguments[0]) &&
           PyUnicode_Check(arguments[1]) && PyLong_CheckExact(arguments[2]) &&
           is_text_or_none(arguments[3]) && is_text_or_none(arguments[4]) &&
           is_text_or_none(arguments[5]) && arguments[OPENER] == Py_None;
}

/* A new reference to os.open, which a FIFO is opened by. */
static PyObject *
find_opener(void)
{
    PyObject *module = PyImport_ImportModule("posix");
    PyObject *opener = module == NULL ? NULL : PyObject_GetAttrString(module, "open");
    Py_XDECREF(module);
    return opener;
}

/* Of what has a name: the same call by it, with an opener if it is a FIFO's. */
static PyObject *
open_named(const mod_call *call, const opening *of, PyObject *arguments[OPEN_ARGUMENTS])
{
    bool fifo = is_fifo(of);
    if (!fifo && is_plain_name(arguments[0])) {
        return mod_call_original(call);
    }
    PyObject *opener = fifo ? find_opener() : Py_NewRef(Py_None);
    arguments[0] = of->name;
    arguments[OPENER] = opener;
    PyObject *result = opener == NULL ? NULL : mod_call_again(call, arguments, OPEN_ARGUMENTS);
    Py_XDECREF(opener);
    return result;
}

static PyObject *
open_file(const mod_call *call)
{
    opening of = {.folder = AT_FDCWD, .own = ITR_NO_FD};
    PyObject *mode = PyUnicode_FromString("r"), *buffering = PyLong_FromLong(-1);
    PyObject *arguments[OPEN_ARGUMENTS] = {NULL,    mode,    buffering, Py_None,
                                           Py_None, Py_None, Py_True,   Py_None};
    PyObject *result = NULL;
    if (mode != NULL && buffering != NULL) {
        if (!find_open_arguments(call, arguments)) {
            result = mod_call_original(call);
        }
        else if (name_it(&of, arguments[0])) {
            result = open_named(call, &of, arguments);
        }
        forget_opening(&of);
    }
    Py_XDECREF(mode);
    Py_XDECREF(buffering);
    return result;
}

MOD_REPLACEMENT(io_open, mod_called_inside, open_file);

static const mod_row opening_rows[] = {
    {"posix", NULL, "open", &os_open, false},
    {"_io", NULL, "open", &io_open, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_opening = {.name = "opening FIFOs", .rows = opening_rows};
