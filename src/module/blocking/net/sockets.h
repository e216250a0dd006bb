/*
 * The families of sockets: what receives and sends bytes, or messages with addresses and ancillary
 * data, and what makes connections.
 */
#ifndef MOD_BLOCKING_SOCKETS_H
#define MOD_BLOCKING_SOCKETS_H

#include "interpose/interpose.h"

extern mod_family mod_sockets;
extern mod_family mod_messages;
extern mod_family mod_connections;

#endif
