/* See contexts.h. A table by key, open to all that a key may be: addresses of things that live at
   the same time differ. */
#include "thread/contexts.h"

static mod_context **
bucket_of_context(const mod_blocks *blocks, const void *key)
{
    uintptr_t hash = (uintptr_t)key / 16;
    hash ^= hash / 4096;
    return &blocks->buckets[hash & (blocks->bucket_count - 1)];
}

/* Is it of somebody who still is there? What has no object to ask is taken for there. */
static bool
is_current(const mod_context *context)
{
    return context->owner == NULL || mod_frame_address(context->owner) == context->key;
}

mod_context *
mod_context_of(const mod_blocks *blocks, const void *key)
{
    if (blocks->others == 0) {
        return NULL;
    }
    mod_context *context = *bucket_of_context(blocks, key);
    while (context != NULL && !(context->key == key && is_current(context))) {
        context = context->next;
    }
    return context;
}

void
mod_drop_block(const mod_block *block)
{
    Py_DECREF(block->object);
    Py_XDECREF(block->code);
    if (block->loose) {
        Py_XDECREF(block->base);
    }
}

/* Free a context that nobody finds any more. Runs other people's code. */
static void
free_context(mod_context *context)
{
    for (uint32_t i = 0; i < context->count; i++) {
        mod_drop_block(&context->blocks[i]);
    }
    Py_XDECREF(context->owner);
    PyMem_RawFree(context->blocks);
}

mod_context *
mod_take_finished(mod_blocks *blocks)
{
    mod_context *finished = NULL;
    for (uint32_t i = 0; i < blocks->bucket_count; i++) {
        mod_context **place = &blocks->buckets[i];
        while (*place != NULL) {
            mod_context *context = *place;
            if (is_current(context)) {
                place = &context->next;
                continue;
            }
            *place = context->next;
            context->next = finished;
            finished = context;
            blocks->others--;
            blocks->regions -= context->regions;
        }
    }
    return finished;
}

void
mod_free_contexts(mod_context *list)
{
    while (list != NULL) {
        mod_context *next = list->next;
        free_context(list);
        PyMem_RawFree(list);
        list = next;
    }
}

/* Make room for one more. -1 with MemoryError set. */
static int
grow_buckets(mod_blocks *blocks)
{
    if (blocks->others < blocks->bucket_count) {
        return 0;
    }
    mod_context *finished = mod_take_finished(blocks);
    mod_blocks larger = *blocks;
    larger.bucket_count = blocks->bucket_count == 0 ? 8 : 2 * blocks->bucket_count;
    larger.buckets = PyMem_RawCalloc(larger.bucket_count, sizeof(mod_context *));
    if (larger.buckets != NULL) {
        for (uint32_t i = 0; i < blocks->bucket_count; i++) {
            mod_context *context;
            while ((context = blocks->buckets[i]) != NULL) {
                blocks->buckets[i] = context->next;
                mod_context **bucket = bucket_of_context(&larger, context->key);
                context->next = *bucket;
                *bucket = context;
            }
        }
        PyMem_RawFree(blocks->buckets);
        *blocks = larger;
    }
    mod_free_contexts(finished);
    if (larger.buckets == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

mod_context *
mod_make_context(mod_blocks *blocks, const void *key, PyFrameObject *owner)
{
    mod_context *context = mod_context_of(blocks, key);
    if (context != NULL) {
        return context;
    }
    if (grow_buckets(blocks) < 0) {
        return NULL;
    }
    context = PyMem_RawCalloc(1, sizeof(*context));
    if (context == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    context->owner = (PyFrameObject *)Py_XNewRef((PyObject *)owner);
    context->key = key;
    mod_context **bucket = bucket_of_context(blocks, key);
    context->next = *bucket;
    *bucket = context;
    blocks->others++;
    return context;
}

void
mod_drop_empty(mod_blocks *blocks, mod_context *context)
{
    if (context->count > 0 || context == &blocks->own) {
        return;
    }
    mod_context **place = bucket_of_context(blocks, context->key);
    while (*place != context) {
        place = &(*place)->next;
    }
    *place = context->next;
    blocks->others--;
    free_context(context);
    PyMem_RawFree(context);
}

void
mod_drop_blocks(mod_blocks *blocks)
{
    mod_blocks dropped = *blocks;
    *blocks = (mod_blocks){.bucket_count = 0};
    free_context(&dropped.own);
    for (uint32_t i = 0; i < dropped.bucket_count; i++) {
        mod_context *context;
        while ((context = dropped.buckets[i]) != NULL) {
            dropped.buckets[i] = context->next;
            free_context(context);
            PyMem_RawFree(context);
        }
    }
    PyMem_RawFree(dropped.buckets);
}

void
mod_visit_contexts(PyThreadState *tstate, const mod_blocks *blocks,
                   void (*visit)(const mod_context *context, void *arg), void *arg)
{
    if (blocks->own.regions > 0 && blocks->own.key != mod_stack_now(tstate)) {
        visit(&blocks->own, arg);
    }
    for (uint32_t i = 0; i < blocks->bucket_count; i++) {
        for (const mod_context *context = blocks->buckets[i]; context != NULL;
             context = context->next) {
            if (context->regions > 0) {
                visit(context, arg);
            }
        }
    }
}

static void
visit_scopes_of(const mod_context *context, void (*visit)(PyObject *scope, uintptr_t thread_id),
                uintptr_t thread_id)
{
    for (uint32_t i = 0; i < context->count; i++) {
        if (context->blocks[i].kind & MOD_BLOCK_SCOPE) {
            visit(context->blocks[i].object, thread_id);
        }
    }
}

void
mod_visit_scopes(const mod_blocks *blocks, void (*visit)(PyObject *scope, uintptr_t thread_id),
                 uintptr_t thread_id)
{
    visit_scopes_of(&blocks->own, visit, thread_id);
    for (uint32_t i = 0; i < blocks->bucket_count; i++) {
        for (const mod_context *context = blocks->buckets[i]; context != NULL;
             context = context->next) {
            visit_scopes_of(context, visit, thread_id);
        }
    }
}
