/*
 * Which code is the program's, and which has it only installed (S30)? An installed package starts
 * threads for itself, and knows how to end them; what the program has written may be stopped.
 */
#ifndef INTERRUPTION_INSTALLED_H
#define INTERRUPTION_INSTALLED_H

#include <stdbool.h>

#include "state.h"

/* Is that code, with those globals (a dict; or NULL), an installed package's: does it come from a
   folder that packages are installed in, and has nobody said that it is the program's? Attached,
   with no exception set. */
bool interruption_is_installed(PyCodeObject *code, PyObject *globals);

/* Is the code of that frame the program's: neither protected nor installed? */
bool interruption_is_programs_frame(interruption_state *state, PyFrameObject *frame,
                                    PyCodeObject *code);

/* _set_own(names): these modules, and what is below them, are the program's wherever they come
   from. A tuple of str, for the life of the interpreter. */
PyObject *interruption_set_own(PyObject *module, PyObject *names);

/* _is_installed(code, globals). */
PyObject *interruption_is_installed_method(PyObject *module, PyObject *args);

#endif
