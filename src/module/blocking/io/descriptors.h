/* Reading and writing by descriptor: os.read, os.write and their like (S10). */
#ifndef INTERRUPTION_BLOCKING_DESCRIPTORS_H
#define INTERRUPTION_BLOCKING_DESCRIPTORS_H

#include "interpose/interpose.h"
#include "blocking/io/streams.h"

extern interruption_family interruption_descriptors;

/* The call reads so many bytes, or writes what that object has in it: do it, or let the original.
 */
PyObject *interruption_read_bytes(const interruption_call *call, interruption_stream *stream,
                                  Py_ssize_t size);
PyObject *interruption_write_buffer(const interruption_call *call, interruption_stream *stream,
                                    PyObject *data);

#endif
