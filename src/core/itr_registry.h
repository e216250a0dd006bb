/*
 * The registry finds the record of a thread.
 *
 * A thread has two names. Its *thread id* is what users hold; the operating system gives it to
 * another thread as soon as the first has ended. Its *serial* is what the embedder gives it: larger
 * than that of every thread that was there before, and never given again. From inside, a thread
 * finds its record by a thread-local pointer; from outside, by thread id.
 *
 * A record comes into being
 *   - when its thread adopts it (itr_adopt), at its first look; or
 *   - when somebody asks a thread that never looked (itr_ask). The thread adopts it if it ever
 * looks; if it never does, nobody says when it ends, and the record is swept (itr_sweep).
 *
 * Why a reused thread id never inherits a request: an adopted record leaves the registry before its
 * thread id can be given away (itr_end, at the latest in the thread-exit handler), and one that was
 * not adopted is adopted only by the thread with its very serial. One that was not, with the same
 * thread id and another serial, is a dead thread's, and is thrown away by whoever meets it.
 *
 * One that was adopted is its thread's until that ends, whatever other serial has been seen with
 * the thread id: a thread of the system may have several states in turn, and looks by one of them.
 *
 * One mutex guards the registry; it is taken before the timer's, which is taken before a record's.
 */
#ifndef ITR_REGISTRY_H
#define ITR_REGISTRY_H

#include "itr_record.h"

/* The thread id of a thread that has been made but does not run yet. */
#define ITR_NO_THREAD_ID ((uintptr_t)0)

/* A thread's two names. */
typedef struct {
    uintptr_t thread_id;
    uint64_t serial;
} itr_thread;

/* Before everything else; any number of times. Returns 0, or an errno value. */
int itr_init(void);

/*
 * By a thread, for itself: its record, found or made, which itr_current() returns from now on. NULL
 * if there is no memory. A thread that has ended for the embedder and lives on under a new serial
 * adopts again. The record lives until the thread ends for the operating system.
 */
itr_record *itr_adopt(itr_thread self);

/*
 * The thread has ended: drop its requests, accept no more. By the thread itself, or by anybody once
 * it can run no more. Without a record of these names: nothing. Payloads become orphans.
 */
void itr_end(itr_thread thread);

/* The record that the live thread of that id has adopted, with a reference for the caller; else
 * NULL. */
itr_record *itr_find(uintptr_t thread_id);

/*
 * Ask a thread that the embedder has just seen alive, whether it has a record or not; as
 * itr_request. thread_id may be ITR_NO_THREAD_ID. `*more` (if not NULL) is the thread's record,
 * with a reference for the caller, if there is more to do (itr_needs_more); else NULL.
 * ITR_FINISHED also if that id's thread has adopted a record by another serial: itr_find has it.
 */
itr_answer itr_ask(itr_thread thread, itr_payload *payload, itr_record **more);

/* As itr_take_back, of a thread that may have no record. */
bool itr_ask_no_more(itr_thread thread, uint64_t origin, itr_payload **dropped);

/* Has the thread a request, delivered or not? It may never have looked. */
bool itr_asked(itr_thread thread);

/*
 * Sweeping throws away the records of threads that were asked, never looked, and have ended:
 *
 *     if (itr_sweep_due()) {
 *         uint64_t epoch = itr_sweep_begin();
 *         ... list all live threads ...
 *         itr_sweep(epoch, live, count);
 *     }
 *
 * A record made after itr_sweep_begin is kept, whether its thread is in the list or not.
 * itr_sweep_due is true when there are about twice as many such records as the last sweep left.
 */
bool itr_sweep_due(void);
uint64_t itr_sweep_begin(void);
void itr_sweep(uint64_t epoch, const itr_thread *live, size_t count);

/*
 * Payloads whose request came to its end where the embedder could not be called: in the thread-exit
 * handler, in a sweep, in a fork. The caller owns the list. Cheap when there are none.
 */
itr_payload *itr_take_orphans(void);

/* What there is, for tests and diagnosis. */
typedef struct {
    size_t records;   /* in the registry */
    size_t unadopted; /* of these: of threads that never looked */
} itr_statistics;
itr_statistics itr_count(void);

#endif
