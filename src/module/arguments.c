/* See arguments.h. */
#include "arguments.h"

static Py_ssize_t
count_names(const interruption_signature *signature)
{
    Py_ssize_t count = 0;
    while (signature->names[count] != NULL) {
        count++;
    }
    return count;
}

/* Put one argument that was given by name in its place. */
static int
place_keyword(const interruption_signature *signature, PyObject *name, PyObject *value,
              PyObject **places)
{
    for (Py_ssize_t i = 0; signature->names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->names[i]) != 0) {
            continue;
        }
        if (places[i] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                         signature->function, name);
            return -1;
        }
        places[i] = value;
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                 signature->function, name);
    return -1;
}

int
interruption_sort_arguments(const interruption_signature *signature, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames, PyObject **places)
{
    if (nargs > signature->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional argument%s (%zd given)",
                     signature->function, signature->positional,
                     signature->positional == 1 ? "" : "s", nargs);
        return -1;
    }
    Py_ssize_t count = count_names(signature);
    for (Py_ssize_t i = 0; i < count; i++) {
        places[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < keywords; i++) {
        if (place_keyword(signature, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], places) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < signature->required; i++) {
        if (places[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'",
                         signature->function, signature->names[i]);
            return -1;
        }
    }
    return 0;
}
