/*
 * What the library knows of a code object, kept with it until it is freed. Made at the first
 * question, by whichever thread asks; the code object's lifetime is that of the answer.
 */
#ifndef INTERRUPTION_CODE_H
#define INTERRUPTION_CODE_H

#include "safepoints/making.h"
#include "safepoints/safepoints.h"

typedef struct {
    interruption_safepoints *points; /* does not change */
    interruption_maker maker;        /* the same */
    unsigned armed;                  /* guarded by the mutex of thread.h: see monitoring.c */
} interruption_code;

/* To be called while the module is being executed. -1 with an exception set. */
int interruption_code_init(void);

/* NULL with MemoryError set. Analyses code that is new, so no lock may be held, nor the world be
   stopped. The code object must stay alive while the result is used. */
interruption_code *interruption_code_of(PyCodeObject *code);

/* The same if that has been done, else NULL. Keeps no exception set. */
interruption_code *interruption_code_known(PyCodeObject *code);

#endif
