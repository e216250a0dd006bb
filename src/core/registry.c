/*
 * The registry: see itr_registry.h. Everything in `registry` is guarded by registry.mutex; no
 * function of another module of the core is called under it but for the record's short ones.
 * What fork does is at the end.
 */
#include "itr_registry.h"

#include <unistd.h>

#include "itr_lot.h"
#include "itr_timer.h"

enum {
    BUCKETS = 4096,      /* a power of two; a process has hundreds of threads, or some thousands */
    SWEEP_AT_LEAST = 64, /* fewer records than this are not worth a sweep */
};

static struct {
    pthread_mutex_t mutex;
    size_t records;
    size_t unadopted;
    size_t sweep_at;  /* a sweep is due at so many unadopted records */
    uint64_t epoch;   /* counts sweeps begun */
    itr_record *lost; /* other threads' records in the child of a fork, by `next` */
    itr_payload *orphans;
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER, .sweep_at = SWEEP_AT_LEAST};

static itr_record *record_table[BUCKETS]; /* all of them, by `next`. Guarded by registry.mutex */

/* Whether `lost` or `orphans` may hold something. atomic: release by the writers, under the mutex;
   acquire by itr_take_orphans, without it. */
static _Atomic bool leftovers;

static pthread_key_t exit_key;
static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int init_error; /* written in init_once, read after it */

static void
lock_registry(void)
{
    (void)pthread_mutex_lock(&registry.mutex);
}

