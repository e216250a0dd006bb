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
#include "api/scope.h"
#include "api/scope_requests.h"

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

/* Scopes. ------------------------------------------------------------------------------------- */

static PyObject *
api_new_scope(double seconds)
{
    mod_raised raised = mod_put_aside();
    PyObject *module = module_of_api();
    PyObject *made = NULL;
    if (module != NULL) {
        made = seconds == Py_HUGE_VAL ? PyObject_CallMethod(module, "Scope", NULL)
                                      : PyObject_CallMethod(module, "move_on_after", "d", seconds);
        Py_DECREF(module);
    }
    put_back_if_any(raised);
    return made;
}

/* With no exception set. -1 with TypeError set: it is none. */
static int
check_scope(PyObject *given)
{
    PyObject *module = module_of_api();
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "Scope");
    int is = type == NULL ? -1 : given != NULL && PyObject_TypeCheck(given, (PyTypeObject *)type);
    Py_XDECREF(type);
    Py_XDECREF(module);
    if (is == 0) {
        PyErr_Format(PyExc_TypeError, "not a scope or time limit: %.200s",
                     given == NULL ? "NULL" : Py_TYPE(given)->tp_name);
    }
    return is > 0 ? 0 : -1;
}

static int
api_enter_scope(PyObject *scope)
{
    mod_raised raised = mod_put_aside();
    PyObject *entered = check_scope(scope) < 0 ? NULL : mod_scope_enter_with(scope, NULL);
    int status = entered == NULL ? -1 : 0;
    Py_XDECREF(entered);
    put_back_if_any(raised);
    return status;
}

/* Something else is raised in the place of what was. */
static void
chain(mod_raised before)
{
    PyObject *now = mod_take_raised();
    if (now != before.value && before.value != NULL) {
        PyException_SetContext(now, Py_NewRef(before.value));
    }
    mod_raise_again(now);
}

static int
api_leave_scope(PyObject *scope)
{
    mod_raised raised = mod_put_aside();
    bool raising = raised.type != NULL;
    if (raising) {
        PyErr_NormalizeException(&raised.type, &raised.value, &raised.traceback);
    }
    PyObject *none = Py_None;
    PyObject *args[] = {raising ? raised.type : none, raising ? raised.value : none, none};
    PyObject *left = check_scope(scope) < 0 ? NULL : mod_scope_exit(scope, args, 3);
    bool stopped = left == Py_True;
    Py_XDECREF(left);
    if (left != NULL && !stopped) {
        put_back_if_any(raised);
        return raising ? -1 : 0;
    }
    if (left == NULL && raising) {
        chain(raised);
    }
    Py_XDECREF(raised.type);
    Py_XDECREF(raised.value);
    Py_XDECREF(raised.traceback);
    return stopped ? 1 : -1;
}

static int
api_interrupt_scope(PyObject *scope, PyObject *exc_type, PyObject *reason)
{
    mod_raised raised = mod_put_aside();
    PyObject *kwargs = NULL, *reached = NULL;
    PyObject *args = Py_BuildValue("(O)", exc_type == NULL ? Py_None : exc_type);
    if (args != NULL && check_scope(scope) == 0) {
        kwargs = Py_BuildValue("{sO}", "reason", reason == NULL ? Py_None : reason);
        reached = kwargs == NULL ? NULL : mod_scope_interrupt(scope, args, kwargs);
    }
    int status = reached == NULL ? -1 : reached == Py_True;
    Py_XDECREF(reached);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    put_back_if_any(raised);
    return status;
}

static int
api_current_deadline(double *when)
{
    mod_raised raised = mod_put_aside();
    PyObject *found = mod_current_deadline(NULL, NULL);
    if (found != NULL) {
        *when = PyFloat_AS_DOUBLE(found);
        Py_DECREF(found);
    }
    put_back_if_any(raised);
    return found == NULL ? -1 : 0;
}

static const Interruption_CAPI api = {
    .abi_version = INTERRUPTION_ABI_VERSION,
    .size = sizeof(Interruption_CAPI),
    .current_flag = api_current_flag,
    .check = api_check,
    .interrupt = api_interrupt,
    .new_scope = api_new_scope,
    .enter_scope = api_enter_scope,
    .leave_scope = api_leave_scope,
    .interrupt_scope = api_interrupt_scope,
    .current_deadline = api_current_deadline,
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
