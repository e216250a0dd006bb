/*
 * See itr_lot.h. A hash table of queues, each with a mutex that is held for a few instructions and
 * in which nothing else is locked: a woken thread's parker is given its permit outside.
 */
#include "itr_lot.h"

enum { BUCKETS = 1024, BATCH = 16 };

typedef struct {
    _Alignas(64) pthread_mutex_t mutex;
    itr_waiter *first; /* guarded by the mutex */
    itr_waiter *last;  /* guarded by the mutex */
} bucket;

static bucket lot_buckets[BUCKETS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
lot_init(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        (void)pthread_mutex_init(&lot_buckets[i].mutex, NULL);
        lot_buckets[i].first = lot_buckets[i].last = NULL;
    }
}

static bucket *
bucket_of_address(const void *address)
{
    uint64_t hash = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15);
    return &lot_buckets[(size_t)(hash >> 40) % BUCKETS];
}

static void
lock_bucket(bucket *of)
{
    (void)pthread_once(&once, lot_init);
    (void)pthread_mutex_lock(&of->mutex);
}

static void
unlock_bucket(bucket *of)
{
    (void)pthread_mutex_unlock(&of->mutex);
}

static void
unlink_waiter(bucket *from, itr_waiter *waiter)
{
    *(waiter->previous != NULL ? &waiter->previous->next : &from->first) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->previous : &from->last) = waiter->previous;
}

void
itr_lot_enter(itr_waiter *waiter, const void *address, itr_record *record, bool in_front)
{
    waiter->address = address;
    waiter->record = record;
    atomic_init(&waiter->woken, false);
    bucket *to = bucket_of_address(address);
    lock_bucket(to);
    waiter->previous = in_front ? NULL : to->last;
    waiter->next = in_front ? to->first : NULL;
    *(waiter->previous != NULL ? &waiter->previous->next : &to->first) = waiter;
    *(waiter->next != NULL ? &waiter->next->previous : &to->last) = waiter;
    unlock_bucket(to);
}

bool
itr_lot_leave(itr_waiter *waiter)
{
    if (itr_lot_woken(waiter)) {
        return true;
    }
    bucket *from = bucket_of_address(waiter->address);
    lock_bucket(from);
    bool woken = itr_lot_woken(waiter);
    if (!woken) {
        unlink_waiter(from, waiter);
    }
    unlock_bucket(from);
    return woken;
}

/* Take up to `count` waiters (of that address, if it is not NULL) out of the queue, and say so to
   them; their records go to `records`, with a reference each. */
static size_t
take_out_waiters(bucket *from, const void *address, size_t count, itr_record **records)
{
    size_t taken = 0;
    lock_bucket(from);
    itr_waiter *next;
    for (itr_waiter *waiter = from->first; waiter != NULL && taken < count; waiter = next) {
        next = waiter->next;
        if (address == NULL || waiter->address == address) {
            unlink_waiter(from, waiter);
            records[taken++] = waiter->record;
            itr_retain(waiter->record);
            /* Release: pairs with the acquire in itr_lot_woken. The last that we do with it. */
            atomic_store_explicit(&waiter->woken, true, memory_order_release);
        }
    }
    unlock_bucket(from);
    return taken;
}

static size_t
wake(bucket *from, const void *address, size_t count)
{
    itr_record *records[BATCH];
    size_t woken = 0, taken = BATCH;
    while (woken < count && taken == BATCH) {
        size_t wanted = count - woken < BATCH ? count - woken : BATCH;
        taken = take_out_waiters(from, address, wanted, records);
        for (size_t i = 0; i < taken; i++) {
            itr_unpark(&records[i]->parker);
            itr_release(records[i]);
        }
        woken += taken;
    }
    return woken;
}

size_t
itr_lot_wake(const void *address, size_t count)
{
    return wake(bucket_of_address(address), address, count);
}

void
itr_lot_wake_all(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        (void)wake(&lot_buckets[i], NULL, SIZE_MAX);
    }
}

void
itr_lot_after_fork_child(void)
{
    lot_init(); /* whoever held a mutex, or is in a queue, does not exist here */
}
