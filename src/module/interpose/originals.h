/*
 * Finding a built-in method or function by what it is: in the table of the C module or type that it
 * is of. What stands under its public name may be somebody else's by then: a test's mock, or the
 * function that gevent has put there.
 */
#ifndef INTERRUPTION_ORIGINALS_H
#define INTERRUPTION_ORIGINALS_H

#include "interpose/method.h"

/*
 * The definition that the row names. It outlives every reference. NULL with an exception set:
 * ImportError or AttributeError, there is none; RuntimeError, it is not as we know it. May import
 * the module, and run Python code.
 */
PyMethodDef *interruption_find_definition(const interruption_row *row);

/* The type that the row names: a new reference, or NULL with an exception set, as above. */
PyTypeObject *interruption_find_type(const interruption_row *row);

/* Does something else go by the name of that module in C, in sys.modules? 1, 0 also if nothing
   does; or -1 with an exception set. */
int interruption_module_is_hidden(const char *name);

#endif
