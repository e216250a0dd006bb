/* See regions.h. */
#include "thread/regions.h"

#include "thread/contexts.h"
#include "thread/marks.h"
#include "thread/origins.h"
#include "thread/payload.h"

/* Entering. ----------------------------------------------------------------------------------- */

/* See to it that there is room for one more block. -1 with MemoryError set. */
MOD_SELDOM static int
grow_context(mod_context *context)
{
    if (context->count < context->capacity) {
        return 0;
    }
    uint32_t capacity = context->capacity == 0 ? 4 : 2 * context->capacity;
    mod_block *larger = PyMem_RawRealloc(context->blocks, capacity * sizeof(*context->blocks));
    if (larger == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    context->blocks = larger;
    context->capacity = capacity;
    return 0;
}

/* Is it enough to count the blocks, to know whether requests are let in? Else it depends on their
   order, or on the stack. */
static inline bool
only_count(const mod_blocks *blocks)
{
    return !blocks->unusual || (!blocks->several && blocks->own.shields == 0 &&
                                blocks->own.no_statements == 0 && blocks->open_from == ITR_THREAD);
}

/* Tell the record whether requests are let in. It knows the blocks of one stack only: with those of
   generators, or several stacks, it may say open when nothing is. Returns the flags before. */
static inline uint32_t
update_record(mod_blocks *blocks, itr_record *record)
{
    if (blocks->regions > 0 && !only_count(blocks)) {
        return mod_tell_levels(blocks, record);
    }
    bool open = blocks->regions > 0 && blocks->own.shields == 0 && blocks->own.no_statements == 0;
    if (open == blocks->open) {
        return itr_flags(record);
    }
    blocks->open = open;
    return open ? itr_enable_cancel(record) : itr_disable_cancel(record);
}

/* There is one block of the kind more or, with `one` being -1, less. */
static inline void
count_block(mod_blocks *blocks, mod_context *context, uint8_t kind, uint32_t one)
{
    if (kind & MOD_BLOCK_SHIELD) {
        context->shields += one;
        return;
    }
    context->regions += one;
    blocks->regions += one;
    if (kind != 0) {
        context->no_statements += kind & MOD_BLOCK_NO_STATEMENTS ? one : 0;
        context->no_waits += kind & MOD_BLOCK_NO_WAITS ? one : 0;
        if (kind & MOD_BLOCK_SCOPE) {
            blocks->scopes += one;
            blocks->unusual = blocks->several || blocks->scopes > 0;
        }
    }
}

/* The context of the stack that the calling thread is on, made if need be. NULL with MemoryError
   set. */
static mod_context *
make_context_of_stack(PyThreadState *tstate, mod_blocks *blocks)
{
    const void *stack = mod_stack_now(tstate);
    mod_context *own = &blocks->own;
    if (own->key != stack && (own->count == 0 || own->key == NULL) &&
        mod_context_of(blocks, stack) == NULL) {
        own->key = stack;
    }
    return own->key == stack ? own : mod_make_context(blocks, stack, NULL);
}

/* A scope is nobody's who can be suspended in it: what it is asked would reach whoever runs then.
   RuntimeError is set if it would be. */
static bool
belong_to_generator(const mod_origin *from)
{
    bool theirs = from->generator != NULL && from->generator == from->base;
    if (!from->coroutine && !theirs && !(from->compiled != NULL && from->base == NULL)) {
        return false;
    }
    PyCodeObject *code = theirs ? PyFrame_GetCode(from->generator) : NULL;
    PyErr_SetString(
        PyExc_RuntimeError,
        from->coroutine || (code != NULL && (code->co_flags & CO_ASYNC_GENERATOR))
            ? "a scope or time limit of a thread cannot be entered by a coroutine, which "
              "others run in between: use asyncio.timeout(), or asyncio.TaskGroup"
            : "a scope or time limit of a thread cannot be entered by a generator, which "
              "others run in between: enter it where the generator is run");
    Py_XDECREF(code);
    return true;
}

/* Enter a block that may be another frame's than the innermost one's, or on another stack, `block`
   being what it would be if not. */
MOD_SELDOM static int
enter_wrapped(PyThreadState *tstate, mod_blocks *blocks, mod_block block)
{
    mod_origin from;
    mod_find_origin(tstate, &from);
    if (from.lost && from.generator == NULL) {
        PyErr_NoMemory();
        mod_release_origin(&from);
        return -1;
    }
    if ((block.kind & MOD_BLOCK_SCOPE) && belong_to_generator(&from)) {
        mod_release_origin(&from);
        return -1;
    }
    mod_context *context =
        block.kind & MOD_BLOCK_SCOPE ? make_context_of_stack(tstate, blocks)
        : from.generator != NULL
            ? mod_make_context(blocks, mod_frame_address(from.generator), from.generator)
        : from.compiled != NULL ? mod_make_context(blocks, from.compiled, NULL)
                                : make_context_of_stack(tstate, blocks);
    if (context == NULL || grow_context(context) < 0) {
        if (context != NULL) {
            mod_drop_empty(blocks, context);
        }
        mod_release_origin(&from);
        return -1;
    }
    PyCodeObject *left_out = NULL;
    if (from.loose) {
        block.loose = true;
        block.base = (PyFrameObject *)Py_XNewRef((PyObject *)from.base);
        left_out = block.code;
        block.code = from.base == NULL ? NULL : PyFrame_GetCode(from.base);
        block.lasti = from.base == NULL ? -1 : PyFrame_GetLasti(from.base);
    }
    context->blocks[context->count++] = block;
    blocks->several = blocks->several || mod_context_of_stack(tstate, blocks) != &blocks->own;
    blocks->unusual = blocks->unusual || blocks->several;
    count_block(blocks, context, block.kind, 1);
    Py_XDECREF(left_out);
    mod_release_origin(&from);
    return 0;
}

/* May the innermost frame, of that code, enter a block that is another's, or a generator's? */
static inline bool
may_be_wrapped(PyThreadState *tstate, const PyCodeObject *code)
{
    return (code != NULL && (mod_is_generator_code(code) || mod_is_named(code, MOD_ENTER) ||
                             mod_is_named(code, MOD_ENTER_CONTEXT))) ||
           mod_compiled_generator_runs(tstate);
}

/* Is the calling thread on the stack that the thread's own blocks are on? As it nearly always is:
   there is but one, or the others have no blocks. */
static inline bool
is_on_own_stack(PyThreadState *tstate, mod_blocks *blocks)
{
    const void *stack = mod_stack_now(tstate);
    if (blocks->own.key != stack && blocks->own.count == 0 && blocks->others == 0) {
        blocks->own.key = stack;
    }
    return blocks->own.key == stack;
}

/*
 * The hot path. The block is written where it will be kept, for to copy what was just written is
 * slow.
 */
static inline int64_t
fill_block(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, mod_block *made,
           PyObject *object)
{
    void *frame = mod_frame_now(tstate);
    PyCodeObject *code = mod_frame_place(frame, &made->lasti);
    made->object = object;
    made->code = code;
    made->loose = false;
    made->frame = frame;
    if (!may_be_wrapped(tstate, code) && is_on_own_stack(tstate, blocks)) {
        blocks->own.count++;
        count_block(blocks, &blocks->own, made->kind, 1);
    }
    else if (enter_wrapped(tstate, blocks, *made) < 0) {
        Py_DECREF(code);
        return -1;
    }
    Py_INCREF(object);
    return update_record(blocks, record);
}

int64_t
mod_enter_block(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, PyObject *object,
                uint8_t kind)
{
    mod_context *own = &blocks->own;
    if (own->count == own->capacity && grow_context(own) < 0) {
        return -1;
    }
    mod_block *made = &own->blocks[own->count];
    made->kind = kind;
    return fill_block(tstate, blocks, record, made, object);
}

int64_t
mod_enter_scope(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, PyObject *object,
                uint64_t number, itr_deadline deadline, uint64_t entered)
{
    mod_context *own = &blocks->own;
    if (own->count == own->capacity && grow_context(own) < 0) {
        return -1;
    }
    /* Nothing is inside of it yet that could keep a request out. */
    if (itr_enter_scope(record, number, deadline) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    blocks->open = true;
    mod_block *made = &own->blocks[own->count];
    made->kind = MOD_BLOCK_SCOPE;
    made->number = number;
    made->entered = entered;
    int64_t flags = fill_block(tstate, blocks, record, made, object);
    if (flags < 0) {
        bool was_asked;
        itr_payload *dropped = NULL;
        (void)itr_leave_scope(record, number, false, &was_asked, &dropped);
        (void)update_record(blocks, record);
        mod_payload_drop(dropped);
    }
    return flags;
}

/* Leaving. ------------------------------------------------------------------------------------ */

static const mod_block *
innermost(const mod_context *context)
{
    return context == NULL || context->count == 0 ? NULL : &context->blocks[context->count - 1];
}

static int
complain(PyObject *object, const mod_block *inner)
{
    if (inner == NULL || inner->code == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "%R is left where it was not entered: leave each block in the thread, and the "
                     "generator, coroutine or greenlet, that has entered it",
                     object);
        return -1;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "%R is left out of order: the innermost block here is %R, entered at %U:%d; leave "
                 "that first",
                 object, inner->object, inner->code->co_filename,
                 PyCode_Addr2Line(inner->code, inner->lasti));
    return -1;
}

/* The context of who is found to enter or leave, or NULL. */
static const mod_context *
context_of_origin(PyThreadState *tstate, const mod_blocks *blocks, const mod_origin *from)
{
    if (from->generator != NULL) {
        return mod_context_of(blocks, mod_frame_address(from->generator));
    }
    if (from->compiled != NULL) {
        return mod_context_of(blocks, from->compiled);
    }
    return mod_context_of_stack(tstate, blocks);
}

/* The context whose innermost block is being left; NULL with RuntimeError set. */
static const mod_context *
find_left(PyThreadState *tstate, const mod_blocks *blocks, PyObject *object, void *frame)
{
    const mod_context *context = mod_context_of(blocks, frame);
    context = context != NULL ? context : mod_context_of_stack(tstate, blocks);
    const mod_block *inner = innermost(context);
    if (inner != NULL && inner->object == object && !inner->loose && inner->frame == frame &&
        !mod_compiled_generator_runs(tstate)) {
        return context;
    }
    const mod_context *stack = mod_context_of_stack(tstate, blocks);
    inner = innermost(stack);
    if (inner != NULL && inner->object == object && (inner->kind & MOD_BLOCK_SCOPE)) {
        return stack; /* whoever leaves it: the object stands for this block alone */
    }
    /* Not by the frame that entered, or a generator's. Without memory to look, the stack's own
       is taken for the one: a block that could not be left would stay for ever. */
    mod_origin from;
    mod_find_origin(tstate, &from);
    context = context_of_origin(tstate, blocks, &from);
    inner = innermost(context);
    /* A generator's frame that is not found in its context entered in another thread: whatever else
       is open here is not its own. */
    int lasti;
    PyCodeObject *code = mod_frame_place(frame, &lasti);
    bool strange = code != NULL && mod_is_generator_code(code) && inner != NULL && !inner->loose &&
                   inner->frame != frame && from.compiled == NULL;
    Py_XDECREF(code);
    mod_release_origin(&from);
    if (inner == NULL || inner->object != object || strange) {
        (void)complain(object, strange ? NULL : inner);
        return NULL;
    }
    return context;
}

/* Leave the innermost block of the context. */
static int64_t
leave_found(mod_blocks *blocks, itr_record *record, mod_context *context, bool *was_asked)
{
    mod_block left = *innermost(context);
    itr_payload *dropped = NULL;
    if (left.kind & MOD_BLOCK_SCOPE) {
        (void)itr_leave_scope(record, left.number, false, was_asked, &dropped);
    }
    context->count--;
    count_block(blocks, context, left.kind, (uint32_t)-1);
    mod_context *finished = NULL;
    if (blocks->others > 0 && context == &blocks->own && ++blocks->left >= blocks->others) {
        /* As many as were left: it costs each a step. */
        blocks->left = 0;
        finished = mod_take_finished(blocks);
    }
    uint32_t flags = left.kind & MOD_BLOCK_SCOPE ? mod_tell_levels(blocks, record)
                                                 : update_record(blocks, record);
    mod_drop_empty(blocks, context);
    mod_drop_block(&left);
    mod_free_contexts(finished);
    mod_payload_drop(dropped);
    return flags;
}

MOD_SELDOM static int64_t
leave_wrapped(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, PyObject *object,
              void *frame)
{
    mod_context *context = (mod_context *)find_left(tstate, blocks, object, frame);
    return context == NULL ? -1 : leave_found(blocks, record, context, &(bool){false});
}

/* Does the exception that leaves the innermost block, a scope, end there: was it raised for what
   the scope was asked? If a scope around it has been stopped since, with what is inside of it, what
   goes on is that one's. */
static bool
ends_here(itr_record *record, mod_context *context, PyObject *exception)
{
    const mod_block *left = innermost(context);
    if (exception == NULL || !mod_is_marked(exception, left->number)) {
        return false;
    }
    for (mod_block *outer = context->blocks;
         outer < left && (left->kind & MOD_BLOCK_PASSED_BY_SCOPE); outer++) {
        if ((outer->kind & MOD_BLOCK_SCOPE) && (itr_level_flags(record, outer->number) &
                                                (ITR_REQUESTED | ITR_PENDING)) == ITR_REQUESTED) {
            (void)mod_mark(exception, outer->number);
            break;
        }
    }
    return !(left->kind & (MOD_BLOCK_PASSED_BY_SCOPE | MOD_BLOCK_PASSED_BY_THREAD));
}

/* The hot path: the thread's own innermost block, left by the frame that entered it. */
static inline bool
is_innermost(const mod_blocks *blocks, const PyObject *object, const void *frame)
{
    const mod_block *inner = innermost(&blocks->own);
    return inner != NULL && inner->object == object && !inner->loose && inner->frame == frame &&
           blocks->others == 0;
}

int64_t
mod_leave_scope(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, PyObject *object,
                PyObject *exception, mod_left *left)
{
    void *frame = mod_frame_now(tstate);
    mod_context *own = &blocks->own;
    bool quick = is_innermost(blocks, object, frame) && only_count(blocks);
    mod_context *context = quick ? own : (mod_context *)find_left(tstate, blocks, object, frame);
    if (context == NULL) {
        return -1;
    }
    left->asked = false;
    left->ends = exception != NULL && ends_here(record, context, exception);
    if (!quick) {
        return leave_found(blocks, record, context, &left->asked);
    }
    const mod_block *inner = innermost(own);
    PyCodeObject *code = inner->code;
    itr_payload *dropped = NULL;
    bool closes = blocks->regions == 1;
    uint32_t flags = itr_leave_scope(record, inner->number, closes, &left->asked, &dropped);
    blocks->open = !closes;
    own->count--;
    count_block(blocks, own, MOD_BLOCK_SCOPE, (uint32_t)-1);
    Py_DECREF(object);
    Py_XDECREF(code);
    mod_payload_drop(dropped);
    return flags;
}

int64_t
mod_leave_block(PyThreadState *tstate, mod_blocks *blocks, itr_record *record, PyObject *object)
{
    void *frame = mod_frame_now(tstate);
    mod_context *own = &blocks->own;
    if (!is_innermost(blocks, object, frame)) {
        return leave_wrapped(tstate, blocks, record, object, frame);
    }
    const mod_block *inner = innermost(own);
    PyCodeObject *code = inner->code;
    own->count--;
    count_block(blocks, own, inner->kind, (uint32_t)-1);
    uint32_t flags = update_record(blocks, record);
    Py_DECREF(object);
    Py_XDECREF(code);
    return flags;
}
