/*
 * See opening.h. A FIFO is opened so that this does not wait, then its other end is waited for, and
 * the descriptor is made as it was asked for. Nothing tells when a writer opens it that does not
 * write, nor when a reader waits for a writer to open it; so we look again from time to time.
 *
 * open() is given an opener that does so. What is no FIFO is the original's.
 */
#include "blocking/io/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

/* How an open() is to be made. */
typedef struct {
    int folder;       /* or AT_FDCWD */
    PyObject *name;   /* strong */
    PyObject *bytes;  /* strong */
    const char *path; /* in the bytes */
    int flags;
    int mode;
} opening;

static bool
is_fifo(const opening *of)
{
    struct stat found;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = fstatat(of->folder, of->path, &found, 0);
    Py_END_ALLOW_THREADS
    return status == 0 && S_ISFIFO(found.st_mode);
}

/* With flags that may have to wait for the other end. */
static bool
open_may_wait(int flags)
{
    int way = flags & O_ACCMODE;
    return (way == O_RDONLY || way == O_WRONLY) &&
           !(flags & (O_NONBLOCK | O_DIRECTORY
#ifdef O_PATH
                      | O_PATH
#endif
                      )) &&
           (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

/* Fill in the name and path; false with an exception set if it is none. To be ended by forget(). */
static bool
name_it(opening *of, PyObject *name)
{
    of->name = PyOS_FSPath(name);
    if (of->name != NULL && PyUnicode_FSConverter(of->name, &of->bytes)) {
        of->path = PyBytes_AS_STRING(of->bytes);
        return true;
    }
    Py_CLEAR(of->name);
    return false;
}

static void
forget_opening(opening *of)
{
    Py_CLEAR(of->name);
    Py_CLEAR(of->bytes);
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

/* OSError for what the system has said. -1. */
static int
fail(const opening *of)
{
    (void)PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, of->name);
    return -1;
}

/* Wait for a writer. One that writes, or goes, wakes us. 0, also if the program has closed the
   descriptor meanwhile; or -1 with an exception set. */
static int
wait_for_writer(const interruption_waiting *waiting, const opening *of, const itr_own_fd *own)
{
    int64_t slice = 0;
    while (itr_own_fd_is_ours(own)) {
        int there = has_writer(own->fd);
        if (there != 0) {
            return there < 0 ? fail(of) : 0;
        }
        if (interruption_wait_check(waiting) < 0 ||
            interruption_wait_for_fd(waiting, own->fd, POLLIN, interruption_next_slice(&slice)) <
                0) {
            return -1;
        }
    }
    return 0;
}

/* A descriptor that stands for the FIFO, whatever becomes of its name; or none. */
static void
hold(const opening *of, itr_own_fd *held)
{
#ifdef O_PATH
    int flags = O_PATH | O_CLOEXEC | (of->flags & O_NOFOLLOW);
    (void)itr_own_fd_take(held, openat(of->folder, of->path, flags));
#else
    (void)of;
    *held = ITR_NO_FD;
#endif
}

/* Open it without waiting; again, if it is `held`. The descriptor, or -1 with errno. */
static int
open_at_once(const opening *of, const itr_own_fd *held)
{
    int flags = of->flags | O_NONBLOCK | O_CLOEXEC;
    if (itr_own_fd_is_ours(held)) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", held->fd);
        int fd = open(path, flags & ~(O_NOFOLLOW | O_CREAT));
        if (fd >= 0 || errno != ENOENT) {
            return fd;
        }
    }
    return openat(of->folder, of->path, flags, of->mode);
}

/* The same. 1, with the descriptor; 0, there is no reader yet; -1 with an exception set. */
static int
try_open(const opening *of, const itr_own_fd *held, itr_own_fd *fd)
{
    if (itr_own_fd_keep(fd, open_at_once(of, held))) {
        return 1;
    }
    return errno == ENXIO ? 0 : fail(of);
}

/* Wait for a reader. As try_open, but never 0. */
static int
wait_for_reader(const interruption_waiting *waiting, const opening *of, const itr_own_fd *held,
                itr_own_fd *fd)
{
    int64_t slice = 0;
    int status = 0;
    while (status == 0) {
        if (interruption_wait_check(waiting) < 0 ||
            interruption_wait_slice(waiting, &slice, ITR_NEVER) < 0) {
            return -1;
        }
        status = try_open(of, held, fd);
    }
    return status;
}

/* Open it, and wait for a reader if it is to be written to. 0, or -1 with an exception set. */
static int
open_end(const interruption_waiting *waiting, const opening *of, itr_own_fd *fd)
{
    itr_own_fd held = ITR_NO_FD;
    int status = try_open(of, &held, fd);
    if (status == 0) {
        hold(of, &held);
        status = wait_for_reader(waiting, of, &held, fd);
        itr_own_fd_close(&held);
    }
    return status < 0 ? -1 : 0;
}

/* The descriptor, with what the program asked for, or -1 if it has closed it meanwhile. */
static int
hand_over(itr_own_fd *own)
{
    int fd = itr_own_fd_give(own);
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    }
    return fd;
}

