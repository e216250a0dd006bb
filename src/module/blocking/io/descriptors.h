/* Reading and writing by descriptor: os.read, os.write and their like (S10). */
#ifndef MOD_BLOCKING_DESCRIPTORS_H
#define MOD_BLOCKING_DESCRIPTORS_H

#include "interpose/interpose.h"
#include "blocking/io/streams.h"

extern mod_family mod_descriptors;

/* The call reads so many bytes, or writes what that object has in it: do it, or let the original.
 */
PyObject *mod_read_bytes(const mod_call *call, mod_stream *stream, Py_ssize_t size);
PyObject *mod_write_buffer(const mod_call *call, mod_stream *stream, PyObject *data);

#endif
