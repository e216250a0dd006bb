/*
 * Regular files and folders never wait: there, a call is only where a request may be
 * raised, before it does anything (S10b). What may have to wait is read and written by streams.h.
 *
 * The buffered and text layers, and input() where it does not edit a line, are built on FileIO's
 * methods, which they call by name.
 */
#include "blocking/interposed.h"
#include "blocking/io/streams.h"
#include "blocking/numbers.h"

/* What is only a point of delivery. */
static PyObject *
enter_file_call(const mod_call *call)
{
    return mod_wait_entry() < 0 ? NULL : mod_call_original(call);
}

/* _io.FileIO ----------------------------------------------------------------------------------
 */

MOD_ORIGINAL(file_fileno);
MOD_ORIGINAL(file_readable);
MOD_ORIGINAL(file_writable);

/* A read begins. */
static int
enter_read(const mod_call *call)
{
    return mod_is_asked() ? mod_stream_enter(mod_descriptor_of(&file_fileno, call->self)) : 0;
}

/* Is the file's descriptor one that may have to be waited for, and the file open for that? */
static bool
find_file_stream(const mod_call *call, const mod_method *allows, mod_stream *stream)
{
    int fd = mod_descriptor_of(&file_fileno, call->self);
    return fd >= 0 && mod_says_yes(allows, call->self) && mod_stream_look(fd, stream);
}

enum { FIRST_CHUNK = 8192, LARGEST_CHUNK = 1 << 20 };

/* The original has to go on from here: what it gives comes behind what is there. */
static PyObject *
finish_all(const mod_call *call, PyObject *read)
{
    PyObject *rest = mod_call_again(call, NULL, 0);
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
read_to_end(const mod_call *call, mod_stream *stream)
{
    Py_ssize_t size = FIRST_CHUNK, done = 0, count = 0;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    while (bytes != NULL) {
        count = mod_stream_read(stream, PyBytes_AS_STRING(bytes) + done, (size_t)(size - done));
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
    return bytes != NULL && count == MOD_ORIGINALS ? finish_all(call, bytes) : bytes;
}

static PyObject *
read_file(const mod_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    mod_stream stream;
    PyObject *given = mod_call_argument(call, 0, NULL);
    Py_ssize_t size = -1;
    if (mod_call_count(call) != (given != NULL) ||
        (given != NULL && given != Py_None && !mod_size_of(given, &size)) || size == 0 ||
        !find_file_stream(call, &file_readable, &stream)) {
        return mod_call_original(call);
    }
    return size < 0 ? read_to_end(call, &stream) : mod_read_bytes(call, &stream, size);
}

static PyObject *
read_file_into(const mod_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    mod_stream stream;
    Py_buffer buffer;
    PyObject *given = mod_call_argument(call, 0, NULL);
    if (given == NULL || mod_call_count(call) != 1 ||
        !find_file_stream(call, &file_readable, &stream)) {
        return mod_call_original(call);
    }
    if (PyObject_GetBuffer(given, &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return mod_call_original(call);
    }
    Py_ssize_t count = MOD_ORIGINALS;
    if (buffer.len > 0) {
        count = mod_stream_read(&stream, buffer.buf, (size_t)buffer.len);
    }
    PyBuffer_Release(&buffer);
    if (count == MOD_ORIGINALS) {
        return mod_call_original(call);
    }
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static PyObject *
read_whole_file(const mod_call *call)
{
    if (enter_read(call) < 0) {
        return NULL;
    }
    mod_stream stream;
    if (mod_call_count(call) > 0 || !find_file_stream(call, &file_readable, &stream)) {
        return mod_call_original(call);
    }
    return read_to_end(call, &stream);
}

static PyObject *
write_file(const mod_call *call)
{
    mod_stream stream;
    PyObject *given = mod_call_argument(call, 0, NULL);
    if (given == NULL || mod_call_count(call) != 1 ||
        !find_file_stream(call, &file_writable, &stream)) {
        return mod_call_original(call);
    }
    return mod_write_buffer(call, &stream, given);
}

MOD_REPLACEMENT(file_read, mod_called_inside, read_file);
MOD_REPLACEMENT(file_readinto, mod_called_inside, read_file_into);
MOD_REPLACEMENT(file_readall, mod_called_inside, read_whole_file);
MOD_REPLACEMENT(file_write, mod_called_inside, write_file);

static const mod_row file_rows[] = {
    {"_io", "FileIO", "fileno", &file_fileno, false},
    {"_io", "FileIO", "readable", &file_readable, false},
    {"_io", "FileIO", "writable", &file_writable, false},
    {"_io", "FileIO", "read", &file_read, false},
    {"_io", "FileIO", "readinto", &file_readinto, false},
    {"_io", "FileIO", "readall", &file_readall, false},
    {"_io", "FileIO", "write", &file_write, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_files = {.name = "files", .rows = file_rows};

/* Folders. ------------------------------------------------------------------------------------ */

MOD_REPLACEMENT(os_scandir, mod_called_inside, enter_file_call);
MOD_REPLACEMENT(os_listdir, mod_called_inside, enter_file_call);

static const mod_row folder_rows[] = {
    {"posix", NULL, "scandir", &os_scandir, false},
    {"posix", NULL, "listdir", &os_listdir, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_folders = {.name = "folders", .rows = folder_rows};