static int
open_and_wait(interruption_waiting *waiting, const opening *of)
{
    int fd = -1;
    while (fd < 0) {
        itr_own_fd own;
        if (open_end(waiting, of, &own) < 0) {
            return -1;
        }
        waiting->own = &own;
        if ((of->flags & O_ACCMODE) == O_RDONLY && wait_for_writer(waiting, of, &own) < 0) {
            itr_own_fd_close(&own);
            waiting->own = NULL;
            return -1;
        }
        fd = hand_over(&own);
        waiting->own = NULL;
    }
    return fd;
}

/* Open the FIFO. The descriptor, or -1 with an exception set. */
static int
open_fifo(interruption_waiting *waiting, const opening *of)
{
    waiting->quiet = true;
    int fd = open_and_wait(waiting, of);
    interruption_wait_over(waiting);
    return fd;
}

/* os.open ------------------------------------------------------------------------------------- */

/* The arguments, if they are such that we can do the rest. */
static bool
sort_open_arguments(const interruption_call *call, opening *of)
{
    PyObject *path = interruption_call_argument(call, 0, "path");
    PyObject *flags = interruption_call_argument(call, 1, "flags");
    PyObject *mode = interruption_call_argument(call, 2, "mode");
    PyObject *folder = interruption_call_argument(call, PY_SSIZE_T_MAX, "dir_fd");
    *of = (opening){.folder = AT_FDCWD, .mode = 0777};
    if (path == NULL || !interruption_int_of(flags, &of->flags) || !open_may_wait(of->flags) ||
        (mode != NULL && !interruption_int_of(mode, &of->mode)) ||
        (folder != NULL && folder != Py_None && !interruption_int_of(folder, &of->folder)) ||
        interruption_call_count(call) != 2 + (mode != NULL) + (folder != NULL)) {
        return false;
    }
    bool named = name_it(of, path);
    PyErr_Clear();
    return named;
}

/* The original, with the path as it has been asked for: it is not asked again. */
static PyObject *
open_by_original(const interruption_call *call, const opening *of)
{
    enum { MOST = 4 };
    const PyObject *path = interruption_call_argument(call, 0, "path");
    PyObject *vector[MOST];
    interruption_call again = *call;
    if (call->vector != NULL && path != of->name) {
        Py_ssize_t count = interruption_call_count(call); /* no more, as was seen */
        for (Py_ssize_t i = 0; i < count; i++) {
            vector[i] = call->vector[i] == path ? of->name : call->vector[i];
        }
        again.vector = vector;
    }
    return interruption_call_original(&again);
}

