/*
 * Futures of asyncio, under `run`: a task that was stopped in another thread counts as cancelled.
 *
 * ThreadExit is a SystemExit, which asyncio lets end the whole event loop. Who knows nothing of it
 * but hands on to the loop what a thread has raised (anyio's worker threads do) would end the
 * program in the middle of its cleanup. `asyncio.Future` is written in C, and cannot be changed in
 * Python.
 */
#ifndef MOD_FUTURES_H
#define MOD_FUTURES_H

#include "state.h"

/* _cancel_futures(): asyncio has been imported; from now on set_exception(ThreadExit()) is
   set_exception(CancelledError()). For good. RuntimeError: asyncio is not as expected. */
PyObject *mod_cancel_futures(PyObject *module, PyObject *unused);

#endif
