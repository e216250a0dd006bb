/* See regions.h. */
#include "regions.h"

/* Interned and kept for ever: a code object's name is the same object. */
static struct {
    PyObject *enter, *exit, *aenter, *aexit, *enter_context, *enter_async_context;
} names;

int
interruption_regions_init(void)
{
    const struct {
        PyObject **place;
        const char *name;
    } all[] = {
        {&names.enter, "__enter__"},
        {&names.exit, "__exit__"},
        {&names.aenter, "__aenter__"},
        {&names.aexit, "__aexit__"},
        {&names.enter_context, "enter_context"},
        {&names.enter_async_context, "enter_async_context"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (*all[i].place == NULL) {
            *all[i].place = PyUnicode_InternFromString(all[i].name);
        }
        if (*all[i].place == NULL) {
            return -1;
        }
    }
    return 0;
}

bool
interruption_is_wrapper(const PyCodeObject *code)
{
    PyObject *name = code->co_name;
    return name == names.enter || name == names.exit || name == names.aenter ||
           name == names.aexit || name == names.enter_context || name == names.enter_async_context;
}

bool
interruption_is_entering(const PyCodeObject *code)
{
    return code->co_name != names.exit && code->co_name != names.aexit;
}

/* Contexts. ------------------------------------------------------------------------------------ */

static interruption_context **
bucket_of(const interruption_blocks *blocks, const void *key)
{
    uintptr_t hash = (uintptr_t)key / 16;
    hash ^= hash / 4096;
    return &blocks->buckets[hash & (blocks->bucket_count - 1)];
}

/* The context of the generator whose frame is at that address, or NULL. */
static interruption_context *
context_of(const interruption_blocks *blocks, const void *key)
{
    if (blocks->generators == 0) {
        return NULL;
    }
    interruption_context *context = *bucket_of(blocks, key);
    while (context != NULL &&
           !(context->key == key && interruption_frame_address(context->owner) == context->key)) {
        context = context->next;
    }
    return context;
}

static void
drop_block(const interruption_block *block)
{
    Py_DECREF(block->object);
    Py_XDECREF(block->code);
    Py_XDECREF(block->base);
}

/* Free a context that nobody finds any more. Runs other people's code. */
static void
free_context(interruption_context *context)
{
    for (uint32_t i = 0; i < context->count; i++) {
        drop_block(&context->blocks[i]);
    }
    Py_XDECREF(context->owner);
    PyMem_RawFree(context->blocks);
}

/* Take the contexts of generators that are gone without having left (they were destroyed where
   nothing of theirs could run, or finished in another thread) out of their buckets, into a list. */
static interruption_context *
take_finished(interruption_blocks *blocks)
{
    interruption_context *finished = NULL;
    for (uint32_t i = 0; i < blocks->bucket_count; i++) {
        interruption_context **place = &blocks->buckets[i];
        while (*place != NULL) {
            interruption_context *context = *place;
            if (interruption_frame_address(context->owner) == context->key) {
                place = &context->next;
                continue;
            }
            *place = context->next;
            context->next = finished;
            finished = context;
            blocks->generators--;
            blocks->regions -= context->regions;
        }
    }
    return finished;
}

static void
free_contexts(interruption_context *list)
{
    while (list != NULL) {
        interruption_context *next = list->next;
        free_context(list);
        PyMem_RawFree(list);
        list = next;
    }
}

/* Make room for one more. -1 with MemoryError set. */
static int
grow_buckets(interruption_blocks *blocks)
{
    if (blocks->generators < blocks->bucket_count) {
        return 0;
    }
    interruption_context *finished = take_finished(blocks);
    interruption_blocks larger = *blocks;
    larger.bucket_count = blocks->bucket_count == 0 ? 8 : 2 * blocks->bucket_count;
    larger.buckets = PyMem_RawCalloc(larger.bucket_count, sizeof(interruption_context *));
    if (larger.buckets != NULL) {
        for (uint32_t i = 0; i < blocks->bucket_count; i++) {
            interruption_context *context;
            while ((context = blocks->buckets[i]) != NULL) {
                blocks->buckets[i] = context->next;
                interruption_context **bucket = bucket_of(&larger, context->key);
                context->next = *bucket;
                *bucket = context;
            }
        }
        PyMem_RawFree(blocks->buckets);
        *blocks = larger;
    }
    free_contexts(finished);
    if (larger.buckets == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* The context of a generator, found or made. NULL with MemoryError set. */
static interruption_context *
make_context(interruption_blocks *blocks, PyFrameObject *generator)
{
    void *key = interruption_frame_address(generator);
    interruption_context *context = context_of(blocks, key);
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
    context->owner = (PyFrameObject *)Py_NewRef((PyObject *)generator);
    context->key = key;
    interruption_context **bucket = bucket_of(blocks, key);
    context->next = *bucket;
    *bucket = context;
    blocks->generators++;
    return context;
}

/* Free a generator's context if it has no blocks. */
static void
drop_empty(interruption_blocks *blocks, interruption_context *context)
{
    if (context->count > 0 || context->owner == NULL) {
        return;
    }
    interruption_context **place = bucket_of(blocks, context->key);
    while (*place != context) {
        place = &(*place)->next;
    }
    *place = context->next;
    blocks->generators--;
    free_context(context);
    PyMem_RawFree(context);
}

void
interruption_drop_blocks(interruption_blocks *blocks)
{
    interruption_blocks dropped = *blocks;
    *blocks = (interruption_blocks){.bucket_count = 0};
    free_context(&dropped.own);
    for (uint32_t i = 0; i < dropped.bucket_count; i++) {
        interruption_context *context;
        while ((context = dropped.buckets[i]) != NULL) {
            dropped.buckets[i] = context->next;
            free_context(context);
            PyMem_RawFree(context);
        }
    }
    PyMem_RawFree(dropped.buckets);
}

void
interruption_visit_generators(const interruption_blocks *blocks,
                              void (*visit)(PyFrameObject *generator, void *arg), void *arg)
{
    for (uint32_t i = 0; i < blocks->bucket_count; i++) {
        for (interruption_context *context = blocks->buckets[i]; context != NULL;
             context = context->next) {
            if (context->regions > 0) {
                visit(context->owner, arg);
            }
        }
    }
}

/* Whose block is it? -------------------------------------------------------------------------- */

/* Where a block is entered or left: seen from the calling thread's innermost frame. */
typedef struct {
    PyFrameObject *generator; /* the generator it belongs to, or NULL; strong */
    PyFrameObject *base;      /* the frame whose block it is, or NULL; strong */
    bool loose;
    bool lost; /* there was no memory to look further */
} origin;

static bool
is_wrapper_frame(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool wrapper = interruption_is_wrapper(code);
    Py_DECREF(code);
    return wrapper;
}

static bool
is_generator_frame(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool generator = interruption_is_generator_code(code);
    Py_DECREF(code);
    return generator;
}

/*
 * Outwards from the innermost frame, wrappers are passed over: frames of `__enter__`, `__exit__`
 * and ExitStack's methods, and generators that such a frame drives, as contextlib.contextmanager
 * has them. What comes first then is the frame whose block it is. If that or one below it is a
 * generator, the block belongs to the generator.
 */
static void
find_origin(PyThreadState *tstate, origin *found)
{
    *found = (origin){.loose = false};
    PyFrameObject *frame = interruption_frame_innermost(tstate, &found->lost);
    while (frame != NULL && found->generator == NULL) {
        PyFrameObject *back =
            interruption_frame_back((PyFrameObject *)Py_NewRef((PyObject *)frame), &found->lost);
        bool generator = is_generator_frame(frame);
        bool wrapper =
            is_wrapper_frame(frame) || (generator && back != NULL && is_wrapper_frame(back));
        if (wrapper) {
            found->loose = true;
        }
        else if (found->base == NULL) {
            found->base = (PyFrameObject *)Py_NewRef((PyObject *)frame);
        }
        if (generator && !wrapper) {
            found->generator = (PyFrameObject *)Py_NewRef((PyObject *)frame);
        }
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
}

static void
release_origin(origin *found)
{
    Py_XDECREF(found->generator);
    Py_XDECREF(found->base);
}

/* Entering. ----------------------------------------------------------------------------------- */

/* See to it that there is room for one more block. -1 with MemoryError set. */
INTERRUPTION_SELDOM static int
grow(interruption_context *context)
{
    if (context->count < context->capacity) {
        return 0;
    }
    uint32_t capacity = context->capacity == 0 ? 4 : 2 * context->capacity;
    interruption_block *larger =
        PyMem_RawRealloc(context->blocks, capacity * sizeof(*context->blocks));
    if (larger == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    context->blocks = larger;
    context->capacity = capacity;
    return 0;
}

/* Tell the record whether requests are let in. It knows the thread's own blocks only: with those of
   generators, it may say open when nothing is. Returns the flags before. */
static uint32_t
update_record(interruption_blocks *blocks, itr_record *record)
{
    bool open = blocks->regions > 0 && blocks->own.shields == 0 && blocks->own.no_statements == 0;
    if (open == blocks->open) {
        return itr_flags(record);
    }
    blocks->open = open;
    return open ? itr_open(record) : itr_close(record);
}

/* There is one block of the kind more or, with `one` being -1, less. */
static inline void
count(interruption_blocks *blocks, interruption_context *context, uint8_t kind, uint32_t one)
{
    if (kind & INTERRUPTION_BLOCK_SHIELD) {
        context->shields += one;
        return;
    }
    context->regions += one;
    blocks->regions += one;
    if (kind != 0) {
        context->no_statements += kind & INTERRUPTION_BLOCK_NO_STATEMENTS ? one : 0;
        context->no_waits += kind & INTERRUPTION_BLOCK_NO_WAITS ? one : 0;
    }
}

/* Enter a block that may be another frame's than the innermost one's, `block` being what that would
   make of it. */
INTERRUPTION_SELDOM static int
enter_wrapped(PyThreadState *tstate, interruption_blocks *blocks, interruption_block block)
{
    origin from;
    find_origin(tstate, &from);
    if (from.lost && from.generator == NULL) {
        PyErr_NoMemory();
        release_origin(&from);
        return -1;
    }
    interruption_context *context =
        from.generator == NULL ? &blocks->own : make_context(blocks, from.generator);
    if (context == NULL || grow(context) < 0) {
        if (context != NULL) {
            drop_empty(blocks, context);
        }
        release_origin(&from);
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
    count(blocks, context, block.kind, 1);
    Py_XDECREF(left_out);
    release_origin(&from);
    return 0;
}

/* May the innermost frame, of that code, enter a block that is another's, or a generator's? */
static inline bool
may_be_wrapped(const PyCodeObject *code)
{
    return code != NULL && (interruption_is_generator_code(code) || code->co_name == names.enter ||
                            code->co_name == names.enter_context);
}

/*
 * The hot path. The block is written where it will be kept, for to copy what was just written is
 * slow.
 */
int64_t
interruption_enter_block(PyThreadState *tstate, interruption_blocks *blocks, itr_record *record,
                         PyObject *object, uint8_t kind)
{
    interruption_context *own = &blocks->own;
    if (own->count == own->capacity && grow(own) < 0) {
        return -1;
    }
    interruption_block *made = &own->blocks[own->count];
    void *frame = interruption_frame_now(tstate);
    PyCodeObject *code = interruption_frame_place(frame, &made->lasti);
    made->object = object;
    made->code = code;
    made->kind = kind;
    made->loose = false;
    made->frame = frame;
    made->base = NULL;
    if (!may_be_wrapped(code)) {
        own->count++;
        count(blocks, own, kind, 1);
    }
    else if (enter_wrapped(tstate, blocks, *made) < 0) {
        Py_DECREF(code);
        return -1;
    }
    Py_INCREF(object);
    return update_record(blocks, record);
}

/* Leaving. ------------------------------------------------------------------------------------ */

static interruption_block *
innermost(interruption_context *context)
{
    return context->count == 0 ? NULL : &context->blocks[context->count - 1];
}

static int
complain(PyObject *object, const interruption_block *inner)
{
    if (inner == NULL || inner->code == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "%R is left where it was not entered: leave each block in the thread, and the "
                     "generator or coroutine, that has entered it",
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

/* The context whose innermost block is being left; NULL with RuntimeError set. */
static interruption_context *
find_left(PyThreadState *tstate, interruption_blocks *blocks, PyObject *object, void *frame)
{
    interruption_context *context = &blocks->own;
    interruption_block *inner = innermost(context);
    if (inner != NULL && inner->object == object && inner->frame == frame) {
        return context;
    }
    /* Not by the frame that entered, or a generator's. Without memory to look, the thread's own
       is taken for the one: a block that could not be left would stay for ever. */
    origin from;
    find_origin(tstate, &from);
    if (from.generator != NULL) {
        context = context_of(blocks, interruption_frame_address(from.generator));
    }
    inner = context == NULL ? NULL : innermost(context);
    /* A generator's frame that is not found in its context entered in another thread: whatever else
       is open here is not its own. */
    int lasti;
    PyCodeObject *code = interruption_frame_place(frame, &lasti);
    bool strange = code != NULL && interruption_is_generator_code(code) && inner != NULL &&
                   inner->frame != frame && !inner->loose;
    Py_XDECREF(code);
    release_origin(&from);
    if (inner == NULL || inner->object != object || strange) {
        (void)complain(object, strange ? NULL : inner);
        return NULL;
    }
    return context;
}

/* Leave a block that find_left has to find. */
INTERRUPTION_SELDOM static int64_t
leave_wrapped(PyThreadState *tstate, interruption_blocks *blocks, itr_record *record,
              PyObject *object, void *frame)
{
    interruption_context *context = find_left(tstate, blocks, object, frame);
    if (context == NULL) {
        return -1;
    }
    interruption_block left = *innermost(context);
    context->count--;
    count(blocks, context, left.kind, (uint32_t)-1);
    interruption_context *finished = NULL;
    if (blocks->generators > 0 && context->owner == NULL && ++blocks->left >= blocks->generators) {
        /* As many as were left: it costs each a step. */
        blocks->left = 0;
        finished = take_finished(blocks);
    }
    uint32_t flags = update_record(blocks, record);
    if (context->owner != NULL) {
        drop_empty(blocks, context);
    }
    drop_block(&left);
    free_contexts(finished);
    return flags;
}

/* The hot path: the thread's own innermost block, by the frame that entered it. */
int64_t
interruption_leave_block(PyThreadState *tstate, interruption_blocks *blocks, itr_record *record,
                         PyObject *object)
{
    void *frame = interruption_frame_now(tstate);
    interruption_context *own = &blocks->own;
    const interruption_block *inner = innermost(own);
    if (inner == NULL || inner->object != object || inner->frame != frame || inner->loose ||
        blocks->generators > 0) {
        return leave_wrapped(tstate, blocks, record, object, frame);
    }
    PyCodeObject *code = inner->code;
    own->count--;
    count(blocks, own, inner->kind, (uint32_t)-1);
    uint32_t flags = update_record(blocks, record);
    Py_DECREF(object);
    Py_XDECREF(code);
    return flags;
}

/* Looking. ------------------------------------------------------------------------------------ */

bool
interruption_is_frame_of(const interruption_block *block, PyFrameObject *frame)
{
    return block->loose ? block->base == frame : block->frame == interruption_frame_address(frame);
}

static const interruption_block *
outermost(const interruption_context *context, bool shield)
{
    uint32_t i = 0;
    while (((context->blocks[i].kind & INTERRUPTION_BLOCK_SHIELD) != 0) != shield) {
        i++;
    }
    return &context->blocks[i];
}

static void
add_to_view(interruption_view *view, const interruption_context *context)
{
    view->regions += context->regions;
    view->shields += context->shields;
    view->statements = view->statements && context->no_statements == 0;
    view->waits = view->waits && context->no_waits == 0;
    if (context->regions > 0) {
        view->region = outermost(context, false);
    }
    if (context->shields > 0) {
        view->shield = outermost(context, true);
    }
}

void
interruption_look_at_blocks(PyThreadState *tstate, const interruption_blocks *blocks,
                            interruption_view *view)
{
    *view = (interruption_view){.statements = true, .waits = true};
    const interruption_context *own = &blocks->own;
    if (blocks->generators == 0) {
        add_to_view(view, own);
        return;
    }
    /* Inwards to outwards, so that the outermost is what stays. */
    bool own_seen = false;
    const interruption_block *own_region = own->regions == 0 ? NULL : outermost(own, false);
    bool lost;
    for (PyFrameObject *frame = interruption_frame_innermost(tstate, &lost); frame != NULL;
         frame = interruption_frame_back(frame, &lost)) {
        const interruption_context *context = context_of(blocks, interruption_frame_address(frame));
        if (context != NULL) {
            add_to_view(view, context);
        }
        if (!own_seen && own_region != NULL && interruption_is_frame_of(own_region, frame)) {
            own_seen = true;
            add_to_view(view, own);
        }
    }
    if (!own_seen) {
        add_to_view(view, own);
    }
    if (lost) {
        *view = (interruption_view){.regions = 0}; /* a shield may be among those not seen */
    }
}
