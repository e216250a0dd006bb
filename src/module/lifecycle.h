/*
 * What a fork does to the module (S18): the one place that says who sees to what, and in which
 * order. The core sees to its own records (core/registry.c).
 */
#ifndef INTERRUPTION_LIFECYCLE_H
#define INTERRUPTION_LIFECYCLE_H

#include "state.h"

/* See to forks from now on; once an interpreter. After the core has been started. 0, or -1 with an
   exception set. */
int interruption_lifecycle_init(void);

#endif
