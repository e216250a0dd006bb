/*
 * Is this interpreter the one that we were made for? A wheel that was built on one release runs on
 * others of the same version; what is read off code (safepoints.h) and the few private structs that
 * we look at may differ there. So the first region of the process compiles forms whose safe places
 * are known, and compares; and checks the layouts. What is not as expected turns delivery between
 * statements off (S32): nothing can be told safe then. Waits are still woken, as in cleanup.
 */
#ifndef MOD_SELF_TEST_H
#define MOD_SELF_TEST_H

#include "state.h"

#include <stdbool.h>

/* The first region is entered: test, unless that has been done in this process. Attached with no
   exception set; none is set afterwards. May run the garbage collector. */
void mod_self_test_once(void);

/* Is delivery between statements off, because of what the test found? Attached or not. */
bool mod_statements_are_refused(void);

/* _self_test([forms], /): what is wrong, in words, or None. `forms` is source to be tested in place
   of ours, for tests, with a mark on each line: see self_test.c. Nothing else changes. */
PyObject *mod_self_test(PyObject *module, PyObject *args);

/* _refused(): why delivery between statements is off, in words, or None. */
PyObject *mod_refused(PyObject *module, PyObject *unused);

#endif
