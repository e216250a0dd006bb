/*
 * One call of a socket's method by a thread inside a region, and how it waits (S10): for the
 * socket's descriptor, as long as its timeout allows, until the thread is asked to stop.
 *
 * What it is that does not wait is the caller's: the system call itself, or the original with
 * MSG_DONTWAIT. Where there is no such form of the original, it is called when the descriptor is
 * ready, by one thread at a time (interruption_socket_when_ready).
 */
#ifndef INTERRUPTION_BLOCKING_SOCKET_CALL_H
#define INTERRUPTION_BLOCKING_SOCKET_CALL_H

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
        INTERRUPTION_SOCKET_NOTHING,
        INTERRUPTION_SOCKET_LOST,   /* what is lost if it raises: sendall */
        INTERRUPTION_SOCKET_RESULT, /* what is the result if it cannot be more: then neither a
                                       request nor the timeout is raised */
    } progress;

    bool is_late;            /* its time is over, which is the exception that is set */
    bool waits;              /* it has waited */
    bool may_be_interrupted; /* if it waits */
    int64_t slice;
    itr_deadline deadline;
    interruption_waiting waiting;
} interruption_socket_call;

/*
 * The call takes something in, and begins: raise what is asked (S10b), unless it only looks: the
 * socket has a timeout of 0, or is non-blocking by its descriptor or by these flags (an argument,
 * or NULL). 0, or -1 with an exception set.
 */
int interruption_socket_enter(const interruption_call *call, PyObject *flags);

/* False: it is closed, or never waits: the original's. Keeps no exception set. */
bool interruption_socket_begin(interruption_socket_call *of, PyObject *socket, short events);

/*
 * It would have to wait: wait. AGAIN: try again. ORIGINAL (only if nothing was done): it cannot be
 * interrupted where it is, let the original wait. END (only if the part is a result): that is it.
 * FAILED: an exception is set.
 */
enum {
    INTERRUPTION_SOCKET_FAILED = -1,
    INTERRUPTION_SOCKET_ORIGINAL,
    INTERRUPTION_SOCKET_AGAIN,
    INTERRUPTION_SOCKET_END,
};
int interruption_socket_wait(interruption_socket_call *of);

/* The errno says that it would have to wait. */
static inline bool
interruption_socket_would_wait(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* Raise TimeoutError if the socket's timeout is over: -1, else 0. */
int interruption_socket_check_time(interruption_socket_call *of);

/* A socket option that is an int; `otherwise` where there is none. */
int interruption_socket_option(int fd, int option, int otherwise);

/*
 * Wait until the socket is ready, then call the original. `alone`: of threads that are in here
 * for the same socket object, one at a time looks and calls, so that none of them waits in the
 * original for what another has taken. Threads that are not in here, other objects for the same
 * socket, and other processes may still be faster: then the original waits, as it always did, up to
 * its timeout.
 */
PyObject *interruption_socket_when_ready(const interruption_call *call,
                                         interruption_socket_call *of, bool alone);

/* Arguments. ---------------------------------------------------------------------------------- */

bool interruption_socket_is_stream(const interruption_socket_call *of);

/* What is to be done with such flags. */
typedef enum {
    INTERRUPTION_SOCKET_DO,         /* it, with MSG_DONTWAIT, until it need not wait */
    INTERRUPTION_SOCKET_ASK,        /* the original, which does not wait */
    INTERRUPTION_SOCKET_WHEN_READY, /* ask the original when it is ready */
    INTERRUPTION_SOCKET_ALONE,      /* the same, one at a time */
} interruption_socket_way;
interruption_socket_way interruption_socket_way_in(const interruption_socket_call *of, int flags);
interruption_socket_way interruption_socket_way_out(const interruption_socket_call *of, int flags);

/* Any way but the first. */
PyObject *interruption_socket_go(interruption_socket_way how, const interruption_call *call,
                                 interruption_socket_call *of);

/* Bytes. -------------------------------------------------------------------------------------- */

/* A buffer to be filled or sent, and how much of it has been. */
typedef struct {
    char *data;
    Py_ssize_t length;
    Py_ssize_t done;
    int flags;
} interruption_socket_transfer;

/*
 * Receive or send. `progress` says what a part of it is: NOTHING if any part will do, else it goes
 * on until there is all of it, or nothing more. END: it is done. ORIGINAL: nothing was done, let
 * the original. FAILED: an exception is set.
 */
int interruption_socket_run(interruption_socket_call *of, interruption_socket_transfer *what,
                            int progress);

/* The process and the family. ----------------------------------------------------------------- */

/* In the child of a fork: no other thread owns any. */
void interruption_socket_forget_owners(void);

/* Rows that each family of sockets has: originals that the above calls. */
extern interruption_method interruption_socket_fileno, interruption_socket_gettimeout;

#define INTERRUPTION_SOCKET_ROWS                                                                   \
    {"_socket", "socket", "fileno", &interruption_socket_fileno, false},                           \
    {                                                                                              \
        "_socket", "socket", "gettimeout", &interruption_socket_gettimeout, false                  \
    }

#endif
