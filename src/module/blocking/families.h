/*
 * All families of blocking calls, and their being interposed: by the first region, or at the user's
 * word (interruption.blocking).
 *
 * A family that is not as expected is refused: it stays as it was, and so do its calls. Without the
 * families that are needed, locks are not noted, so nothing is delivered between statements
 * (mod_lockset_is_complete); what waits may be interrupted all the same.
 */
#ifndef MOD_BLOCKING_FAMILIES_H
#define MOD_BLOCKING_FAMILIES_H

#include <stdbool.h>

#include "state.h"

/* A region is entered: interpose what there is, unless that has been done before, or the user has
   disabled it. 0, or -1 with an exception set that is nobody's refusal, and nothing has changed. */
int mod_blocking_start(void);

/* Has it nothing to do any more? Else a module could not be found for another that has its name,
   and is looked for by each region. */
bool mod_blocking_is_complete(void);

/* What interruption.blocking offers. _blocking_status(): (enabled, families), a family being (name,
   interposed, why it was refused or None, rows), a row (module, type or None, name, mod_row_state).
 */
PyObject *mod_blocking_enable(PyObject *module, PyObject *unused);
PyObject *mod_blocking_disable(PyObject *module, PyObject *unused);
PyObject *mod_blocking_status(PyObject *module, PyObject *unused);

#endif
