/* See payload.h. */
#include "thread/payload.h"

#include "cpython/compat.h"
#include "itr_registry.h"

int
interruption_payload_new(PyObject *exc_type, PyObject *reason, itr_payload **payload)
{
    return interruption_payload_from(0, exc_type, reason, payload);
}

int
interruption_payload_from(uint64_t origin, PyObject *exc_type, PyObject *reason,
                          itr_payload **payload)
{
    *payload = NULL;
    if (exc_type == NULL && reason == NULL && origin == 0) {
        return 0;
    }
    interruption_payload *made = PyMem_RawMalloc(sizeof(*made));
    if (made == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    made->base.next = NULL;
    made->base.origin = origin;
    made->exc_type = Py_XNewRef(exc_type);
    made->reason = Py_XNewRef(reason);
    *payload = &made->base;
    return 0;
}

void
interruption_payload_drop(itr_payload *list)
{
    if (list == NULL) {
        return;
    }
    interruption_raised raised = interruption_put_aside();
    while (list != NULL) {
        interruption_payload *payload = (interruption_payload *)list;
        list = list->next;
        Py_XDECREF(payload->exc_type);
        Py_XDECREF(payload->reason);
        PyMem_RawFree(payload);
    }
    interruption_put_back(raised);
}

void
interruption_payload_drop_orphans(void)
{
    interruption_payload_drop(itr_take_orphans());
}

void
interruption_payload_forget_orphans(void)
{
    itr_payload *list = itr_take_orphans();
    while (list != NULL) {
        itr_payload *next = list->next;
        PyMem_RawFree(list);
        list = next;
    }
}
