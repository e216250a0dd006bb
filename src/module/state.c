/* See state.h. */
#include "state.h"

_Atomic(mod_state *) mod_state_now;
