/*
 * The calls of one TLS object (_ssl._SSLSocket), and their non-blocking sections: in one, the
 * socket's timeout is 0 and its descriptor non-blocking, so that _ssl raises SSLWantReadError or
 * SSLWantWriteError where it would wait. A section has an owner, who is alone in OpenSSL. That is
 * not made for two at a time in one object; CPython lets them, and gets errors of it at times.
 *
 * Whoever comes first decides how the calls are made until nobody is in one: a thread in a region,
 * in sections, and others that come do likewise; any other, as CPython makes them, and they may
 * block in OpenSSL, so nobody has a section meanwhile. A call that was under way when calls were
 * interposed is not known here: one without a timeout goes round and round in a section.
 *
 * Whoever asks for the socket's timeout in a section is told the one that it has otherwise.
 */
#ifndef MOD_BLOCKING_TLS_SECTION_H
#define MOD_BLOCKING_TLS_SECTION_H

#include "interpose/interpose.h"

/* What is known of one object while there are calls of it. */
typedef struct mod_tls_calls {
    struct mod_tls_calls *next; /* guarded by the mutex of tls_section.c */
    PyObject *object;           /* constant; held by those who call */
    unsigned users;             /* guarded by the mutex */
    unsigned readers;           /* guarded by the mutex: those of them who read */
    unsigned long owner;        /* guarded by the mutex: who is in a section, or 0 */
    PyObject *socket;           /* guarded by the mutex: while there is an owner, its */
    int64_t timeout;            /* guarded by the mutex: that the socket has otherwise */
    bool sections;              /* constant: how the calls are made */
} mod_tls_calls;

/* Before and after a call. NULL: there is no memory. `sections`: how, if the caller is the first.
   `*others_read`: there are others, who read. */
mod_tls_calls *mod_tls_enter(PyObject *object, bool reads, bool sections, bool *others_read);
void mod_tls_leave(mod_tls_calls *calls, bool reads);

/*
 * Begin a section; may detach the thread. False: the thread is in one (a handler or callback of
 * Python's runs in it), and there is nothing to be ended. One that another thread has been in for
 * so long that it will not go on, or waits for us, is taken over.
 */
bool mod_tls_begin_section(mod_tls_calls *calls, PyObject *socket);

/* End it, unless it was taken over. */
void mod_tls_end_section(mod_tls_calls *calls);

/* Has the family been found of what must not see a section? */
bool mod_tls_sections_work(void);

/* Is it a socket, such as has the timeout where we know it? */
bool mod_tls_is_socket(PyObject *object);

/* The descriptor; -1: the socket has been closed. */
int mod_tls_descriptor(PyObject *socket);

/* The timeout in nanoseconds, in a section or not: below 0 there is none, 0 is not to wait. */
int64_t mod_tls_timeout(PyObject *socket);

/* In the child of a fork. */
void mod_tls_forget_calls(void);

#endif
