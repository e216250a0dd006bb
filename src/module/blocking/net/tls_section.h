/*
 * For the moment of one call a TLS socket does not wait: a window, in which the socket's timeout is
 * 0 and its descriptor non-blocking, so that _ssl raises SSLWantReadError or SSLWantWriteError
 * where it would wait. Several threads may have windows of one socket at a time.
 *
 * Whoever asks for the socket's timeout meanwhile is told the one that it has otherwise. That
 * nobody else is in OpenSSL meanwhile is seen to by tls_turns.h; who is there all the same, without
 * a timeout, goes round and round until the window closes.
 */
#ifndef INTERRUPTION_BLOCKING_TLS_WINDOW_H
#define INTERRUPTION_BLOCKING_TLS_WINDOW_H

#include "interpose/interpose.h"

/* What must not see a window. Has to be found before the family of TLS is. */
extern interruption_family interruption_tls_windows;

/* Is it? */
bool interruption_tls_windows_work(void);

/* Is it a socket, such as has the timeout where we know it? */
bool interruption_tls_is_socket(PyObject *object);

/* The descriptor; -1: the socket has been closed. */
int interruption_tls_descriptor(PyObject *socket);

/* The timeout in nanoseconds, a window or not: below 0 there is none, 0 is not to wait. */
int64_t interruption_tls_timeout(PyObject *socket);

/* False: there is no memory; it is not to be closed then. */
bool interruption_tls_open_window(PyObject *socket);
void interruption_tls_close_window(PyObject *socket);

/* Let the time be over at once for a call, if there is no window. False: there is one. */
bool interruption_tls_end_time(PyObject *socket, int64_t *before);
void interruption_tls_restore_time(PyObject *socket, int64_t before);

/* In the child of a fork: whoever held the mutex is not there. See lifecycle.h. */
void interruption_free_tls_windows_mutex(void);

/* In the child of a fork. */
void interruption_tls_forget_windows(void);

#endif
