/*
 * From what a user names a thread by, a threading.Thread or an ident, to the thread (S1).
 */
#ifndef INTERRUPTION_TARGET_H
#define INTERRUPTION_TARGET_H

#include "itr_registry.h"
#include "state.h"

typedef enum {
    INTERRUPTION_TARGET_ERROR = -1, /* an exception is set */
    INTERRUPTION_TARGET_FINISHED,   /* a threading.Thread that has ended */
    INTERRUPTION_TARGET_LIVE,
} interruption_target_status;

/* A live thread that was found. Ended by interruption_release_target. */
typedef struct {
    itr_record *record; /* a reference to the record that it adopted; or NULL, then: */
    itr_thread thread;  /* its names */
} interruption_target;

/*
 * Find it. RuntimeError: a Thread that was not started. ValueError: an ident that no live Python
 * thread has. TypeError: something else.
 */
interruption_target_status interruption_find_target(interruption_state *state, PyObject *thread,
                                                    interruption_target *target);

/*
 * The same for functions that have an answer for one that has ended. False: `*answer` is to be
 * returned, which is that (a new reference), or NULL with an error.
 */
bool interruption_find_live(interruption_state *state, PyObject *thread,
                            interruption_target *target, PyObject *of_ended, PyObject **answer);

/* The same by ident alone, for the C API; never FINISHED. */
interruption_target_status interruption_find_ident(unsigned long ident,
                                                   interruption_target *target);

/* Ask it to stop; as itr_ask. */
itr_answer interruption_ask_target(const interruption_target *target, itr_payload *payload,
                                   itr_record **more);

void interruption_release_target(interruption_target *target);

#endif
