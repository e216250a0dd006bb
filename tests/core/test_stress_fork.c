/*
 * Forks in the middle of requests, of threads that come and go.
 *
 * Invariant: every child finds a registry that works, itself not asked, and can be asked; nothing
 * that a thread of the parent was doing at the moment of the fork blocks it. Seed: the requester's
 * number.
 *
 * Under ThreadSanitizer a child only ends. The locks of its runtime are not taken before a fork, so
 * a child of a process with threads hangs in free() or in a mutex when another thread had one: in
 * SizeClassAllocator64::ReturnToAllocator, in DenseSlabAlloc::Drain (gcc 12; 1 in 20,000 forks).
 * Nor does it look for races in such a child. What the parent's threads do around the fork it does.
 */
#include "expect.h"
#include "itr_registry.h"

#if defined(__SANITIZE_THREAD__)
#define CHILDREN_ONLY_END true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILDREN_ONLY_END true
#endif
#endif
#ifndef CHILDREN_ONLY_END
#define CHILDREN_ONLY_END false
#endif

enum { REQUESTERS = 2, OTHERS = 50 };

static const itr_thread self = {.thread_id = 1, .serial = 1};
static _Atomic bool stop;

static void
drop(itr_payload *list)
{
    while (list != NULL) {
        itr_payload *next = list->next;
        free(list);
        list = next;
    }
}

static void *
ask(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    uint64_t serial = 2 + (uint64_t)(uintptr_t)argument * UINT64_C(1000000000);
    while (!atomic_load(&stop)) {
        itr_payload *payload = calloc(1, sizeof(*payload));
        EXPECT(payload != NULL);
        uint32_t choice = random_next(&seed) % 3;
        itr_thread thread = self;
        if (choice != 0) {
            thread = (itr_thread){2 + random_next(&seed) % OTHERS, ++serial};
        }
        if (itr_ask(thread, payload, NULL) != ITR_NEW) {
            free(payload);
        }
        if (choice == 2) {
            itr_end(thread);
        }
        drop(itr_take_orphans());
    }
    return NULL;
}

static bool
child_works(void)
{
    if (CHILDREN_ONLY_END) {
        return true;
    }
    itr_payload *dropped = NULL;
    itr_record *record = itr_current();
    bool clean = itr_flags(record) == 0 && itr_count().records == 1;
    drop(itr_take_orphans());
    bool asked = itr_ask(self, NULL, NULL) == ITR_NEW;
    bool woken = itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED;
    bool other = itr_ask((itr_thread){2, UINT64_MAX}, NULL, NULL) == ITR_NEW;
    return clean && asked && woken && itr_clear(record, &dropped) && other;
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    EXPECT(itr_adopt(self) != NULL);
    EXPECT(itr_wait_fd(itr_current()) >= 0);
    pthread_t requesters[REQUESTERS];
    for (uintptr_t i = 0; i < REQUESTERS; i++) {
        requesters[i] = start(ask, (void *)(i + 1));
    }
    long forks = scaled(2000);
    for (long i = 0; i < forks; i++) {
        itr_payload *dropped = NULL;
        in_a_child(child_works);
        (void)itr_clear(itr_current(), &dropped);
        drop(dropped);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < REQUESTERS; i++) {
        join(requesters[i]);
    }
    itr_sweep(itr_sweep_begin(), NULL, 0);
    itr_end(self);
    drop(itr_take_orphans());
    printf("%ld forks\n", forks);
    return 0;
}
