/*
 * What a thread does about its own request: the methods interruption_requested, check_interrupt,
 * clear_interrupt, wait_for_interruption and interruption_fd.
 */
#ifndef INTERRUPTION_POLLING_H
#define INTERRUPTION_POLLING_H

#include "itr_record.h"
#include "state.h"

/* The calling thread has looked before, lives, and has not been asked: the case that has to be
 * fast. */
static inline bool
interruption_nothing_asked(void)
{
    const itr_record *record = itr_current();
    return record != NULL && !(itr_flags(record) & (ITR_REQUESTED | ITR_ENDED));
}

PyObject *interruption_requested(PyObject *module, PyObject *unused);
PyObject *interruption_check_interrupt(PyObject *module, PyObject *unused);
PyObject *interruption_clear_interrupt(PyObject *module, PyObject *unused);
PyObject *interruption_wait(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *interruption_fd(PyObject *module, PyObject *unused);

/* Raise if the calling thread has a request and no shield is on (S5): 0, or -1 with an exception
   set. */
int interruption_check(interruption_state *state);

#endif
