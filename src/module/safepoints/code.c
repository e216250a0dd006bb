/*
 * See code.h.
 *
 * The slot for extensions that a code object has is not guarded by the interpreter; our lock is,
 * for what we do with it. It is held for a moment only, and nothing is analysed meanwhile: of two
 * threads that do so at once, one throws its result away.
 */
#include "safepoints/code.h"
#include "cpython/compat.h"

static Py_ssize_t slot = -1; /* of this interpreter; written while the module is executed */

static void
free_code(void *code)
{
    mod_code *known = code;
    if (known != NULL) {
        mod_safepoints_free(known->points);
        PyMem_Free(known);
    }
}

/* An interpreter has few slots and takes none back: one is kept, also if the module is imported
 * anew. */
int
mod_code_init(void)
{
    PyObject *marks = mod_interpreter_dict();
    PyObject *name = marks == NULL ? NULL : PyUnicode_FromString("interruption._code_slot");
    if (name == NULL) {
        return -1;
    }
    PyObject *mark = PyDict_GetItemWithError(marks, name);
    int done = mark == NULL && PyErr_Occurred() ? -1 : 0;
    if (mark != NULL) {
        slot = PyLong_AsSsize_t(mark);
    }
    else if (done == 0) {
        slot = mod_request_code_slot(free_code);
        mark = PyLong_FromSsize_t(slot);
        done = mark == NULL ? -1 : PyDict_SetItem(marks, name, mark);
        Py_XDECREF(mark);
    }
    Py_DECREF(name);
    if (done == 0 && slot < 0) {
        PyErr_SetString(PyExc_RuntimeError, "code objects have no slot left for extensions");
        done = -1;
    }
    return done;
}

static mod_code *
analyse(PyCodeObject *code)
{
    mod_code *made = PyMem_Calloc(1, sizeof(*made));
    if (made != NULL) {
        made->points = mod_safepoints_new(code);
        made->maker = mod_maker_of(code);
        if (made->points == NULL) {
            PyMem_Free(made);
            made = NULL;
        }
    }
    return made;
}

/* What is in the slot, or NULL; then `offered` is put there. Of no room, NULL is the answer. */
static mod_code *
look_up_code(PyCodeObject *code, mod_code *offered)
{
    void *found = NULL;
    bool alone = mod_world_is_stopped(); /* who has been given the mutex may be, too */
    if (!alone) {
        mod_mutex_lock(&mod_mutexes.code);
    }
    int failed = mod_get_code_slot(code, slot, &found);
    if (!failed && found == NULL && offered != NULL) {
        failed = mod_set_code_slot(code, slot, offered);
        found = failed ? NULL : offered;
    }
    if (!alone) {
        mod_mutex_unlock(&mod_mutexes.code);
    }
    if (failed) {
        PyErr_Clear();
    }
    return found;
}

mod_code *
mod_code_known(PyCodeObject *code)
{
    return look_up_code(code, NULL);
}

mod_code *
mod_code_of(PyCodeObject *code)
{
    mod_code *known = mod_code_known(code);
    if (known != NULL) {
        return known;
    }
    mod_code *made = analyse(code);
    known = made == NULL ? NULL : look_up_code(code, made);
    if (known != made) {
        free_code(made);
    }
    if (known == NULL) {
        PyErr_NoMemory();
    }
    return known;
}
