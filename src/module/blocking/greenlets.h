/*
 * The family of greenlets' switches, which wait for no event of the system: a call of one returns
 * when the greenlet is switched back to. What it comes back to has not been armed, if a request
 * came meanwhile (S21).
 */
#ifndef MOD_BLOCKING_GREENLETS_H
#define MOD_BLOCKING_GREENLETS_H

#include "interpose/interpose.h"

extern mod_family mod_greenlets;

#endif
