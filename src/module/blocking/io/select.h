/*
 * The families of waits for many descriptors: select.select, poll objects, epoll objects.
 */
#ifndef INTERRUPTION_BLOCKING_SELECT_H
#define INTERRUPTION_BLOCKING_SELECT_H

#include "interpose/interpose.h"

/* The second and the third are not on every platform. */
extern interruption_family interruption_select;
extern interruption_family interruption_poll;
extern interruption_family interruption_epoll;

#endif
