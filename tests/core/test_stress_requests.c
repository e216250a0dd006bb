/*
 * Requesters against owners that look, deliver, clear, wait and end, with thread ids reused at
 * once.
 *
 * Each request carries a payload of its own that names the thread it is meant for. Invariant: every
 * payload whose request was accepted comes back exactly once; one that is delivered or cleared
 * comes back from the thread it names, and nobody's on a successor; every payload that was not
 * accepted stays with its requester. Seed: the number of the requester or owner.
 */
#include <string.h>

#include "expect.h"
#include "itr_registry.h"

enum { SLOTS = 8, REQUESTERS = 3 };

typedef struct {
    itr_payload base; /* first: the core knows this part only */
    uint64_t serial;
} request;

/* One place in which threads live one after the other, all with the same thread id. */
typedef struct {
    uintptr_t thread_id;
    _Atomic uint64_t serial; /* of the one that lives now */
    long lives;
} slot;

static slot slots[SLOTS];
static _Atomic uint64_t serials;
static _Atomic bool stop;
static _Atomic long accepted, refused, waiting;
static _Atomic long delivered, cleared, dropped_at_end;

/* Count and free a list of payloads that came back in the thread with that serial; 0: anywhere. */
static long
take_back(itr_payload *list, uint64_t serial)
{
    long count = 0;
    while (list != NULL) {
        request *back = (request *)list;
        list = list->next;
        EXPECT(serial == 0 || back->serial == serial); /* not one for a predecessor */
        free(back); /* twice the same: the allocator or the sanitizer objects */
        count++;
    }
    return count;
}

static void *
live(void *argument)
{
    slot *place = argument;
    itr_thread self = {place->thread_id, atomic_fetch_add(&serials, 1) + 1};
    uint64_t seed = self.serial;
    atomic_store(&place->serial, self.serial);
    if (random_next(&seed) % 8 == 0) {
        return NULL; /* never looks */
    }
    itr_record *record = itr_adopt(self);
    EXPECT(record != NULL);
    for (uint32_t turns = random_next(&seed) % 64; turns > 0; turns--) {
        itr_payload *dropped = NULL;
        switch (random_next(&seed) % 4) {
        case 0:
            if (itr_deliver(record, ITR_THREAD, &dropped)) {
                EXPECT(itr_delivered(record, ITR_THREAD) != NULL);
                EXPECT(((request *)itr_delivered(record, ITR_THREAD))->serial == self.serial);
            }
            atomic_fetch_add(&delivered, take_back(dropped, self.serial));
            break;
        case 1:
            (void)itr_clear(record, &dropped);
            atomic_fetch_add(&cleared, take_back(dropped, self.serial));
            break;
        case 2:
            if (itr_wait(record, itr_deadline_after(20000)) == ITR_WAIT_REQUESTED) {
                EXPECT(itr_requested(record));
            }
            break;
        default:
            (void)itr_requested(record);
            break;
        }
    }
    if (random_next(&seed) % 2 == 0) {
        itr_end(self); /* as an embedder does; else the thread-exit handler */
        atomic_fetch_add(&dropped_at_end, take_back(itr_take_orphans(), 0));
    }
    return NULL;
}

static void *
live_in_slot(void *argument)
{
    slot *place = argument;
    for (long life = 0; life < place->lives; life++) {
        join(start(live, place));
    }
    return NULL;
}

static void *
ask(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        slot *place = &slots[random_next(&seed) % SLOTS];
        uint64_t serial = atomic_load(&place->serial);
        request *sent = calloc(1, sizeof(*sent));
        EXPECT(sent != NULL);
        sent->serial = serial;
        itr_answer answer;
        itr_record *record = random_next(&seed) % 2 == 0 ? itr_find(place->thread_id) : NULL;
        if (record != NULL) {
            sent->serial = record->serial; /* constant */
            answer = itr_request(record, &sent->base);
            itr_release(record);
        }
        else if (serial != 0) {
            answer = itr_ask((itr_thread){place->thread_id, serial}, &sent->base, NULL);
        }
        else {
            answer = ITR_FINISHED;
        }
        if (answer == ITR_NEW) {
            atomic_fetch_add(&accepted, 1);
        }
        else {
            EXPECT(answer == ITR_WAITING || answer == ITR_FINISHED);
            atomic_fetch_add(answer == ITR_WAITING ? &waiting : &refused, 1);
            free(sent);
        }
        atomic_fetch_add(&dropped_at_end, take_back(itr_take_orphans(), 0));
    }
    return NULL;
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    long lives = scaled(100000) / SLOTS + 1;
    pthread_t owners[SLOTS], requesters[REQUESTERS];
    for (uintptr_t i = 0; i < SLOTS; i++) {
        slots[i].thread_id = 0x1000 + i;
        slots[i].lives = lives;
        owners[i] = start(live_in_slot, &slots[i]);
    }
    for (uintptr_t i = 0; i < REQUESTERS; i++) {
        requesters[i] = start(ask, (void *)(i + 1));
    }
    for (int i = 0; i < SLOTS; i++) {
        join(owners[i]);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < REQUESTERS; i++) {
        join(requesters[i]);
    }
    itr_sweep(itr_sweep_begin(), NULL, 0);
    atomic_fetch_add(&dropped_at_end, take_back(itr_take_orphans(), 0));
    printf("%ld threads lived; %ld requests accepted, %ld waited already, %ld came too late; "
           "back: %ld delivered, %ld cleared, %ld at the end\n",
           lives * SLOTS, accepted, waiting, refused, delivered, cleared, dropped_at_end);
    EXPECT(accepted > 0 && waiting > 0 && refused > 0);
    EXPECT(accepted == delivered + cleared + dropped_at_end);
    EXPECT(itr_count().records == 0);
    return 0;
}
