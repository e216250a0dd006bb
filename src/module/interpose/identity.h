/*
 * Equality and hash of built-in functions whose entry points have been exchanged.
 *
 * CPython takes both from the entry point. So a function would fall out of every dict and set that
 * it was put into before the exchange: `os.listdir in os.supports_fd` would be false, and
 * shutil.rmtree lose its protection from symbolic links. So built-in functions are hashed and
 * compared by CPython's own code, but as if nothing had been exchanged.
 */
#ifndef MOD_IDENTITY_H
#define MOD_IDENTITY_H

#include "interpose/method.h"

/* This method's entry point is about to be exchanged, perhaps not for the first time. Called while
   nobody else runs. */
void mod_identity_keep(mod_method *method);

#endif
