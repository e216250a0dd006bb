/*
 * `with on_interrupt(callback):` the thread is in a call that nothing of ours can wake, and the
 * callback ends it. Who asks the thread to stop runs the callback; see on_interrupt.c for when.
 */
#ifndef MOD_BLOCKING_ON_INTERRUPT_H
#define MOD_BLOCKING_ON_INTERRUPT_H

#include "thread/thread.h"

typedef struct mod_callback mod_callback;

/* Add the type to the module. 0, or -1 with an exception set. */
int mod_on_interrupt_init(PyObject *module);

/*
 * The record's thread has been asked, or what has been asked may be delivered now: take those of
 * its callbacks that are to be run, if any, and run them in the calling thread with the function
 * below. For records with ITR_CALLS. Attached; no lock is held afterwards.
 */
mod_callback *mod_claim_callbacks(const itr_record *record);

/* Run them (NULL: none), innermost first. Errors go to sys.unraisablehook. An exception that is set
   stays. 0, or -1 with what a signal handler has raised meanwhile (main_thread.h). */
int mod_run_callbacks(mod_callback *claimed);

/* The same at once for the calling thread, whose blocks have changed. */
int mod_run_own_callbacks(const mod_thread *thread);

/* The thread ends: it has left its blocks. `first` is what its list was; without the list's mutex.
   Drops references. */
void mod_drop_callbacks(mod_callback *first);

/* In the child of a fork, with the list's mutex: those that another thread was about to run, or
   ran, are over. */
void mod_settle_callbacks(mod_thread *self);

#endif
