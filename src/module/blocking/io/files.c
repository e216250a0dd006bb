/*
 * See files.h. Regular files and folders never wait: there, a call is only where a request may be
 * raised, before it does anything (S10b). What may have to wait is read and written by streams.h.
 *
 * The buffered and text layers, and input() where it does not edit a line, are built on FileIO's
 * methods, which they call by name.
 */
#include "blocking/io/files.h"

#include <fcntl.h>

#include "blocking/io/descriptors.h"
#include "blocking/numbers.h"

/* What is only a point of delivery. */
static PyObject *
enter_file_call(const interruption_call *call)
{
    return interruption_wait_entry() < 0 ? NULL : interruption_call_original(call);
}

/* _io.FileIO ----------------------------------------------------------------------------------
 */

INTERRUPTION_ORIGINAL(file_fileno);
INTERRUPTION_ORIGINAL(file_readable);
INTERRUPTION_ORIGINAL(file_writable);

/* A read begins. */
static int
enter_read(const interruption_call *call)
{
    return interruption_is_asked()
               ? interruption_stream_enter(interruption_descriptor_of(&file_fileno, call->self))
               : 0;
}

/* Is the file's descriptor one that may have to be waited for, and the file open for that? */
static bool
find_file_stream(const interruption_call *call, const interruption_method *allows,
                 interruption_stream *stream)
{
    int fd = interruption_descriptor_of(&file_fileno, call->self);
    return fd >= 0 && interruption_says_yes(allows, call->self) &&
           interruption_stream_look(fd, stream);
}

enum { FIRST_CHUNK = 8192, LARGEST_CHUNK = 1 << 20 };

/* The original has to go on from here: what it gives comes behind what is there. */
static PyObject *
finish_all(const interruption_call *call, PyObject *read)
{
    PyObject *rest = interruption_call_again(call, NULL, 0);
    if (rest == NULL || PyBytes_GET_SIZE(read) == 0) {
        Py_DECREF(read);
        return rest;
    }
    if (rest != Py_None) {
        PyBytes_Concat(&read, rest);
    }
    Py_DECREF(rest);
    return read;
}

/* To the end. What was read before an interruption is lost with the call, as with
   KeyboardInterrupt: nobody can put it back. */
static PyObject *
read_to_end(const interruption_call *call, interruption_stream *stream)
{
    Py_ssize_t size = FIRST_CHUNK, done = 0, count = 0;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    while (bytes != NULL) {
        count = interruption_stream_read(stream, PyBytes_AS_STRING(bytes) + done,
                                         (size_t)(size - done));
        if (count <= 0) {
            break;
        }
        done += count;
        if (done == size) {
            size += size < LARGEST_CHUNK ? size : LARGEST_CHUNK;
            (void)_PyBytes_Resize(&bytes, size);
        }
    }
    if (bytes != NULL && count == -1) {
        Py_CLEAR(bytes);
    }
    if (bytes != NULL) {
        (void)_PyBytes_Resize(&bytes, done);
    }
    return bytes != NULL && count == INTERRUPTION_ORIGINALS ? finish_all(call, bytes) : bytes;
}

static PyObject *
read_file(const interruption_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    interruption_stream stream;
    PyObject *given = interruption_call_argument(call, 0, NULL);
    Py_ssize_t size = -1;
    if (interruption_call_count(call) != (given != NULL) ||
        (given != NULL && given != Py_None && !interruption_size_of(given, &size)) || size == 0 ||
        !find_file_stream(call, &file_readable, &stream)) {
        return interruption_call_original(call);
    }
    return size < 0 ? read_to_end(call, &stream) : interruption_read_bytes(call, &stream, size);
}

static PyObject *
read_file_into(const interruption_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    interruption_stream stream;
    Py_buffer buffer;
    PyObject *given = interruption_call_argument(call, 0, NULL);
    if (given == NULL || interruption_call_count(call) != 1 ||
        !find_file_stream(call, &file_readable, &stream)) {
        return interruption_call_original(call);
    }
    if (PyObject_GetBuffer(given, &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return interruption_call_original(call);
    }
    Py_ssize_t count = INTERRUPTION_ORIGINALS;
    if (buffer.len > 0) {
        count = interruption_stream_read(&stream, buffer.buf, (size_t)buffer.len);
    }
    PyBuffer_Release(&buffer);
    if (count == INTERRUPTION_ORIGINALS) {
        return interruption_call_original(call);
    }
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static PyObject *
read_whole_file(const interruption_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    interruption_stream stream;
    if (interruption_call_count(call) > 0 || !find_file_stream(call, &file_readable, &stream)) {
        return interruption_call_original(call);
    }
    return read_to_end(call, &stream);
}

static PyObject *
write_file(const interruption_call *call)
{
    interruption_stream stream;
    PyObject *given = interruption_call_argument(call, 0, NULL);
    if (given == NULL || interruption_call_count(call) != 1 ||
        !find_file_stream(call, &file_writable, &stream)) {
        return interruption_call_original(call);
    }
    return interruption_write_buffer(call, &stream, given);
}

INTERRUPTION_REPLACEMENT(file_read, interruption_called_inside, read_file);
INTERRUPTION_REPLACEMENT(file_readinto, interruption_called_inside, read_file_into);
INTERRUPTION_REPLACEMENT(file_readall, interruption_called_inside, read_whole_file);
INTERRUPTION_REPLACEMENT(file_write, interruption_called_inside, write_file);

static const interruption_row file_rows[] = {
    {"_io", "FileIO", "fileno", &file_fileno, false},
    {"_io", "FileIO", "readable", &file_readable, false},
    {"_io", "FileIO", "writable", &file_writable, false},
    {"_io", "FileIO", "read", &file_read, false},
    {"_io", "FileIO", "readinto", &file_readinto, false},
    {"_io", "FileIO", "readall", &file_readall, false},
    {"_io", "FileIO", "write", &file_write, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_files = {.name = "files", .rows = file_rows};

/* Folders. ------------------------------------------------------------------------------------ */

INTERRUPTION_REPLACEMENT(os_scandir, interruption_called_inside, enter_file_call);
INTERRUPTION_REPLACEMENT(os_listdir, interruption_called_inside, enter_file_call);

static const interruption_row folder_rows[] = {
    {"posix", NULL, "scandir", &os_scandir, false},
    {"posix", NULL, "listdir", &os_listdir, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_folders = {.name = "folders", .rows = folder_rows};
