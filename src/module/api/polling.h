/*
 * What a thread does about its own request: the methods interruption_requested, check_interrupt,
 * clear_interrupt, wait_for_interruption and interruption_fd.
 */
#ifndef MOD_POLLING_H
#define MOD_POLLING_H

#include "itr_record.h"
#include "state.h"

/* The calling thread has looked before, lives, and has not been asked: the case that has to be
 * fast. */
static inline bool
mod_nothing_asked(void)
{
    const itr_record *record = itr_current();
    return record != NULL && !(itr_flags(record) & (ITR_REQUESTED | ITR_ENDED));
}

PyObject *mod_requested(PyObject *module, PyObject *unused);
PyObject *mod_check_interrupt(PyObject *module, PyObject *unused);
PyObject *mod_clear_interrupt(PyObject *module, PyObject *unused);
PyObject *mod_wait(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *mod_fd(PyObject *module, PyObject *unused);

/* Raise if the calling thread has a request and no shield is on (S5): 0, or -1 with an exception
   set. */
int mod_check(mod_state *state);

#endif
