/*
 * Reading and writing descriptors that may have to be waited for: pipes, FIFOs, terminals, sockets,
 * eventfds ... Regular files and folders are not among them: nobody waits for those.
 *
 * A read or write here is what the original would do with a blocking descriptor, but that the wait
 * can be interrupted (S10): it is tried in a form that does not wait, so it does no harm if another
 * reader is faster, and what it has is the result. By threads inside a region, attached.
 */
#ifndef MOD_BLOCKING_STREAMS_H
#define MOD_BLOCKING_STREAMS_H

#include "blocking/wait.h"

#include <sys/types.h>

/* A descriptor, and what it stood for before we waited: the number may be closed and given to
   another file meanwhile. */
typedef struct {
    int fd;
    bool looked; /* the others are filled in, which is not before we wait where there is no need */
    mode_t mode;
    uint64_t device, inode;
} mod_stream;

/* What the functions below return, besides a count, and -1 with an exception set. */
enum {
    MOD_ORIGINALS = -2, /* the call is the original's, and nothing has happened yet */
    MOD_OVER = -3,      /* see mod_stream_wait */
};

/* The time limit that a blocking socket has by SO_RCVTIMEO (POLLIN) or SO_SNDTIMEO (POLLOUT), after
   which a read or write of it fails. */
itr_deadline mod_stream_limit(int socket, short events);

/* May a read or write of that descriptor have to wait? False: it is the original's. */
bool mod_stream_look(int fd, mod_stream *stream);

/* A read of the descriptor begins: raise what is asked (S10b), unless it never waits because it is
   non-blocking. 0, or -1 with an exception set. */
int mod_stream_enter(int fd);

/* As read(), of what is there. */
Py_ssize_t mod_stream_read(mod_stream *stream, void *buffer, size_t size);

/* As write(): returns when all is written, or when a request comes after a part was: then the
   request stays pending. */
Py_ssize_t mod_stream_write(mod_stream *stream, const void *buffer, size_t size);

/* Wait until a read (POLLIN) or write (POLLOUT) of it is worth another try. 1; -1 with an exception
   set; MOD_ORIGINALS: the descriptor is not to be waited for, or the wait cannot be
   interrupted here. If a part is done, MOD_OVER, too: the end of the wait has been asked
   for, so that part is the result. */
int mod_stream_wait(mod_stream *stream, short events, bool partly);

/* The call reads so many bytes, or writes what that object has in it: do it, or let the original.
 */
PyObject *mod_read_bytes(const mod_call *call, mod_stream *stream, Py_ssize_t size);
PyObject *mod_write_buffer(const mod_call *call, mod_stream *stream, PyObject *data);

#endif
