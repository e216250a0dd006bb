/* One thread's record: see itr_record.h. Guarded by record->mutex but for what its header says. */
#include "itr_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "itr_level.h"

ITR_TLS itr_record *itr_thread_record = NULL;

itr_record *
itr_record_new(uintptr_t thread_id, uint64_t serial)
{
    itr_record *record = calloc(1, sizeof(*record));
    if (record == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&record->mutex, NULL) != 0) {
        free(record);
        return NULL;
    }
    atomic_init(&record->flags, 0);
    atomic_init(&record->references, 1);
    itr_parker_init(&record->parker);
    record->wake_fd = record->poll_fd = ITR_NO_WAKE_FD;
    record->levels = &record->own;
    atomic_init(&record->level_count, 1); /* zeroed: ITR_THREAD */
    record->level_capacity = 1;
    record->levels[0].deadline = ITR_NEVER;
    atomic_init(&record->looked_at, ITR_NEVER);
    record->thread_id = thread_id;
    record->serial = serial;
    return record;
}

void
itr_retain(itr_record *record)
{
    /* Relaxed: whoever retains has got the record through a mutex or owns it. */
    (void)atomic_fetch_add_explicit(&record->references, 1, memory_order_relaxed);
}

static void
destroy(itr_record *record)
{
    assert(record->levels[0].pending == NULL && record->levels[0].delivered == NULL);
    if (record->levels != &record->own) {
        free(record->levels);
    }
    itr_wake_fd_close(&record->wake_fd);
    itr_wake_fd_close(&record->poll_fd);
    itr_parker_destroy(&record->parker);
    free(record);
}

void
itr_release(itr_record *record)
{
    /* Release and acquire: the one that frees comes after every use by the others. */
    if (atomic_fetch_sub_explicit(&record->references, 1, memory_order_acq_rel) == 1) {
        (void)pthread_mutex_destroy(&record->mutex);
        destroy(record);
    }
}

static void
lock_record(itr_record *record)
{
    (void)pthread_mutex_lock(&record->mutex);
}

static void
unlock_record(itr_record *record)
{
    (void)pthread_mutex_unlock(&record->mutex);
}

/* By the owner, or while it cannot run; others: see lock_levels. */
static uint32_t
count_of_levels(const itr_record *record)
{
    /* Acquire: pairs with the release in itr_enter_scope. */
    return atomic_load_explicit(&record->level_count, memory_order_acquire);
}

/*
 * lock_record for a thread that may be another than the owner, and looks at the levels.
 *
 * For these the mutex is biased to the owner, which enters and leaves scopes without it: it changes
 * `level_count`, and then `flags`. Another thread revokes the bias, in `flags`, and then reads
 * `level_count`. So one of the two sees what the other did. An owner that is unbiased when it
 * leaves a scope takes the mutex, and has its bias back.
 *
 * Returns how many there are, read once: one that is left meanwhile is there for all or nothing.
 */
static uint32_t
lock_levels(itr_record *record)
{
    lock_record(record);
    /* Acquire: pairs with the release in itr_enter_scope and itr_leave_scope. Release: with the
     * acquire there. */
    (void)atomic_fetch_or_explicit(&record->flags, ITR_UNBIASED, memory_order_acq_rel);
    return count_of_levels(record);
}

/* The flags that are written under the mutex, for one who holds it. */
static uint32_t
flags_locked(const itr_record *record)
{
    return atomic_load_explicit(&record->flags, memory_order_relaxed);
}

/* Change bits, for one who holds the mutex; the other bits may change meanwhile. */
static void
change_flags(itr_record *record, uint32_t set, uint32_t unset)
{
    /* Release: pairs with the acquire in itr_flags. Acquire: with itr_enable_cancel and
     * itr_disable_cancel. */
    (void)atomic_fetch_and_explicit(&record->flags, ~unset, memory_order_acq_rel);
    (void)atomic_fetch_or_explicit(&record->flags, set, memory_order_acq_rel);
}

/* Levels. ------------------------------------------------------------------------------------- */

/* By the owner, or while it cannot run: the level of that number, or NULL. Under the mutex. */
static itr_level *
find_level(const itr_record *record, uint64_t number)
{
    return itr_find_among(record->levels, count_of_levels(record), number);
}

/* Nobody has asked any level any more. Under the mutex. */
static void
forget_levels(itr_record *record, itr_payload **dropped)
{
    for (uint32_t i = 0; i < count_of_levels(record); i++) {
        itr_forget_level(&record->levels[i], dropped);
    }
}

