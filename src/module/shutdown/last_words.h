/*
 * The end of a process that does not end by itself: it says what its threads are doing, and goes.
 *
 * Nothing here needs the GIL, a lock or memory: it is called from handlers in C, and from threads
 * without a thread state, while others run or hold all of these.
 */
#ifndef MOD_LAST_WORDS_H
#define MOD_LAST_WORDS_H

#include "state.h" /* with Python.h, which has to come first */

#include <stdint.h>

/*
 * Say on stderr where each thread is, and end the process: by that signal, or with `status` if the
 * number is 0. `since`: when it was told to end, on the clock of itr_now(). Async-signal-safe.
 */
_Noreturn void mod_end_process(int number, int status, int64_t since);

/* End the process by that signal's default action. Returns if the system does not do so (it spares
   the first process of a container). Async-signal-safe. */
void mod_kill_by(int number);

/* By an attached thread, called by the Python part: note what is needed for the above. */
void mod_prepare_last_words(void);

#endif
