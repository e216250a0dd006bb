/*
 * Scopes: regions that can be asked to stop by themselves, and may have a deadline (S22-S27). How
 * they are entered and left; the types that users have are scope_types.h's.
 */
#ifndef MOD_SCOPE_H
#define MOD_SCOPE_H

#include "thread/thread.h"

/* Methods of all scopes. What they do: their docstrings in scope_types.c. */
PyObject *mod_scope_enter(PyObject *self, PyObject *unused);
PyObject *mod_scope_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *mod_scope_enter_with(PyObject *self, PyObject *unused);
PyObject *mod_scope_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *mod_scope_is_entered(PyObject *self, PyObject *unused);
PyObject *mod_scope_has_raised(PyObject *self, PyObject *exception);
PyObject *mod_scope_raise_asked(PyObject *self, PyObject *unused);

#ifdef INTERRUPTION_TESTING
/* Called, unless NULL, when a thread has noted in a scope that it is in it, and has not entered;
   and when it has, and has not looked yet what it is asked. */
extern void (*mod_scope_entering)(void);
#endif

/* _scopes(): is the calling thread shielded, and in which scopes is it, outermost first? First
   without those that a shield is inside of, or that have stopped it already; then all. */
PyObject *mod_scopes_in_force(PyObject *module, PyObject *unused);

/* Is the level open where the thread is, and has it not been stopped yet? */
bool mod_scope_is_in_force(mod_thread *thread, mod_level level);

/* The thread that watches deadlines could not be started, or there is no memory: returns -1, with
   an exception set. */
int mod_complain_about_timer(int error);

#endif
