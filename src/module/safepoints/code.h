/*
 * What the library knows of a code object, kept with it until it is freed. Made at the first
 * question, by whichever thread asks; the code object's lifetime is that of the answer.
 */
#ifndef MOD_CODE_H
#define MOD_CODE_H

#include "safepoints/making.h"
#include "safepoints/safepoints.h"

/* Of the sets of armed code (armed.h) that it is in. Guarded by the mutex of thread.h. */
typedef struct {
    unsigned sets;   /* how many */
    const void *one; /* of them, or NULL */
} mod_armed_in;

typedef struct {
    mod_safepoints *points; /* does not change */
    mod_maker maker;        /* the same */
    mod_armed_in armed;
} mod_code;

/* To be called while the module is being executed. -1 with an exception set. */
int mod_code_init(void);

/* NULL with MemoryError set. Analyses code that is new, so no lock may be held, nor the world be
   stopped. The code object must stay alive while the result is used. */
mod_code *mod_code_of(PyCodeObject *code);

/* The same if that has been done, else NULL. Keeps no exception set. */
mod_code *mod_code_known(PyCodeObject *code);

#endif