static PyObject *
open_descriptor(const interruption_call *call)
{
    opening of;
    interruption_waiting waiting;
    if (!sort_open_arguments(call, &of)) {
        return interruption_call_original(call);
    }
    if (!is_fifo(&of) || !interruption_wait_begin(&waiting)) {
        PyObject *result = open_by_original(call, &of);
        forget_opening(&of);
        return result;
    }
    int fd = -1;
    if (PySys_Audit("open", "OOi", of.name, Py_None, of.flags | O_CLOEXEC) == 0) {
        fd = open_fifo(&waiting, &of);
    }
    forget_opening(&of);
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

INTERRUPTION_REPLACEMENT(os_open, interruption_called_inside, open_descriptor);

/* open() -------------------------------------------------------------------------------------- */

/* Not a FIFO any more, or nothing that is waited for here. */
static int
open_plainly(const opening *of)
{
    int fd;
    Py_BEGIN_ALLOW_THREADS
    fd = open(of->path, of->flags | O_CLOEXEC, of->mode);
    Py_END_ALLOW_THREADS
    return fd >= 0 ? fd : fail(of);
}

/* As the opener of a file: (path, flags). */
static PyObject *
opener(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    PyObject *name;
    interruption_waiting waiting;
    opening of = {.folder = AT_FDCWD, .mode = 0666};
    if (!PyArg_ParseTuple(arguments, "Oi", &name, &of.flags)) {
        return NULL;
    }
    if (!name_it(&of, name)) {
        return NULL;
    }
    int fd = open_may_wait(of.flags) && interruption_wait_begin(&waiting) ? open_fifo(&waiting, &of)
                                                                          : open_plainly(&of);
    forget_opening(&of);
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

static PyMethodDef opener_definition = {"opener", opener, METH_VARARGS, NULL};

/* Is it the name of a FIFO? */
static bool
names_fifo(PyObject *name)
{
    opening of = {.folder = AT_FDCWD};
    if (!name_it(&of, name)) {
        PyErr_Clear(); /* the original says what is wrong */
        return false;
    }
    bool answer = is_fifo(&of);
    forget_opening(&of);
    return answer;
}

enum { OPEN_ARGUMENTS = 8 };

static bool
is_text_or_none(PyObject *argument)
{
    return argument == Py_None || PyUnicode_Check(argument);
}

/* The arguments of the call, each as it is if it was not given. False: it has others, or one twice,
   or of a wrong type; the original says so. */
static bool
find_open_arguments(const interruption_call *call, PyObject *arguments[OPEN_ARGUMENTS])
{
    static const char *const names[OPEN_ARGUMENTS] = {"file",   "mode",    "buffering", "encoding",
                                                      "errors", "newline", "closefd",   "opener"};
    Py_ssize_t given = 0;
    for (int i = 0; i < OPEN_ARGUMENTS; i++) {
        PyObject *argument = interruption_call_argument(call, i, names[i]);
        arguments[i] = argument != NULL ? argument : arguments[i];
        given += argument != NULL;
    }
    return interruption_call_count(call) == given && PyUnicode_Check(arguments[1]) &&
           PyLong_CheckExact(arguments[2]) && is_text_or_none(arguments[3]) &&
           is_text_or_none(arguments[4]) && is_text_or_none(arguments[5]);
}

/* What os.fspath says of it, who is asked once; NULL, perhaps with an exception set. */
static PyObject *
path_of(PyObject *file)
{
    if (PyUnicode_Check(file) || PyBytes_Check(file)) {
        return Py_NewRef(file);
    }
    PyObject *method = interruption_find_in_class(Py_TYPE(file), "__fspath__");
    Py_XDECREF(method);
    return method == NULL ? NULL : PyOS_FSPath(file);
}

/* The same call, with an opener if it names a FIFO and has none. Takes the reference to the path.
 */
static PyObject *
open_path(const interruption_call *call, PyObject *path, PyObject *arguments[OPEN_ARGUMENTS])
{
    bool fifo = arguments[7] == Py_None && names_fifo(path);
    PyObject *result = NULL;
    if (!fifo && path == arguments[0]) {
        result = interruption_call_original(call);
    }
    else {
        PyObject *own = fifo ? PyCFunction_New(&opener_definition, NULL) : Py_NewRef(arguments[7]);
        arguments[0] = path;
        arguments[7] = own;
        result = own == NULL ? NULL : interruption_call_again(call, arguments, OPEN_ARGUMENTS);
        Py_XDECREF(own);
    }
    Py_DECREF(path);
    return result;
}

static PyObject *
open_file(const interruption_call *call)
{
    PyObject *mode = PyUnicode_FromString("r"), *buffering = PyLong_FromLong(-1);
    PyObject *arguments[OPEN_ARGUMENTS] = {NULL,    mode,    buffering, Py_None,
                                           Py_None, Py_None, Py_True,   Py_None};
    PyObject *result = NULL;
    if (mode != NULL && buffering != NULL) {
        bool ours = find_open_arguments(call, arguments) && arguments[0] != NULL;
        PyObject *path = ours ? path_of(arguments[0]) : NULL;
        if (path != NULL) {
            result = open_path(call, path, arguments);
        }
        else if (!PyErr_Occurred()) {
            result = interruption_call_original(call);
        }
    }
    Py_XDECREF(mode);
    Py_XDECREF(buffering);
    return result;
}

INTERRUPTION_REPLACEMENT(io_open, interruption_called_inside, open_file);

static const interruption_row opening_rows[] = {
    {"posix", NULL, "open", &os_open, false},
    {"_io", NULL, "open", &io_open, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_opening = {.name = "opening FIFOs", .rows = opening_rows};
