/*
 * How a blocking call of a thread that is inside a region waits, and raises what it is asked (S10).
 *
 * A family's replacement of a call goes like this:
 *
 *     not inside a region:              the original
 *     takes something in (S10b):        mod_wait_entry()
 *     need not wait:                    the original, in a form that does not wait; done
 *     mod_wait_begin() false:  the original: in a shield, switched off, in a `__del__` ...
 *     else:                             mod_wait_...(), then the original again, in a form
 *                                       that does not wait, or that is known not to
 *
 * So the result comes first: who can have it gets it, also when asked at the same moment (S10a).
 * All is done by the waiting thread, attached.
 */
#ifndef MOD_BLOCKING_WAIT_H
#define MOD_BLOCKING_WAIT_H

#include "state.h" /* with Python.h, which has to come first */

#include <fcntl.h>
#include <poll.h>

#include "blocking/asked.h"
#include "interpose/interpose.h"
#include "itr_lot.h"

/* Nanoseconds: where nothing can wake a wait, it looks at least so often whether it is asked. */
enum { MOD_LONGEST_SLICE = 20000000 };

/* Is the calling thread inside a region? If not, nothing is to be done about its calls. */
static inline bool
mod_is_inside(void)
{
    return mod_current_lockset() != NULL;
}

/* For what is inlined into a replacement: there the convention is known and it costs no detour. */
#define MOD_INLINE __attribute__((always_inline)) static inline

/* Which calls are wanted (MOD_REPLACEMENT): those inside a region, */
MOD_INLINE bool
mod_called_inside(PyObject *Py_UNUSED(self))
{
    return mod_is_inside();
}

/* or all. */
MOD_INLINE bool
mod_called_always(PyObject *Py_UNUSED(self))
{
    return true;
}

/* The last of quiet waits has ended; the others do it themselves. If the thread was asked and
   nothing was raised, what the requester left to it is done: to be stopped between statements. */
void mod_wait_over(const mod_waiting *waiting);

/* The following return 1 when what is waited for is there, 0 when the deadline has passed, -1 with
   an exception set: what was asked, a signal handler's, OSError. In the main thread signal handlers
   run meanwhile (S10e). */

/* Try to have it, without waiting: 1, 0 if that would have to wait, -1 with an exception set. */
typedef int (*mod_try)(void *arg);

/*
 * Wait in the lot for a change of the object at `address`, until `attempt(arg)` has it. With a GIL,
 * `attempt` must not let go of it before it answers 0; a caller that was told to wait is in the lot
 * before anybody else runs. Whoever changes the object wakes with mod_wake.
 *
 * Returns 2, too: waits have been switched off meanwhile, let the original wait on.
 */
enum { MOD_WAIT_OFF = 2 };
int mod_wait_in_lot(const mod_waiting *waiting, const void *address, mod_try attempt, void *arg,
                    itr_deadline deadline);

/* Wait until poll() finds one of `count` descriptors ready; `fds` has room for one more behind
   them. Their `revents` are filled in. */
int mod_wait_for_fds(const mod_waiting *waiting, struct pollfd *fds, nfds_t count,
                     itr_deadline deadline);

/* The same for one descriptor, events as for poll(). A descriptor that is closed is ready. */
int mod_wait_for_fd(const mod_waiting *waiting, int fd, short events, itr_deadline deadline);

/*
 * Wait, trying in between, until `attempt(arg)` has it: at `waiting->own`, which turns readable
 * when it is worth another try; where there is none, from time to time. `attempt` may open it, or
 * another. Heeds `may_leave`.
 */
int mod_wait_trying(mod_waiting *waiting, mod_try attempt, void *arg, itr_deadline deadline);

/* Is it ready now? An error counts: the call itself tells it. */
static inline bool
mod_is_ready(int fd, short events)
{
    struct pollfd look = {.fd = fd, .events = events};
    return poll(&look, 1, 0) != 0;
}

/* Does it never wait, whatever the object says that it is of? */
static inline bool
mod_is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK);
}

/* Where the wait cannot be interrupted, and the original cannot go on from there. As
   mod_wait_for_fd. */
int mod_wait_uninterrupted(int fd, short events, itr_deadline deadline);

/*
 * For an original that waits itself, for a descriptor of ours among others. Before: the descriptor
 * is made unreadable, until the thread is asked; look whether it is with mod_wait_check,
 * and call. -1: the system has none left, and nothing was done.
 */
int mod_wait_begin_call(const mod_waiting *waiting);
void mod_wait_end_call(const mod_waiting *waiting);

/* Sleep; never returns 1. */
int mod_wait_until(const mod_waiting *waiting, itr_deadline deadline);

/* The end of a slice of a wait for what tells nobody when it changes: of a tenth of a millisecond
   at first, 20 ms at the most. `*slice` is 0 to begin with, and kept by the caller from one to the
   next. */
itr_deadline mod_next_slice(int64_t *slice);

/* Sleep such a slice, and return 1 then. */
int mod_wait_slice(const mod_waiting *waiting, int64_t *slice, itr_deadline deadline);

/* An object has changed so that `count` of those who wait for it in the lot may have what they
   want. To be called after the change, and before the GIL is let go of. */
static inline void
mod_wake(const void *address, size_t count)
{
    if (mod_waited_for(address)) {
        (void)itr_lot_wake(address, count);
    }
}

/* What means for ever in a timeout, besides that it is not given. */
typedef enum {
    MOD_NOTHING_IS_EVER,
    MOD_NONE_IS_EVER,
    MOD_MINUS_ONE_IS_EVER,
} mod_ever;

/*
 * The deadline that a timeout means, an int or float in seconds, or NULL. Rounded up, as CPython
 * does. False: the original does not wait with it, or refuses it, or it is of another type: let the
 * original deal with it.
 */
bool mod_deadline_of(PyObject *timeout, mod_ever ever, itr_deadline *deadline);

/* Until when is a call to wait whose arguments are a flag of that name, whether to wait, and
   `timeout`? False: it does not wait, or its arguments are not what they usually are. */
bool mod_call_deadline(const mod_call *call, const char *flag, mod_ever ever,
                       itr_deadline *deadline);

/* Let the original of such a call wait until then, after all; or, without `flag`, of a call whose
   only argument is the timeout. */
PyObject *mod_wait_in_original(const mod_call *call, bool flag, itr_deadline deadline);

#endif
