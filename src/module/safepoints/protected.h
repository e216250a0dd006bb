/*
 * Whose code is it? The standard library's, this package's, and what users named to protect() is
 * never interrupted inside (S9). An installed package starts threads for itself, and knows how to
 * end them; what the program has written may be stopped (S30).
 */
#ifndef MOD_PROTECTED_H
#define MOD_PROTECTED_H

#include "state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOD_PACKAGE_FOLDERS = 2 };

struct mod_protected {
    _Atomic(struct mod_fact *) facts;       /* see protected.c */
    PyObject *name_key;                     /* "__name__"; never changes */
    PyObject *folders[MOD_PACKAGE_FOLDERS]; /* the same: of installed packages */
};

/*
 * Is that code protected, when it runs with those globals (a dict; or NULL)? Everything is until
 * the package has been imported, and again once the module is freed.
 *
 * Runs no Python code (but an `__eq__` of a global that is no str and has the hash of "__name__"),
 * cannot fail. The calling thread must be attached and have no exception set.
 */
bool mod_is_protected(mod_state *state, PyCodeObject *code, PyObject *globals);

/* The same of a frame that runs that code. */
bool mod_is_protected_frame(mod_state *state, PyFrameObject *frame, PyCodeObject *code);

/* Is it code of the import system? While a frame of it is on the stack, a module is being looked
 * for, imported or reloaded. As above, but that it never runs any Python code. */
bool mod_is_import_machinery(PyCodeObject *code);

/* Is the code of that frame the program's: neither protected nor installed? */
bool mod_is_programs_frame(mod_state *state, PyFrameObject *frame, PyCodeObject *code);

/* _set_own(names): these modules, and what is below them, are the program's wherever they come
   from. A tuple of str. */
PyObject *mod_set_own(PyObject *module, PyObject *names);

/* _is_installed(code, module_globals): does it come from a folder that packages are installed in,
   and has nobody said that it is the program's? */
PyObject *mod_is_installed_method(PyObject *module, PyObject *args);

/*
 * _set_protected(homes): say where protected code comes from, in the place of what was said before.
 * A tuple of (folder, names, named), each a str, a frozenset of str, and a bool. Code is
 * protected whose co_filename begins with the folder (which ends with a slash or is empty) and goes
 * on with one of the names, as that of a folder or of a file without its suffix; if `named`, only
 * if the module's own name begins with it, too.
 */
PyObject *mod_set_protected(PyObject *module, PyObject *homes);

/* _protect(name): protect the modules of that name and below it. Returns whether they were not;
   _unprotect(name), which undoes it, whether they were by that name. */
PyObject *mod_protect(PyObject *module, PyObject *name);
PyObject *mod_unprotect(PyObject *module, PyObject *name);

/* _is_protected(code, namespace): when it runs with those globals (a dict)? */
PyObject *mod_is_protected_method(PyObject *module, PyObject *args);

/* Make the state's part, and give it back. 0, or -1 with an exception set. */
int mod_protected_init(mod_state *state);
void mod_protected_free(mod_state *state);

#endif
