/* See imports.h. Every module in C is executed by one of these two, and is in sys.modules then.
   What a subinterpreter imports is none of ours. */
#include "imports.h"

#include "families.h"

static inline bool
is_awaited(PyObject *Py_UNUSED(module))
{
    return interruption_blocking_awaits_modules() &&
           PyInterpreterState_Get() == PyInterpreterState_Main();
}

static PyObject *
execute(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    if (result != NULL) {
        interruption_blocking_module_came();
    }
    return result;
}

INTERRUPTION_REPLACEMENT(execute_dynamic, is_awaited, execute);
INTERRUPTION_REPLACEMENT(execute_builtin, is_awaited, execute);

static const interruption_row rows[] = {
    {"_imp", NULL, "exec_dynamic", &execute_dynamic, true},
    {"_imp", NULL, "exec_builtin", &execute_builtin, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_imports = {.name = "imports", .rows = rows};
