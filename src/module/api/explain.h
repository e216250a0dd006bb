/*
 * Why a thread that was asked has not stopped yet (S19): the method _inspect, which `explain` puts
 * into words.
 */
#ifndef INTERRUPTION_EXPLAIN_H
#define INTERRUPTION_EXPLAIN_H

#include "state.h"

PyObject *interruption_inspect(PyObject *module, PyObject *thread);

#endif
