/*
 * One call of a socket's method by a thread inside a region, and how it waits (S10): for the
 * socket's descriptor, as long as its timeout allows, until the thread is asked to stop.
 *
 * What it is that does not wait is the caller's: the system call itself, or the original with
 * MSG_DONTWAIT. Where there is no such form of the original, it is called when the descriptor is
 * ready, by one thread at a time (mod_socket_when_ready).
 */
#ifndef MOD_BLOCKING_SOCKET_CALL_H
#define MOD_BLOCKING_SOCKET_CALL_H

#include "interpose/interpose.h"
#include "blocking/wait.h"

typedef struct {
    PyObject *socket; /* borrowed: the call's */
    int fd;           /* as it was when last looked at; -1: closed since */
    short events;     /* what is waited for, as for poll() */
    bool blocking;    /* without a timeout */
    bool spurious;    /* we were told that it is ready, and could not have it; to be cleared when
                         there was progress */
    int late;         /* the errno of a socket that is blocking when SO_RCVTIMEO or SO_SNDTIMEO is
                         over */

    /* How much was done before it had to wait. */
    enum {
        MOD_SOCKET_NOTHING,
        MOD_SOCKET_LOST,   /* what is lost if it raises: sendall */
        MOD_SOCKET_RESULT, /* what is the result if it cannot be more: then neither a
                                       request nor the timeout is raised */
    } progress;

    bool is_late;            /* its time is over, which is the exception that is set */
    bool waits;              /* it has waited */
    bool may_be_interrupted; /* if it waits */
    int64_t slice;
    itr_deadline deadline;
    mod_waiting waiting;
} mod_socket_call;

/*
 * The call takes something in, and begins: raise what is asked (S10b), unless it only looks: the
 * socket has a timeout of 0, or is non-blocking by its descriptor or by these flags (an argument,
 * or NULL). 0, or -1 with an exception set.
 */
int mod_socket_enter(const mod_call *call, PyObject *flags);

/* False: it is closed, or never waits: the original's. Keeps no exception set. */
bool mod_socket_begin(mod_socket_call *of, PyObject *socket, short events);

/*
 * It would have to wait: wait. AGAIN: try again. ORIGINAL (only if nothing was done): it cannot be
 * interrupted where it is, let the original wait. END (only if the part is a result): that is it.
 * FAILED: an exception is set.
 */
enum {
    MOD_SOCKET_FAILED = -1,
    MOD_SOCKET_ORIGINAL,
    MOD_SOCKET_AGAIN,
    MOD_SOCKET_END,
};
int mod_socket_wait(mod_socket_call *of);

/* A socket option that is an int; `otherwise` where there is none. */
int mod_socket_option(int fd, int option, int otherwise);

/*
 * Wait until the socket is ready, then call the original. Of threads that are in here to receive
 * from the same socket object, one at a time looks and calls, so that none of them waits in the
 * original for what another has taken. Threads that are not in here, other objects for the same
 * socket, and other processes may still be faster: then the original waits, as it always did, up to
 * its timeout.
 */
PyObject *mod_socket_when_ready(const mod_call *call, mod_socket_call *of);

/* Arguments. ---------------------------------------------------------------------------------- */

bool mod_socket_is_stream(const mod_socket_call *of);

/* What is to be done with such flags. */
typedef enum {
    MOD_SOCKET_DO,         /* it, with MSG_DONTWAIT, until it need not wait */
    MOD_SOCKET_ASK,        /* the original, which does not wait */
    MOD_SOCKET_WHEN_READY, /* ask the original when it is ready */
} mod_socket_way;
mod_socket_way mod_socket_way_in(const mod_socket_call *of, int flags);
mod_socket_way mod_socket_way_out(const mod_socket_call *of, int flags);

/* The second or the third. */
PyObject *mod_socket_go(mod_socket_way how, const mod_call *call, mod_socket_call *of);

/* Bytes. -------------------------------------------------------------------------------------- */

/* A buffer to be filled or sent, and how much of it has been. */
typedef struct {
    char *data;
    Py_ssize_t length;
    Py_ssize_t done;
    int flags;
} mod_socket_transfer;

/*
 * Receive or send. `progress` says what a part of it is: NOTHING if any part will do, else it goes
 * on until there is all of it, or nothing more. END: it is done. ORIGINAL: nothing was done, let
 * the original. FAILED: an exception is set.
 */
int mod_socket_run(mod_socket_call *of, mod_socket_transfer *what, int progress);

/* The process and the family. ----------------------------------------------------------------- */

/* In the child of a fork: no other thread owns any. */
void mod_socket_forget_owners(void);

/* Rows that each family of sockets has: originals that the above calls. */
extern mod_method mod_socket_fileno, mod_socket_gettimeout;

#define MOD_SOCKET_ROWS                                                                            \
    {"_socket", "socket", "fileno", &mod_socket_fileno, false},                                    \
    {                                                                                              \
        "_socket", "socket", "gettimeout", &mod_socket_gettimeout, false                           \
    }

#endif
