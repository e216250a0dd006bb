/*
 * See capi.h. What the functions do is said in include/interruption.h.
 *
 * They are called without a module, so they look it up when they need its state: never while
 * nothing is asked.
 */
#include "capi.h"

#include "current.h"
#include "interruption.h"
#include "look.h"
#include "requests.h"

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

static const Interruption_Flag *
api_current_flag(void)
{
    PyObject *module = module_of_api();
    if (module == NULL) {
        return NULL;
    }
    itr_record *record = interruption_current(interruption_get_state(module));
    Py_DECREF(module);
    return (const Interruption_Flag *)record;
}

static int
api_check(void)
{
    if (interruption_nothing_asked()) {
        return 0;
    }
    PyObject *module = module_of_api();
    if (module == NULL) {
        return -1;
    }
    int status = interruption_check(interruption_get_state(module));
    Py_DECREF(module);
    return status;
}

static int
ask_ident(interruption_state *state, unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    interruption_target target;
    if (interruption_check_request(state, &exc_type, &reason) < 0 ||
        interruption_find_ident(thread_id, &target) == INTERRUPTION_TARGET_ERROR) {
        return -1;
    }
    return interruption_ask(state, &target, exc_type, reason);
}

static int
api_interrupt(unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    PyObject *module = module_of_api();
    if (module == NULL) {
        return -1;
    }
    int asked = ask_ident(interruption_get_state(module), thread_id, exc_type, reason);
    Py_DECREF(module);
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
interruption_capi_init(PyObject *module)
{
    PyObject *capsule = PyCapsule_New((void *)&api, INTERRUPTION_CAPSULE_NAME, NULL);
    if (capsule == NULL) {
        return -1;
    }
    int status = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_DECREF(capsule);
    return status;
}
