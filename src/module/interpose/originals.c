/* See originals.h. */
#include "interpose/originals.h"

/* A module in C knows the definition that it was made from, whatever names it has in Python. */
static const PyModuleDef *
definition_of(PyObject *module, const char *name)
{
    PyModuleDef *definition = PyModule_Check(module) ? PyModule_GetDef(module) : NULL;
    if (definition == NULL) {
        PyErr_Clear(); /* one in Python, or what is no module at all */
        return NULL;
    }
    const char *last = strrchr(name, '.');
    const char *own = last == NULL ? name : last + 1;
    bool same =
        strcmp(definition->m_name, name) == 0 || strcmp(definition->m_name, own) == 0 ||
        (own[0] == '_' && strcmp(definition->m_name, own + 1) == 0); /* _io calls itself io */
    return same ? definition : NULL;
}

int
mod_module_is_hidden(const char *name)
{
    PyObject *key = PyUnicode_FromString(name);
    PyObject *module = key == NULL ? NULL : PyImport_GetModule(key);
    Py_XDECREF(key);
    if (module == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    bool hidden = module != Py_None && definition_of(module, name) == NULL;
    Py_DECREF(module);
    return hidden;
}

static PyMethodDef *
find_in_table(PyMethodDef *table, const char *name)
{
    for (PyMethodDef *entry = table; entry != NULL && entry->ml_name != NULL; entry++) {
        if (strcmp(entry->ml_name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static PyMethodDef *
find_module_function(const PyModuleDef *module, const char *module_name, const char *name)
{
    PyMethodDef *found = find_in_table(module->m_methods, name);
    if (found == NULL) {
        PyErr_Format(PyExc_AttributeError, "module '%s' has no built-in function '%s'", module_name,
                     name);
    }
    return found;
}

/* Types. -------------------------------------------------------------------------------------- */

/* What a type in C calls itself, where it is not what its module calls it. */
static const struct {
    const char *module;
    const char *public_name;
    const char *own_name;
} renamed[] = {
    {"_thread", "LockType", "lock"},
};

/* Is it the type in C that the row names? */
static bool
is_type_of_row(const PyTypeObject *type, const mod_row *row)
{
    const char *own = row->type;
    for (size_t i = 0; i < sizeof(renamed) / sizeof(*renamed); i++) {
        if (strcmp(row->module, renamed[i].module) == 0 &&
            strcmp(row->type, renamed[i].public_name) == 0) {
            own = renamed[i].own_name;
        }
    }
    /* A class in Python has no table, and a name without a module. */
    size_t length = strlen(row->module);
    const char *name = type->tp_name;
    const char *last = strrchr(row->module, '.');
    if (strncmp(name, row->module, length) == 0) {
        name += length;
    }
    else if (last != NULL && strncmp(name, row->module, (size_t)(last - row->module)) == 0) {
        name += last - row->module; /* greenlet._greenlet's type is greenlet.greenlet */
    }
    return type->tp_methods != NULL && name[0] == '.' && strcmp(name + 1, own) == 0;
}

/* Below that type, all that is of the row's module: a new reference; NULL, perhaps with an
   exception set. */
static PyObject *
search_below(PyTypeObject *base, const mod_row *row)
{
    PyObject *children = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", base);
    PyObject *found = NULL;
    Py_ssize_t count = children == NULL ? 0 : PyList_GET_SIZE(children);
    for (Py_ssize_t i = 0; i < count && found == NULL && !PyErr_Occurred(); i++) {
        PyTypeObject *child = (PyTypeObject *)PyList_GET_ITEM(children, i);
        if (is_type_of_row(child, row)) {
            found = Py_NewRef((PyObject *)child);
        }
        else if (child->tp_methods != NULL &&
                 strncmp(child->tp_name, row->module, strlen(row->module)) == 0) {
            found = search_below(child, row);
        }
    }
    Py_XDECREF(children);
    return found;
}

/* A new reference, or NULL with an exception set. */
static PyObject *
find_type(PyObject *module, const mod_row *row)
{
    PyObject *found = PyObject_GetAttrString(module, row->type);
    if (found != NULL && PyType_Check(found) && is_type_of_row((PyTypeObject *)found, row)) {
        return found;
    }
    Py_XDECREF(found);
    if (found == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return NULL;
    }
    PyErr_Clear();
    found = search_below(&PyBaseObject_Type, row);
    if (found == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_AttributeError, "module '%s' has no type '%s'", row->module, row->type);
    }
    return found;
}

PyTypeObject *
mod_find_type(const mod_row *row)
{
    PyObject *module = PyImport_ImportModule(row->module);
    PyObject *type = module == NULL ? NULL : find_type(module, row);
    Py_XDECREF(module);
    return (PyTypeObject *)type;
}

static PyMethodDef *
find_method(PyTypeObject *type, const mod_row *row)
{
    PyMethodDef *found = find_in_table(type->tp_methods, row->name);
    if (found == NULL) {
        PyErr_Format(PyExc_AttributeError, "type '%s' has no built-in method '%s'", type->tp_name,
                     row->name);
    }
    return found;
}

PyMethodDef *
mod_find_definition(const mod_row *row)
{
    PyObject *module = PyImport_ImportModule(row->module);
    if (module == NULL) {
        return NULL;
    }
    PyMethodDef *found = NULL;
    const PyModuleDef *definition = definition_of(module, row->module);
    if (definition == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "what sys.modules has under '%s' is not the module in C: another library has "
                     "replaced it",
                     row->module);
    }
    else if (row->type == NULL) {
        found = find_module_function(definition, row->module, row->name);
    }
    else {
        PyObject *type = find_type(module, row);
        found = type == NULL ? NULL : find_method((PyTypeObject *)type, row);
        Py_XDECREF(type);
    }
    Py_DECREF(module);
    return found;
}
