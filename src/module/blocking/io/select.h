/*
 * The families of waits for many descriptors: select.select, poll objects, epoll objects.
 */
#ifndef MOD_BLOCKING_SELECT_H
#define MOD_BLOCKING_SELECT_H

#include "interpose/interpose.h"

/* The second and the third are not on every platform. */
extern mod_family mod_select;
extern mod_family mod_poll;
extern mod_family mod_epoll;

#endif
