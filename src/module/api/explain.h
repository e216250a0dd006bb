/*
 * Why a thread that was asked has not stopped yet (S19): the method _inspect, which `explain` puts
 * into words.
 */
#ifndef MOD_EXPLAIN_H
#define MOD_EXPLAIN_H

#include "state.h"

/* _inspect(thread): None of a thread that has finished, else (requested, pending, state, detail,
   place, stack, request, scopes); a place is (filename, line, function); the stack and where scopes
   were entered are lists of (place, is it protected), the one innermost first and without the
   caller, the other outermost first. What is named by `thread`, and errors: as interrupt(). */
PyObject *mod_inspect(PyObject *module, PyObject *thread);

#endif
