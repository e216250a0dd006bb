/* What any thread does about a scope: asking it, and its deadline. */
#ifndef MOD_SCOPE_REQUESTS_H
#define MOD_SCOPE_REQUESTS_H

#include "state.h"

/* Methods of all scopes. What they do: their docstrings in scope_types.c. */
PyObject *mod_scope_interrupt(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *mod_scope_when(PyObject *self, PyObject *unused);
PyObject *mod_scope_reschedule(PyObject *self, PyObject *given);
PyObject *mod_scope_expired(PyObject *self, PyObject *unused);

/* current_deadline(): a method of the module. */
PyObject *mod_current_deadline(PyObject *module, PyObject *unused);

#endif
