/*
 * The families of sockets: what receives and sends bytes, or messages with addresses and ancillary
 * data, and what makes connections.
 */
#ifndef INTERRUPTION_BLOCKING_SOCKETS_H
#define INTERRUPTION_BLOCKING_SOCKETS_H

#include "interpose/interpose.h"

extern interruption_family interruption_sockets;
extern interruption_family interruption_messages;
extern interruption_family interruption_connections;

#endif
