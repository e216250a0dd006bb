/* One thread's record: see itr_record.h. Guarded by record->mutex but for what its header says. */
#include "itr_record.h"

#include <assert.h>
#include <stdlib.h>

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
    assert(record->pending == NULL && record->delivered == NULL);
    assert(record->scope_pending == NULL && record->scope_delivered == NULL);
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

/* Put `payload` in front of `list`. */
static void
push(itr_payload **list, itr_payload *payload)
{
    if (payload != NULL) {
        payload->next = *list;
        *list = payload;
    }
}

/* Move the scope's payloads to `dropped`. */
static void
drop_scope_payloads(itr_record *record, itr_payload **dropped)
{
    push(dropped, record->scope_pending);
    push(dropped, record->scope_delivered);
    record->scope_pending = record->scope_delivered = NULL;
    record->scope_last = false;
}

/* Move all payloads to `dropped`. */
static void
drop_payloads(itr_record *record, itr_payload **dropped)
{
    push(dropped, record->pending);
    push(dropped, record->delivered);
    record->pending = record->delivered = NULL;
    drop_scope_payloads(record, dropped);
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

/* A request to the scope of that number, or with 0 to the whole thread. Under the mutex. */
static itr_answer
accept(itr_record *record, uint64_t scope, itr_payload *payload)
{
    uint32_t flags = flags_locked(record);
    bool waits = scope == 0 ? record->whole_pending : (flags & ITR_PENDING) != 0;
    if ((flags & ITR_ENDED) || (scope != 0 && record->scope != scope)) {
        return ITR_FINISHED;
    }
    record->scope_asked = record->scope_asked || scope != 0;
    if (waits) {
        if (record->pending != NULL &&
            record->pending->origin != (payload == NULL ? 0 : payload->origin)) {
            record->pending->origin = 0; /* it stands for this one, too */
        }
        change_flags(record, ITR_REQUESTED_AGAIN, 0);
        return ITR_WAITING;
    }
    if (scope == 0) {
        if (payload != NULL && record->whole) {
            payload->origin = 0;
        }
        record->pending = payload;
        record->whole = record->whole_pending = true;
    }
    else {
        record->scope_pending = payload;
    }
    uint32_t again = flags & ITR_REQUESTED ? ITR_REQUESTED_AGAIN : 0U;
    change_flags(record, ITR_REQUESTED | ITR_PENDING | again, 0);
    return ITR_NEW;
}

static itr_answer
request(itr_record *record, uint64_t scope, itr_payload *payload)
{
    lock_record(record);
    bool again = (flags_locked(record) & ITR_REQUESTED_AGAIN) != 0;
    itr_answer answer = accept(record, scope, payload);
    bool wakes = answer == ITR_NEW || (answer == ITR_WAITING && !again);
    /* Under the mutex, or a signal late for a request that was cleared meanwhile would leave the
       descriptor readable for nothing. A request that was there already signals too: its owner may
       have read the descriptor empty. */
    if (answer != ITR_FINISHED) {
        itr_wake_fd_signal(&record->wake_fd);
    }
    if (wakes) {
        signal_poll(record);
    }
    unlock_record(record);
    if (wakes) {
        itr_unpark(&record->parker);
    }
    return answer;
}

itr_answer
itr_request(itr_record *record, itr_payload *payload)
{
    return request(record, 0, payload);
}

itr_answer
itr_request_scope(itr_record *record, uint64_t scope, itr_payload *payload)
{
    assert(scope != 0);
    return request(record, scope, payload);
}

bool
itr_enter_scope(itr_record *record, uint64_t scope)
{
    assert(scope != 0);
    lock_record(record);
    bool free = record->scope == 0;
    if (free) {
        record->scope = scope;
        record->scope_asked = false;
    }
    unlock_record(record);
    return free;
}

/* Nobody has asked any more. Under the mutex. */
static void
forget_requests(itr_record *record)
{
    record->whole = record->whole_pending = false;
    change_flags(record, 0, ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN);
    itr_wake_fd_drain(&record->wake_fd);
}

bool
itr_take_back(itr_record *record, uint64_t origin, itr_payload **dropped)
{
    assert(origin != 0);
    lock_record(record);
    itr_payload *pending = record->pending;
    bool taken = pending != NULL && pending->origin == origin && record->scope == 0;
    if (taken) {
        record->pending = NULL;
        push(dropped, pending);
        forget_requests(record);
    }
    unlock_record(record);
    return taken;
}

bool
itr_leave_scope(itr_record *record, uint64_t scope, bool *was_asked, itr_payload **dropped)
{
    lock_record(record);
    uint32_t flags = flags_locked(record);
    bool own = record->scope == scope;
    if (was_asked != NULL) {
        *was_asked = own && record->scope_asked;
    }
    bool asked = own && (flags & ITR_REQUESTED) && !record->whole;
    bool waits = own && (flags & ITR_PENDING) && record->whole && !record->whole_pending;
    if (own) {
        record->scope = 0;
        drop_scope_payloads(record, dropped);
    }
    if (asked) {
        forget_requests(record);
    }
    else if (waits) {
        /* The thread's own request has been delivered already, and is there still. */
        change_flags(record, 0, ITR_PENDING | ITR_REQUESTED_AGAIN);
    }
    unlock_record(record);
    return asked || waits;
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
itr_deliver(itr_record *record, itr_payload **dropped)
{
    lock_record(record);
    uint32_t flags = flags_locked(record);
    if (flags & ITR_PENDING) {
        if (record->whole_pending) {
            push(dropped, record->delivered);
            record->delivered = record->pending;
            record->pending = NULL;
            record->whole_pending = record->scope_last = false;
        }
        else {
            push(dropped, record->scope_delivered);
            record->scope_delivered = record->scope_pending;
            record->scope_pending = NULL;
            record->scope_last = true;
        }
        change_flags(record, 0, ITR_PENDING | ITR_REQUESTED_AGAIN);
    }
    unlock_record(record);
    return (flags & ITR_REQUESTED) != 0;
}

bool
itr_clear(itr_record *record, itr_payload **dropped)
{
    lock_record(record);
    uint32_t flags = flags_locked(record);
    drop_payloads(record, dropped);
    forget_requests(record);
    unlock_record(record);
    return (flags & ITR_REQUESTED) != 0;
}

itr_wait_result
itr_wait(itr_record *record, itr_deadline deadline)
{
    /* A requester stores the flag before it unparks, so a permit taken here is always followed by a
       look that sees the flag; one left over from a request seen earlier costs one turn more. */
    while (!itr_requested(record)) {
        switch (itr_park(&record->parker, deadline)) {
        case ITR_PARK_PERMIT:
            break;
        case ITR_PARK_TIMEOUT:
            return itr_requested(record) ? ITR_WAIT_REQUESTED : ITR_WAIT_TIMEOUT;
        case ITR_PARK_SIGNAL:
            return ITR_WAIT_SIGNAL;
        case ITR_PARK_ERROR:
            return ITR_WAIT_ERROR;
        }
    }
    return ITR_WAIT_REQUESTED;
}

/* The owner's, if it is whole; else ITR_NO_WAKE_FD, and what was left of it is closed. */
static itr_wake_fd
find_whole(itr_record *record, itr_wake_fd *place)
{
    lock_record(record);
    if (!itr_wake_fd_is_whole(place)) {
        itr_wake_fd_close(place); /* none yet; or somebody has closed what is not his */
    }
    itr_wake_fd found = *place;
    unlock_record(record);
    return found;
}

int
itr_wait_fd(itr_record *record)
{
    /* Only the owner opens it, so between the two locked parts nobody else does. */
    itr_wake_fd fd = find_whole(record, &record->wake_fd);
    if (fd.reader.fd < 0) {
        if (itr_wake_fd_open(&fd, true) < 0) {
            return -1;
        }
        lock_record(record);
        record->wake_fd = fd;
        if (flags_locked(record) & ITR_REQUESTED) {
            itr_wake_fd_signal(&fd);
        }
        unlock_record(record);
    }
    return fd.reader.fd;
}

int
itr_poll_fd(itr_record *record)
{
    itr_wake_fd fd = find_whole(record, &record->poll_fd);
    bool made = fd.reader.fd < 0;
    if (made && itr_wake_fd_open(&fd, false) < 0) {
        return -1;
    }
    lock_record(record);
    if (made) {
        record->poll_fd = fd;
    }
    else if (record->poll_signalled) { /* which it seldom is */
        itr_wake_fd_drain(&fd);
    }
    record->poll_signalled = false;
    unlock_record(record);
    return fd.reader.fd;
}

void
itr_record_end(itr_record *record, itr_payload **dropped)
{
    lock_record(record);
    drop_payloads(record, dropped);
    record->whole = record->whole_pending = false;
    change_flags(record, ITR_ENDED, ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN);
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
    drop_payloads(record, dropped);
    record->whole = record->whole_pending = false;
    change_flags(record, 0, ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN);
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
    drop_payloads(record, dropped);
    destroy(record);
}
