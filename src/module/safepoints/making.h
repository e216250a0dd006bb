/*
 * Where the standard library is in the midst of something that cannot be left half-made (S31): a
 * thread or child that nobody would know of, a task that is queued and whose future is lost, half a
 * message. One table says which functions those are, in making.c; each row has a test of its name
 * in tests/test_making.py, which tears it.
 *
 * A function is known by its qualified name and the end of its file's name, which is looked up once
 * for each code object and kept with it (code.h). Whether what the table names is there is looked
 * up by the names, once for each module, when one of its frames is first met in a wait, or somebody
 * asks for the status: a function that has gone may have another name now, so all of its class is
 * left alone then (S32).
 */
#ifndef MOD_MAKING_H
#define MOD_MAKING_H

#include "state.h"

#include <stdbool.h>
#include <stdint.h>

/* What a frame of the standard library is in the midst of. */
typedef enum {
    MOD_MAKES_NOTHING,
    MOD_MAKES,  /* what is made or not begun: nothing is raised in what it calls */
    MOD_GIVES,  /* giving out; it takes in for itself only: nothing is raised on entry */
    MOD_CLEANS, /* cleaning up, as in a `finally` */
    MOD_BREAKS, /* an exchange with another one: if a wait is broken off, so is that */
    MOD_BEGINS, /* a program of its own, in the child of a fork: what is below is past */
} mod_making;

/* What of the table a code object is, by its names alone; see code.h. */
typedef struct {
    uint8_t module; /* of the table's, counted from 1; 0: of none */
    uint8_t row;    /* the same */
} mod_maker;

mod_maker mod_maker_of(PyCodeObject *code);

/* What does a frame that runs that code make? Attached, no exception set, and none is afterwards.
   Runs no Python code. */
mod_making mod_what_it_makes(mod_state *state, mod_maker maker, PyFrameObject *frame,
                             PyCodeObject *code);

/* See that what the table says of the module is there, unless that has been done. By the thread
   itself. As above, but that it may run the garbage collector. */
void mod_makers_check(mod_maker maker);

/* A wait of the calling thread was broken off, and an exception is set. The frames of the standard
   library that wait for it break off what they exchange: their connections have half a request or
   answer on them. The exception stays. Runs Python code. */
void mod_makers_break_off(mod_state *state, PyThreadState *tstate);

/* The code of the function of that qualified name, as the module has it now: a new reference, or
   NULL with no exception set. Runs no Python code. */
PyObject *mod_find_code_of(PyObject *module, const char *function);

/* _makers(): the table, for tests and the status. A list of (module, function, kind, state) with
   the state "there", "gone", "not imported". Imports nothing. */
PyObject *mod_makers(PyObject *module, PyObject *unused);

#endif
