/* See payload.h. */
#include "thread/payload.h"

#include "cpython/compat.h"
#include "itr_registry.h"

int
mod_payload_from(uint64_t origin, PyObject *exc_type, PyObject *reason, itr_payload **payload)
{
    *payload = NULL;
    if (exc_type == NULL && reason == NULL && origin == 0) {
        return 0;
    }
    mod_payload *made = PyMem_RawMalloc(sizeof(*made));
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
mod_payload_drop(itr_payload *list)
{
    if (list == NULL) {
        return;
    }
    mod_raised raised = mod_put_aside();
    while (list != NULL) {
        mod_payload *payload = (mod_payload *)list;
        list = list->next;
        Py_XDECREF(payload->exc_type);
        Py_XDECREF(payload->reason);
        PyMem_RawFree(payload);
    }
    mod_put_back(raised);
}

void
mod_payload_drop_orphans(void)
{
    mod_payload_drop(itr_take_orphans());
}

void
mod_payload_forget_orphans(void)
{
    itr_payload *list = itr_take_orphans();
    while (list != NULL) {
        itr_payload *next = list->next;
        PyMem_RawFree(list);
        list = next;
    }
}