static void
unlock_registry(void)
{
    if (registry.orphans != NULL || registry.lost != NULL) {
        atomic_store_explicit(&leftovers, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&registry.mutex);
}

/* The table. ----------------------------------------------------------------------------------- */

static itr_record **
bucket_of_thread(uintptr_t thread_id)
{
    /* Thread ids are addresses, alike in their low bits: spread them, and use the upper half. */
    uint64_t hash = (uint64_t)thread_id * UINT64_C(0x9E3779B97F4A7C15);
    return &record_table[(size_t)(hash >> 32) % BUCKETS];
}

static void
put_in_bucket(itr_record *record)
{
    itr_record **bucket = bucket_of_thread(record->thread_id);
    record->next = *bucket;
    *bucket = record;
}

static void
take_from_bucket(itr_record *record)
{
    itr_record **link = bucket_of_thread(record->thread_id);
    while (*link != record) {
        link = &(*link)->next;
    }
    *link = record->next;
}

static void
enter_record(itr_record *record)
{
    put_in_bucket(record);
    record->listed = true;
    registry.records++;
    registry.unadopted += !record->adopted;
}

static void
leave_registry(itr_record *record)
{
    take_from_bucket(record);
    record->listed = false;
    registry.records--;
    registry.unadopted -= !record->adopted;
}

/* The thread has ended. Frees the record unless its thread or a requester holds it still. */
static void
throw_away(itr_record *record)
{
    leave_registry(record);
    itr_record_end(record, &registry.orphans);
    itr_unwatch_deadlines(record);
    itr_release(record);
}

/* The record with that serial in the chain of that thread id, or NULL. */
static itr_record *
search(uintptr_t thread_id, uint64_t serial)
{
    itr_record *record = *bucket_of_thread(thread_id);
    while (record != NULL && !(record->thread_id == thread_id && record->serial == serial)) {
        record = record->next;
    }
    return record;
}

/* The record of that serial, whatever its thread id is. Goes through all. */
static itr_record *
search_all(uint64_t serial)
{
    itr_record *record = NULL;
    for (size_t i = 0; i < BUCKETS && record == NULL; i++) {
        record = record_table[i];
        while (record != NULL && record->serial != serial) {
            record = record->next;
        }
    }
    return record;
}

/* The record of that thread, or NULL. It may have been made before its thread id was known; or the
   caller has seen the thread before that, and the record knows better by now. */
static itr_record *
look_up_record(itr_thread thread)
{
    itr_record *record = search(thread.thread_id, thread.serial);
    if (record == NULL && thread.thread_id == ITR_NO_THREAD_ID) {
        record = search_all(thread.serial);
    }
    else if (record == NULL) {
        record = search(ITR_NO_THREAD_ID, thread.serial);
        if (record != NULL) {
            take_from_bucket(record);
            record->thread_id = thread.thread_id;
            put_in_bucket(record);
        }
    }
    return record;
}

/* Throw away the records of earlier threads with this one's id. Returns false if there is one of a
   later thread: then this one has ended. Or one that has been adopted, unless it is the calling
   thread that is meant: then its thread lives, so this one has ended, or is that one by the name of
   another state that it has. */
static bool
bury_predecessors(itr_thread thread, bool itself)
{
    if (thread.thread_id == ITR_NO_THREAD_ID) {
        return true;
    }
    itr_record *next;
    for (itr_record *record = *bucket_of_thread(thread.thread_id); record != NULL; record = next) {
        next = record->next;
        if (record->thread_id != thread.thread_id || record->serial == thread.serial) {
            continue;
        }
        if (record->serial > thread.serial || (record->adopted && !itself)) {
            return false;
        }
        throw_away(record);
    }
    return true;
}

/* Make a record and enter it. */
static itr_record *
make(itr_thread thread)
{
    itr_record *record = itr_record_new(thread.thread_id, thread.serial);
    if (record != NULL) {
        record->born = registry.epoch;
        enter_record(record);
    }
    return record;
}

/* A thread and its record. ----------------------------------------------------------------------
 */

/* Let go of the calling thread's record. */
static void
disown(itr_record *record)
{
    itr_thread_record = NULL;
    itr_release(record);
}

/* The thread-exit handler: the last moment before the thread id can be given to another thread. */
static void
on_thread_exit(void *value)
{
    itr_record *record = value;
    itr_end((itr_thread){record->thread_id, record->serial});
    disown(record);
}

itr_record *
itr_adopt(itr_thread self)
{
    itr_record *earlier = itr_current();
    if (earlier != NULL) {
        (void)pthread_setspecific(exit_key, NULL);
        itr_end((itr_thread){earlier->thread_id, earlier->serial});
        disown(earlier);
    }
    lock_registry();
    (void)bury_predecessors(self, true);
    itr_record *record = look_up_record(self);
    if (record == NULL) {
        record = make(self);
    }
    if (record != NULL) {
        itr_retain(record);
        registry.unadopted -= !record->adopted;
        record->adopted = true;
    }
    unlock_registry();
    if (record == NULL) {
        return NULL;
    }
    itr_thread_record = record;
    if (pthread_setspecific(exit_key, record) != 0) {
        /* Without the handler nobody would say when the thread ends. */
        itr_end(self);
        disown(record);
        return NULL;
    }
    return record;
}

void
itr_end(itr_thread thread)
{
    lock_registry();
    itr_record *record = look_up_record(thread);
    if (record != NULL) {
        throw_away(record);
    }
    unlock_registry();
}

itr_record *
itr_find(uintptr_t thread_id)
{
    lock_registry();
    itr_record *record = *bucket_of_thread(thread_id);
    while (record != NULL && !(record->thread_id == thread_id && record->adopted)) {
        record = record->next;
    }
    if (record != NULL) {
        itr_retain(record);
    }
    unlock_registry();
    return record;
}

itr_answer
itr_ask(itr_thread thread, itr_payload *payload, itr_record **more)
{
    itr_record *record = NULL;
    if (more != NULL) {
        *more = NULL;
    }
    lock_registry();
    /* Who has adopted by that serial lives, also if another state of its has been asked before. */
    const itr_record *own = search(thread.thread_id, thread.serial);
    bool alive = (own != NULL && own->adopted) || bury_predecessors(thread, false);
    if (alive) {
        record = look_up_record(thread);
        if (record == NULL) {
            record = make(thread);
        }
        if (record != NULL) {
            itr_retain(record);
        }
    }
    unlock_registry();
    if (record == NULL) {
        return alive ? ITR_NO_MEMORY : ITR_FINISHED;
    }
    /* Outside the registry's mutex: it wakes the thread. If the record was thrown away since, the
       answer says so. */
    itr_answer answer = itr_request(record, payload);
    if (more != NULL && itr_needs_more(record)) {
        *more = record;
    }
    else {
        itr_release(record);
    }
    return answer;
}

bool
itr_asked(itr_thread thread)
{
    lock_registry();
    itr_record *record = look_up_record(thread);
    bool asked = record != NULL && itr_requested(record);
    unlock_registry();
    return asked;
}

bool
itr_ask_no_more(itr_thread thread, uint64_t origin, itr_payload **dropped)
{
    lock_registry();
    itr_record *record = look_up_record(thread);
    bool taken = record != NULL && itr_take_back(record, origin, dropped);
    unlock_registry();
    return taken;
}

/* Sweeping. -------------------------------------------------------------------------------------
 */

bool
itr_sweep_due(void)
{
    lock_registry();
    bool due = registry.unadopted >= registry.sweep_at;
    unlock_registry();
    return due;
}

uint64_t
itr_sweep_begin(void)
{
    lock_registry();
    uint64_t epoch = ++registry.epoch;
    unlock_registry();
    return epoch;
}

void
itr_sweep(uint64_t epoch, const itr_thread *live, size_t count)
{
    lock_registry();
    for (size_t i = 0; i < count; i++) {
        itr_record *record = look_up_record(live[i]);
        if (record != NULL && record->seen < epoch) {
            record->seen = epoch;
        }
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        itr_record *next;
        for (itr_record *record = record_table[i]; record != NULL; record = next) {
            next = record->next;
            if (!record->adopted && record->born < epoch && record->seen < epoch) {
                throw_away(record);
            }
        }
    }
    size_t twice = 2 * registry.unadopted;
    registry.sweep_at = twice < SWEEP_AT_LEAST ? SWEEP_AT_LEAST : twice;
    unlock_registry();
}

itr_payload *
itr_take_orphans(void)
{
    /* Acquire: pairs with the release in unlock(). */
    if (!atomic_load_explicit(&leftovers, memory_order_acquire)) {
        return NULL;
    }
    lock_registry();
    itr_record *next;
    for (itr_record *record = registry.lost; record != NULL; record = next) {
        next = record->next;
        itr_record_abandon(record, &registry.orphans);
    }
    registry.lost = NULL;
    itr_payload *orphans = registry.orphans;
    registry.orphans = NULL;
    atomic_store_explicit(&leftovers, false, memory_order_relaxed);
    unlock_registry();
    return orphans;
}

itr_statistics
itr_count(void)
{
    lock_registry();
    itr_statistics statistics = {registry.records, registry.unadopted};
    unlock_registry();
    return statistics;
}

/*
 * Fork. ------------------------------------------------------------------------------------------
 *
 * The forking thread holds the registry's mutex, the timer's and its own record's across the fork,
 * so the child finds all three whole. Records of other threads may have been caught in the middle
 * of a request, with their mutex locked by a thread that does not exist in the child: they are put
 * aside unopened, and freed by the next itr_take_orphans (a fork that is followed by exec never
 * pays for that). All that can be lost to such a request is the payload that its requester had not
 * handed over yet.
 */

static void
before_core_fork(void)
{
    lock_registry();
    itr_timer_before_fork();
    if (itr_current() != NULL) {
        itr_record_before_fork(itr_current());
    }
}

static void
after_fork_parent(void)
{
    if (itr_current() != NULL) {
        itr_record_after_fork_parent(itr_current());
    }
    itr_timer_after_fork_parent();
    unlock_registry();
}

/* Put all records before `lost`. */
static void
lose_all(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (itr_record *record; (record = record_table[i]) != NULL;) {
            record_table[i] = record->next;
            record->next = registry.lost;
            registry.lost = record;
        }
    }
    registry.records = registry.unadopted = 0;
}

static void
after_fork_child(void)
{
    itr_record *own = itr_current();
    bool listed = own != NULL && own->listed;
    itr_lot_after_fork_child();
    itr_timer_after_fork_child(own);
    itr_scatter_scopes((uint64_t)getpid());
    if (listed) {
        leave_registry(own);
    }
    lose_all();
    if (listed) {
        enter_record(own);
    }
    if (own != NULL) {
        /* The thread itself, the registry, the embedder. */
        uint32_t references = 1U + listed + (own->embedder != NULL);
        itr_record_after_fork_child(own, references, &registry.orphans);
    }
    unlock_registry();
}

static void
registry_init(void)
{
    itr_own_fd_init();
    itr_scatter_scopes((uint64_t)getpid());
    init_error = pthread_key_create(&exit_key, on_thread_exit);
    if (init_error == 0) {
        init_error = pthread_atfork(before_core_fork, after_fork_parent, after_fork_child);
    }
}

int
itr_init(void)
{
    (void)pthread_once(&init_once, registry_init);
    return init_error;
}
