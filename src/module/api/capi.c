/*
 * See capi.h. What the functions do is said in include/interruption.h.
 *
 * They are called without a module, so they look it up when they need its state: never while
 * nothing is asked.
 */
#include "api/capi.h"

#include "cpython/compat.h"
#include "thread/current.h"
#include "interruption.h"
#include "api/polling.h"
#include "api/requests.h"

/* The first member of a record is the flag that the header's inline look reads. */
_Static_assert(offsetof(itr_record, flags) == 0, "the flag is the record's first member");
_Static_assert(sizeof(_Atomic uint32_t) == sizeof(Interruption_Flag), "the flag is one plain word");
_Static_assert((unsigned int)ITR_REQUESTED == INTERRUPTION_REQUESTED_BIT, "and this is its bit");

/* A new reference to the module, or NULL with an exception set. */
static PyObject *
module_of_api(void)
{
    return PyImport_ImportModule("interruption._interruption");
}

/* The caller's exception, put aside before anything of Python's is called, comes back if there was
   one: also in the place of an error of ours, which came later. */
static void
put_back_if_any(mod_raised raised)
{
    if (raised.type != NULL) {
        mod_put_back(raised);
    }
}

static const Interruption_Flag *
api_current_flag(void)
{
    mod_raised raised = mod_put_aside();
    itr_record *record = NULL;
    PyObject *module = module_of_api();
    if (module != NULL) {
        record = mod_current(mod_get_state(module));
        Py_DECREF(module);
    }
    put_back_if_any(raised);
    return (const Interruption_Flag *)record;
}

static int
api_check(void)
{
    if (mod_nothing_asked()) {
        return 0;
    }
    if (PyErr_Occurred()) {
        return -1; /* the caller raises already: that wins, as at the end of a shield (S12) */
    }
    PyObject *module = module_of_api();
    if (module == NULL) {
        return -1;
    }
    int status = mod_check(mod_get_state(module));
    Py_DECREF(module);
    return status;
}

static int
ask_ident(mod_state *state, unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    mod_target target;
    if (mod_check_request(state, &exc_type, &reason) < 0 ||
        mod_find_ident(thread_id, &target) == MOD_TARGET_ERROR) {
        return -1;
    }
    return mod_ask(state, &target, exc_type, reason);
}

static int
api_interrupt(unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    mod_raised raised = mod_put_aside();
    int asked = -1;
    PyObject *module = module_of_api();
    if (module != NULL) {
        asked = ask_ident(mod_get_state(module), thread_id, exc_type, reason);
        Py_DECREF(module);
    }
    put_back_if_any(raised);
    return asked;
}

static const Interruption_CAPI api = {
    .abi_version = INTERRUPTION_ABI_VERSION,
    .size = sizeof(Interruption_CAPI),
    .current_flag = api_current_flag,
    .check = api_check,
    .interrupt = api_interrupt,
};

int
mod_capi_init(PyObject *module)
{
    PyObject *capsule = PyCapsule_New((void *)&api, INTERRUPTION_CAPSULE_NAME, NULL);
    if (capsule == NULL) {
        return -1;
    }
    int status = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_DECREF(capsule);
    return status;
}
