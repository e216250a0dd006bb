/* The numbers of scopes: no two have the same (see itr_new_scope). */
#include "itr_record.h"

/* Of all that there have been; atomic. It begins, and goes on in a child, somewhere else each time:
   exceptions that know their scope by it get about among processes. */
static _Atomic uint64_t newest_scope;

/* A thread takes many at once: those that it has left. */
enum { NUMBERS_AT_ONCE = 1024 };
static ITR_TLS uint64_t next_number, end_of_numbers;

uint64_t
itr_new_scope(void)
{
    if (next_number == end_of_numbers) {
        /* Relaxed: only that no two are the same counts. */
        next_number =
            atomic_fetch_add_explicit(&newest_scope, NUMBERS_AT_ONCE, memory_order_relaxed);
        end_of_numbers = next_number + NUMBERS_AT_ONCE;
    }
    return next_number++;
}

void
itr_scatter_scopes(uint64_t seed)
{
    /* Any two of these are far apart: the finalizer of SplitMix64. */
    seed = (seed ^ (uint64_t)itr_now()) * UINT64_C(0x9E3779B97F4A7C15);
    seed = (seed ^ (seed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    /* Relaxed: in the only thread of a child, or before there is a scope. */
    atomic_store_explicit(&newest_scope, 1 + ((seed ^ (seed >> 31)) >> 1), memory_order_relaxed);
    next_number = end_of_numbers = 0;
}
