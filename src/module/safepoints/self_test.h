/*
 * Is this interpreter the one that we were made for? A wheel that was built on one release runs on
 * others of the same version; what is read off code (safepoints.h) and the few private structs that
 * we look at may differ there. So the first region of the process checks the layouts, and has
 * interruption/_self_test.py compare forms whose safe places are known. What is not as expected
 * turns delivery between statements off (S32): nothing can be told safe then. Waits are still
 * woken, as in cleanup.
 */
#ifndef MOD_SELF_TEST_H
#define MOD_SELF_TEST_H

#include "state.h"

#include <stdbool.h>

/* The first region is entered: test, unless that has been done in this process. Attached with no
   exception set. Runs Python code: 0, or -1 with what a signal handler has raised. */
int mod_self_test_once(void);

/* Is delivery between statements off, because of what the test found? Attached or not. */
bool mod_statements_are_refused(void);

/* _safepoints(code, since=-1, /): what may happen at each code unit of a code object. A list with
   an entry for each: (offset, flags, cleanup, cleanup but for that of the innermost `with`). */
PyObject *mod_safepoints_method(PyObject *module, PyObject *args);

#endif
