/*
 * Why a thread that was asked has not stopped yet (S19): the method _inspect, which `explain` puts
 * into words.
 */
#ifndef INTERRUPTION_EXPLAIN_H
#define INTERRUPTION_EXPLAIN_H

#include "state.h"

/* (filename, line, function), or None for no code. NULL with an exception set. */
PyObject *interruption_describe_place(const PyCodeObject *code, int lasti);

PyObject *interruption_inspect(PyObject *module, PyObject *thread);

#endif