/* Let `flags` say what so many levels say. Under the mutex. */
static void
sum_levels(itr_record *record, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t flags = record->levels[i].flags;
        sum |= i >= record->open_from ? flags : flags & ITR_REQUESTED;
    }
    uint32_t before = flags_locked(record) & ITR_OF_REQUESTS;
    if (sum == before) {
        return;
    }
    change_flags(record, sum & ~before, before & ~sum);
    if (before & ~sum & ITR_REQUESTED) {
        itr_wake_fd_drain(&record->wake_fd);
    }
}

/* Let a poll() of the owner's end, or its next. Under the mutex. */
static void
signal_poll(itr_record *record)
{
    if (record->poll_fd.reader.fd >= 0 && !record->poll_signalled) {
        record->poll_signalled = true;
        itr_wake_fd_signal(&record->poll_fd);
    }
}

/* A request to that level, one of so many. Under the mutex. */
static itr_answer
accept(itr_record *record, uint32_t count, itr_level *level, itr_payload *payload)
{
    if ((flags_locked(record) & ITR_ENDED) || level == NULL) {
        return ITR_FINISHED;
    }
    if (level->flags & ITR_PENDING) {
        if (level->pending != NULL &&
            level->pending->origin != (payload == NULL ? 0 : payload->origin)) {
            level->pending->origin = 0; /* it stands for this one, too */
        }
        level->flags |= ITR_REQUESTED_AGAIN;
        sum_levels(record, count);
        return ITR_WAITING;
    }
    if (payload != NULL && (level->flags & ITR_REQUESTED)) {
        payload->origin = 0;
    }
    level->pending = payload;
    level->timed = false;
    level->flags |= level->flags & ITR_REQUESTED ? ITR_PENDING | ITR_REQUESTED_AGAIN
                                                 : ITR_PENDING | ITR_REQUESTED;
    sum_levels(record, count);
    return ITR_NEW;
}

/* The same, and what the owner finds it by. `*wakes`: it is to be unparked, without the mutex. */
static itr_answer
accept_and_signal(itr_record *record, uint32_t count, itr_level *level, itr_payload *payload,
                  bool *wakes)
{
    bool again = level != NULL && (level->flags & ITR_REQUESTED_AGAIN) != 0;
    itr_answer answer = accept(record, count, level, payload);
    *wakes = answer == ITR_NEW || (answer == ITR_WAITING && !again);
    /* Under the mutex, or a signal late for a request that was cleared meanwhile would leave the
       descriptor readable for nothing. A request that was there already signals too: its owner may
       have read the descriptor empty. */
    if (answer != ITR_FINISHED) {
        itr_wake_fd_signal(&record->wake_fd);
    }
    if (*wakes) {
        signal_poll(record);
    }
    return answer;
}

itr_answer
itr_request_level(itr_record *record, uint64_t number, itr_payload *payload, bool once)
{
    bool wakes = false;
    uint32_t count = lock_levels(record);
    itr_level *level = itr_find_among(record->levels, count, number);
    itr_answer answer = ITR_WAITING;
    if (!once || level == NULL || !itr_is_asked(level)) {
        answer = accept_and_signal(record, count, level, payload, &wakes);
    }
    unlock_record(record);
    if (wakes) {
        itr_unpark(&record->parker);
    }
    return answer;
}

/* Nobody else keeps an address of a level. False: there is no memory. */
static bool
grow_levels(itr_record *record)
{
    enum { AT_FIRST = 4 };
    uint32_t capacity = record->level_capacity == 1 ? AT_FIRST : 2 * record->level_capacity;
    itr_level *larger = malloc(capacity * sizeof(*larger));
    if (larger == NULL) {
        return false;
    }
    lock_record(record);
    itr_level *smaller = record->levels;
    memcpy(larger, smaller, record->level_capacity * sizeof(*larger));
    record->levels = larger;
    record->level_capacity = capacity;
    unlock_record(record);
    if (smaller != &record->own) {
        free(smaller);
    }
    return true;
}

/* Put a flag up or down that the owner alone writes; or, with 0, none: a read-modify-write in any
   case. By addition, which is one instruction where the flags of before are wanted. */
static inline uint32_t
turn_flag(itr_record *record, uint32_t flag, bool up)
{
    /* Relaxed: of that flag, it is what it was. */
    bool is_up = atomic_load_explicit(&record->flags, memory_order_relaxed) & flag;
    uint32_t added = is_up == up ? 0 : up ? flag : 0U - flag;
    return atomic_fetch_add_explicit(&record->flags, added, memory_order_acq_rel);
}

