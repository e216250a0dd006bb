/*
 * The family of TLS over a socket: _ssl._SSLSocket's do_handshake, read, write and shutdown.
 * Enabled and disabled by interpose.h's functions.
 */
#ifndef INTERRUPTION_BLOCKING_TLS_H
#define INTERRUPTION_BLOCKING_TLS_H

#include "interpose/interpose.h"

extern interruption_family interruption_tls;

#endif
