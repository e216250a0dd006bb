/*
 * Finding a built-in method or function by what it is: in the table of the C module or type that it
 * is of. What stands under its public name may be somebody else's by then: a test's mock, or the
 * function that gevent has put there.
 */
#ifndef MOD_ORIGINALS_H
#define MOD_ORIGINALS_H

#include "interpose/method.h"

/*
 * The definition that the row names. It outlives every reference. NULL with an exception set:
 * ImportError or AttributeError, there is none; RuntimeError, it is not as we know it. May import
 * the module, and run Python code.
 */
PyMethodDef *mod_find_definition(const mod_row *row);

/* The type that the row names: a new reference, or NULL with an exception set, as above. */
PyTypeObject *mod_find_type(const mod_row *row);

/* Does something else go by the name of that module in C, in sys.modules? 1, 0 also if nothing
   does; or -1 with an exception set. */
int mod_module_is_hidden(const char *name);

#endif