int64_t
itr_enter_scope(itr_record *record, uint64_t scope, itr_deadline deadline)
{
    assert(scope != ITR_THREAD && scope != ITR_NOBODY);
    /* Relaxed: only the owner writes it. */
    uint32_t count = atomic_load_explicit(&record->level_count, memory_order_relaxed);
    if (count == record->level_capacity && !grow_levels(record)) {
        return -1;
    }
    itr_level *level = &record->levels[count];
    level->number = scope;
    level->flags = 0;
    level->expired = level->timed = level->was_timed = false;
    level->deadline = deadline;
    level->pending = level->delivered = NULL;
    /* Release: pairs with the acquire in count_of_levels; and the next one as in lock_levels, so
       that who looks from here on finds the level, or the owner what the timer has written before
       it looked (itr_watch_deadline). */
    atomic_store_explicit(&record->level_count, count + 1, memory_order_release);
    return turn_flag(record, ITR_CANCELABLE, true);
}

/* The rest of leaving it, if it may have been asked, or looked at, or is not the innermost. Returns
   whether it was asked. */
static bool
leave_by_mutex(itr_record *record, uint64_t scope, bool innermost, itr_payload **dropped)
{
    lock_record(record);
    /* Release, acquire: as in lock_levels. */
    (void)atomic_fetch_and_explicit(&record->flags, ~(uint32_t)ITR_UNBIASED, memory_order_acq_rel);
    uint32_t count = count_of_levels(record);
    itr_level *left = innermost ? &record->levels[count] : find_level(record, scope);
    bool was_asked = left != NULL && left->flags != 0;
    if (left != NULL) {
        itr_forget_level(left, dropped);
        if (!innermost) {
            itr_level *end = &record->levels[count - 1];
            memmove(left, left + 1, (size_t)(end - left) * sizeof(*left));
            atomic_store_explicit(&record->level_count, --count, memory_order_relaxed);
        }
        sum_levels(record, count);
    }
    unlock_record(record);
    return was_asked;
}

uint32_t
itr_leave_scope(itr_record *record, uint64_t scope, bool disables, bool *was_asked,
                itr_payload **dropped)
{
    assert(scope != ITR_THREAD);
    uint32_t count = atomic_load_explicit(&record->level_count, memory_order_relaxed);
    bool innermost = record->levels[count - 1].number == scope;
    if (innermost) {
        /* Relaxed: who looks after the next line sees it by that. */
        atomic_store_explicit(&record->level_count, count - 1, memory_order_relaxed);
    }
    /* Acquire: what others did who have looked before. Release: pairs with lock_levels. */
    uint32_t flags = turn_flag(record, disables ? ITR_CANCELABLE : 0, false);
    *was_asked = (!innermost || (flags & (ITR_UNBIASED | ITR_OF_REQUESTS))) &&
                 leave_by_mutex(record, scope, innermost, dropped);
    return flags;
}

void
itr_begin_scope_anew(itr_record *record, uint64_t scope, itr_deadline deadline,
                     itr_payload **dropped)
{
    lock_record(record);
    itr_level *level = find_level(record, scope);
    if (level != NULL) {
        itr_forget_level(level, dropped);
        level->expired = false;
        level->deadline = deadline;
        sum_levels(record, count_of_levels(record));
    }
    unlock_record(record);
}

/* Deadlines. ----------------------------------------------------------------------------------- */

bool
itr_reschedule(itr_record *record, uint64_t scope, itr_deadline deadline)
{
    uint32_t count = lock_levels(record);
    itr_level *level = itr_find_among(record->levels, count, scope);
    bool still = level != NULL && !level->expired && !(flags_locked(record) & ITR_ENDED);
    if (still) {
        level->deadline = deadline;
    }
    unlock_record(record);
    return still;
}

bool
itr_has_expired(itr_record *record, uint64_t scope)
{
    uint32_t count = lock_levels(record);
    const itr_level *level = itr_find_among(record->levels, count, scope);
    bool expired = level != NULL && level->expired;
    unlock_record(record);
    return expired;
}

itr_look
itr_look_at_deadlines(itr_record *record, itr_deadline now)
{
    itr_look look = {.next = ITR_NEVER};
    /* Relaxed, as the next one: whoever enters a scope meanwhile, and reads this, asks the timer;
       who reads what was there before is found below (see itr_enter_scope). */
    atomic_store_explicit(&record->looked_at, ITR_NEVER, memory_order_relaxed);
    uint32_t count = lock_levels(record);
    for (uint32_t i = 0; i < count; i++) {
        itr_level *level = &record->levels[i];
        if (level->expired) {
            continue;
        }
        if (level->deadline > now) {
            look.next = level->deadline < look.next ? level->deadline : look.next;
            continue;
        }
        bool wakes;
        level->expired = true;
        if ((level->flags & (ITR_REQUESTED | ITR_PENDING)) == ITR_REQUESTED) {
            continue; /* it has been stopped already: its cleanup is left alone (S25) */
        }
        itr_answer answer = accept_and_signal(record, count, level, NULL, &wakes);
        level->timed = level->timed || answer == ITR_NEW;
        look.asked |= answer != ITR_FINISHED;
        look.wakes |= wakes;
    }
    atomic_store_explicit(&record->looked_at, look.next, memory_order_relaxed);
    unlock_record(record);
    return look;
}

