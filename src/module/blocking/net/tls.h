/*
 * The family of TLS over a socket: _ssl._SSLSocket's do_handshake, read, write and shutdown.
 * Enabled and disabled by interpose.h's functions.
 */
#ifndef MOD_BLOCKING_TLS_H
#define MOD_BLOCKING_TLS_H

#include "interpose/interpose.h"

extern mod_family mod_tls;

#endif
