/*
 * The family of imports: a module of the standard library that is imported later than blocking
 * calls are interposed is interposed then. Nothing is imported for our sake.
 */
#ifndef INTERRUPTION_BLOCKING_IMPORTS_H
#define INTERRUPTION_BLOCKING_IMPORTS_H

#include "interpose.h"

extern interruption_family interruption_imports;

#endif
