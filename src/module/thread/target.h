/*
 * From what a user names a thread by, a threading.Thread or an ident, to the thread (S1).
 */
#ifndef MOD_TARGET_H
#define MOD_TARGET_H

#include "itr_registry.h"
#include "state.h"

typedef enum {
    MOD_TARGET_ERROR = -1, /* an exception is set */
    MOD_TARGET_FINISHED,   /* a threading.Thread that has ended */
    MOD_TARGET_LIVE,
} mod_target_status;

/* A live thread that was found. Ended by mod_release_target. */
typedef struct {
    itr_record *record; /* a reference to the record that it adopted; or NULL, then: */
    itr_thread thread;  /* its names */
} mod_target;

/*
 * Find it, for a function that has an answer for one that has ended. False: `*answer` is to be
 * returned, which is that (a new reference), or NULL with an error. RuntimeError: a Thread that was
 * not started. ValueError: an ident that no live Python thread has. TypeError: something else.
 */
bool mod_find_live(mod_state *state, PyObject *thread, mod_target *target, PyObject *of_ended,
                   PyObject **answer);

/* By ident alone, for the C API; never FINISHED. */
mod_target_status mod_find_ident(unsigned long ident, mod_target *target);

/* Ask it to stop; as itr_ask. */
itr_answer mod_ask_target(const mod_target *target, itr_payload *payload, itr_record **more);

void mod_release_target(mod_target *target);

#endif