uint32_t
itr_level_flags(itr_record *record, uint64_t level)
{
    lock_record(record);
    const itr_level *found = find_level(record, level);
    uint32_t flags = found == NULL ? 0 : found->flags;
    unlock_record(record);
    return flags;
}

uint32_t
itr_open_from(itr_record *record, uint64_t level)
{
    lock_record(record);
    const itr_level *found = find_level(record, level);
    record->open_from = found == NULL ? UINT32_MAX : (uint32_t)(found - record->levels);
    sum_levels(record, count_of_levels(record));
    uint32_t flags = itr_flags(record);
    unlock_record(record);
    return flags;
}

bool
itr_take_back(itr_record *record, uint64_t origin, itr_payload **dropped)
{
    assert(origin != 0);
    uint32_t count = lock_levels(record);
    itr_level *thread = &record->levels[0];
    bool taken = thread->pending != NULL && thread->pending->origin == origin;
    if (taken) {
        itr_forget_level(thread, dropped);
        sum_levels(record, count);
    }
    unlock_record(record);
    return taken;
}

void
itr_wake(itr_record *record)
{
    lock_record(record);
    signal_poll(record);
    unlock_record(record);
    itr_unpark(&record->parker);
}

bool
itr_deliver(itr_record *record, uint64_t level, itr_payload **dropped)
{
    lock_record(record);
    itr_level *found = find_level(record, level);
    bool asked = found != NULL && found->flags != 0;
    if (asked && (found->flags & ITR_PENDING)) {
        itr_push_payload(dropped, found->delivered);
        found->delivered = found->pending;
        found->pending = NULL;
        found->was_timed = found->timed;
        found->timed = false;
        found->flags = ITR_REQUESTED;
        sum_levels(record, count_of_levels(record));
    }
    unlock_record(record);
    return asked;
}

itr_payload *
itr_delivered(const itr_record *record, uint64_t level)
{
    const itr_level *found = find_level(record, level);
    return found == NULL ? NULL : found->delivered;
}

bool
itr_was_timed(const itr_record *record, uint64_t level)
{
    const itr_level *found = find_level(record, level);
    return found != NULL && found->was_timed;
}

itr_payload *
itr_asked_for(itr_record *record, uint64_t level, bool *timed)
{
    itr_payload *payload = NULL;
    *timed = false;
    lock_record(record);
    const itr_level *found = find_level(record, level);
    if (found != NULL) {
        bool waits = found->flags & ITR_PENDING;
        payload = waits ? found->pending : found->delivered;
        *timed = waits ? found->timed : found->was_timed;
    }
    unlock_record(record);
    return payload;
}

bool
itr_clear(itr_record *record, itr_payload **dropped)
{
    lock_record(record);
    uint32_t flags = flags_locked(record);
    forget_levels(record, dropped);
    sum_levels(record, count_of_levels(record));
    unlock_record(record);
    return (flags & ITR_REQUESTED) != 0;
}

void
itr_record_end(itr_record *record, itr_payload **dropped)
{
    lock_record(record);
    forget_levels(record, dropped);
    atomic_store_explicit(&record->level_count, 1, memory_order_relaxed);
    change_flags(record, ITR_ENDED, ITR_OF_REQUESTS);
    itr_wake_fd_close(&record->wake_fd);
    itr_wake_fd_close(&record->poll_fd);
    unlock_record(record);
}

void
itr_record_before_fork(itr_record *record)
{
    lock_record(record);
}

void
itr_record_after_fork_parent(itr_record *record)
{
    unlock_record(record);
}

void
itr_record_after_fork_child(itr_record *record, uint32_t references, itr_payload **dropped)
{
    forget_levels(record, dropped);
    for (uint32_t i = 0; i < count_of_levels(record); i++) { /* the scopes are its owner's still */
        record->levels[i].deadline = ITR_NEVER;
        record->levels[i].expired = false;
    }
    change_flags(record, 0, ITR_OF_REQUESTS);
    atomic_store_explicit(&record->references, references, memory_order_relaxed);
    itr_parker_after_fork(&record->parker);
    itr_wake_fd_after_fork(&record->wake_fd);
    itr_wake_fd_close(&record->poll_fd); /* nobody else knows its number */
    record->poll_signalled = false;
    unlock_record(record);
}

void
itr_record_abandon(itr_record *record, itr_payload **dropped)
{
    for (uint32_t i = 0; i < count_of_levels(record); i++) {
        itr_abandon_level(&record->levels[i], dropped);
    }
    destroy(record);
}
