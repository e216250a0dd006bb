/* The types of scopes, as users have them: Scope, timeout, timeout_at, move_on_after. */
#ifndef MOD_SCOPE_TYPES_H
#define MOD_SCOPE_TYPES_H

#include "state.h"

/* Make them and add them to the module. 0, or -1 with an exception set. */
int mod_scope_types_init(PyObject *module);

/* The module goes. */
void mod_scope_types_free(void);

#endif
