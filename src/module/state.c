/* See state.h. */
#include "state.h"

_Atomic(interruption_state *) interruption_state_now;
