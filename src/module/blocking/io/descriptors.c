/*
 * What may have to wait is read and written by streams.h; regular files never
 * wait: there, a read is only where a request may be raised, before it does anything (S10b).
 */
#include "blocking/interposed.h"

#include "blocking/numbers.h"
#include "blocking/io/streams.h"

/* A read begins. */
static int
enter_descriptor_read(const mod_call *call)
{
    int fd = -1;
    if (!mod_is_asked()) {
        return 0;
    }
    (void)mod_int_of(mod_call_argument(call, 0, NULL), &fd);
    return mod_stream_enter(fd);
}

/* The descriptor that is the first of two arguments, if that is one which may have to be waited
   for. */
static bool
find_descriptor_stream(const mod_call *call, mod_stream *stream)
{
    int fd;
    return mod_call_count(call) == 2 && mod_int_of(mod_call_argument(call, 0, NULL), &fd) &&
           mod_stream_look(fd, stream);
}

static PyObject *
read_descriptor(const mod_call *call)
{
    if (enter_descriptor_read(call) < 0) {
        return NULL;
    }
    mod_stream stream;
    Py_ssize_t size;
    if (!find_descriptor_stream(call, &stream) ||
        !mod_size_of(mod_call_argument(call, 1, NULL), &size) || size <= 0) {
        return mod_call_original(call);
    }
    return mod_read_bytes(call, &stream, size);
}

static PyObject *
write_descriptor(const mod_call *call)
{
    mod_stream stream;
    if (!find_descriptor_stream(call, &stream)) {
        return mod_call_original(call);
    }
    return mod_write_buffer(call, &stream, mod_call_argument(call, 1, NULL));
}

MOD_REPLACEMENT(os_read, mod_called_inside, read_descriptor);
MOD_REPLACEMENT(os_write, mod_called_inside, write_descriptor);

static const mod_row descriptor_rows[] = {
    {"posix", NULL, "read", &os_read, false},
    {"posix", NULL, "write", &os_write, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_descriptors = {.name = "descriptors", .rows = descriptor_rows};
