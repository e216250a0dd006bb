/*
 * How an exception knows the scope that it was raised for (S23): by a mark of its own, the number
 * of the scope's level. Compared is that alone, never the class.
 *
 * The mark stays with the exception wherever it gets to, also by copies and in pickles; where it is
 * not in that scope any more it says nothing, for no other scope ever has the number.
 */
#ifndef MOD_MARKS_H
#define MOD_MARKS_H

#include "state.h"

#include <stdbool.h>

/* What is set stays, if this returns 0; or -1 with MemoryError set in its place. */
int mod_mark(PyObject *exception, uint64_t number);

/* Raises nothing, and keeps what is set. */
bool mod_is_marked(PyObject *exception, uint64_t number);

#endif
