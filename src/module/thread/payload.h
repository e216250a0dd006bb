/*
 * What a request carries besides itself: the exception class and the reason (S2).
 *
 * Made by the requester, given to the core, and dropped by whoever the core hands it back to,
 * always with the calling thread attached and no lock of ours held, for dropping runs other
 * people's code.
 */
#ifndef MOD_PAYLOAD_H
#define MOD_PAYLOAD_H

#include "itr_record.h"
#include "state.h"

typedef struct {
    itr_payload base;   /* the core's part; first */
    PyObject *exc_type; /* NULL: ThreadExit */
    PyObject *reason;   /* NULL: None */
} mod_payload;

/*
 * A payload that holds both (borrowed; NULL for the default), of a request that can be taken back
 * by that number (0: by nobody), in `*payload`; NULL where all are the default. Returns 0, or -1
 * with MemoryError set.
 */
int mod_payload_from(uint64_t origin, PyObject *exc_type, PyObject *reason, itr_payload **payload);

/* Drop a list that the core gave back. NULL is an empty list. The pending exception is kept. */
void mod_payload_drop(itr_payload *list);

/* Drop what came to its end where we could not be called. Cheap when there is nothing. */
void mod_payload_drop_orphans(void);

/* The same for payloads of an interpreter that is gone: its objects are left where they are. */
void mod_payload_forget_orphans(void);

#endif
