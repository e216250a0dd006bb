/*
 * The calls of one TLS object (_ssl._SSLSocket) by several threads. OpenSSL is not made for two at
 * a time in one object; CPython lets them, and gets errors of it at times. Windows (tls_window.h)
 * would make more of that: so who is in OpenSSL in a window is there alone.
 *
 * Whoever comes first decides how the calls are made until nobody is in one: a thread in a region,
 * in windows, and others that come do likewise, each in its turn; any other, as CPython makes them,
 * and they may block in OpenSSL, so nobody has a window meanwhile. A call that was under way when
 * calls were interposed is not known here.
 */
#ifndef INTERRUPTION_BLOCKING_TLS_TURNS_H
#define INTERRUPTION_BLOCKING_TLS_TURNS_H

#include <stdbool.h>

#include "state.h"

/* What is known of one object while there are calls of it. */
typedef struct interruption_tls_calls {
    struct interruption_tls_calls *next; /* guarded by the mutex of tls_turns.c */
    PyObject *object;                    /* constant; held by those who call */
    unsigned users;                      /* guarded by the mutex */
    unsigned readers;                    /* guarded by the mutex: those of them who read */
    unsigned long owner;                 /* guarded by the mutex: whose turn it is, or 0 */
    bool windows;                        /* constant: how the calls are made */
} interruption_tls_calls;

/* Before and after a call. NULL: there is no memory. `windows`: how, if the caller is the first.
   `*others_read`: there are others, who read. */
interruption_tls_calls *interruption_tls_enter(PyObject *object, bool reads, bool windows,
                                               bool *others_read);
void interruption_tls_leave(interruption_tls_calls *calls, bool reads);

/*
 * Before and after being in OpenSSL in a window. May detach the thread. False: it is this thread's
 * already (a handler or callback of Python's runs in it), or has been another's for so long that
 * that one will not go on, or waits for us; then go on without, nothing is to be given back.
 */
bool interruption_tls_take_turn(interruption_tls_calls *calls);
void interruption_tls_give_turn(interruption_tls_calls *calls);

/* In the child of a fork: whoever held the mutex is not there. See lifecycle.h. */
void interruption_free_tls_turns_mutex(void);

/* In the child of a fork. */
void interruption_tls_forget_calls(void);

#endif
