/*
 * See bytecode.h.
 *
 * The numbers of stack effects are the interpreter's own (PyCompile_OpcodeStackEffect), but for the
 * few that it gives as its compiler needs them and not as they are when the instruction runs.
 */
#include "safepoints/bytecode.h"

#include "cpython/compat.h"

#include <opcode.h>

#include <limits.h>

/* Beside an action: the instruction's oparg jumps back; it may run Python code. An instruction that
 * stores or deletes is not said to, though a __setattr__ may run: what it replaces or deletes is
 * dropped there, and a __del__ must not be taken for something that the program called. */
#define BACK 0x40
#define CALLS 0x80
#define ACTION_MASK 0x3F

static const uint8_t actions[256] = {
    [NOP] = ACTION_GAP,
    [RESUME] = ACTION_PLAIN,
    [EXTENDED_ARG] = ACTION_GAP, /* what it is of, is next */
    [COPY_FREE_VARS] = ACTION_PLAIN,
    [MAKE_CELL] = ACTION_PLAIN,
    [SETUP_ANNOTATIONS] = ACTION_PLAIN,
    [DELETE_FAST] = ACTION_PLAIN,
    [DELETE_DEREF] = ACTION_PLAIN,
    [DELETE_GLOBAL] = ACTION_PLAIN,
    [DELETE_NAME] = ACTION_PLAIN,
    [POP_TOP] = ACTION_DISCARD,
    [STORE_FAST] = ACTION_TAKE,
    [STORE_DEREF] = ACTION_TAKE,
    [STORE_GLOBAL] = ACTION_TAKE,
    [STORE_NAME] = ACTION_TAKE,
    [STORE_ATTR] = ACTION_TAKE,
    [STORE_SUBSCR] = ACTION_TAKE,
    [DELETE_ATTR] = ACTION_TAKE,
    [DELETE_SUBSCR] = ACTION_TAKE,
    [END_ASYNC_FOR] = ACTION_TAKE,
    [LOAD_CONST] = ACTION_LOAD,
    [LOAD_FAST] = ACTION_LOAD,
    [LOAD_DEREF] = ACTION_LOAD,
    [LOAD_GLOBAL] = ACTION_LOAD,
    [LOAD_NAME] = ACTION_LOAD | CALLS,
    [LOAD_BUILD_CLASS] = ACTION_LOAD,
    [PUSH_NULL] = ACTION_LOAD,
    [BUILD_LIST] = ACTION_BUILD,
    [BUILD_TUPLE] = ACTION_BUILD,
    [BUILD_SLICE] = ACTION_BUILD,
    [BUILD_STRING] = ACTION_BUILD,
    [BUILD_SET] = ACTION_BUILD | CALLS,
    [BUILD_MAP] = ACTION_BUILD | CALLS,
    [MAKE_FUNCTION] = ACTION_BUILD,
    /* A property could do anything; but `path.join([... for ...])` must be a loop like another. */
    [LOAD_ATTR] = ACTION_BUILD | CALLS,
    [RETURN_GENERATOR] = ACTION_PEEK,
    [GET_ANEXT] = ACTION_PEEK | CALLS,
    [GET_LEN] = ACTION_PEEK | CALLS,
    [IMPORT_FROM] = ACTION_PEEK | CALLS,
    [MATCH_KEYS] = ACTION_PEEK | CALLS,
    [MATCH_MAPPING] = ACTION_PEEK,
    [MATCH_SEQUENCE] = ACTION_PEEK,
    [BINARY_OP] = ACTION_RESULT | CALLS,
    [CALL] = ACTION_RESULT | CALLS,
    [CALL_FUNCTION_EX] = ACTION_RESULT | CALLS,
    [COMPARE_OP] = ACTION_RESULT | CALLS,
    [CONTAINS_OP] = ACTION_RESULT | CALLS,
    [GET_AWAITABLE] = ACTION_RESULT | CALLS,
    [IMPORT_NAME] = ACTION_RESULT | CALLS,
    [IS_OP] = ACTION_RESULT,
    [MATCH_CLASS] = ACTION_RESULT | CALLS,
    [UNARY_INVERT] = ACTION_RESULT | CALLS,
    [UNARY_NEGATIVE] = ACTION_RESULT | CALLS,
    [UNARY_NOT] = ACTION_RESULT | CALLS,
    [UNPACK_EX] = ACTION_RESULT | CALLS,
    [UNPACK_SEQUENCE] = ACTION_RESULT | CALLS,
    [YIELD_VALUE] = ACTION_RESULT,
    [LIST_APPEND] = ACTION_ADD,
    [LIST_EXTEND] = ACTION_ADD | CALLS,
    [SET_ADD] = ACTION_ADD | CALLS,
    [SET_UPDATE] = ACTION_ADD | CALLS,
    [MAP_ADD] = ACTION_ADD | CALLS,
    [DICT_MERGE] = ACTION_ADD | CALLS,
    [DICT_UPDATE] = ACTION_ADD | CALLS,
    [COPY] = ACTION_COPY,
    [SWAP] = ACTION_SWAP,
    [GET_ITER] = ACTION_ITERATOR | CALLS,
    [GET_AITER] = ACTION_ITERATOR | CALLS,
    [FOR_ITER] = ACTION_NEXT | CALLS,
    [SEND] = ACTION_SEND | CALLS,
    [JUMP_FORWARD] = ACTION_JUMP,
    [JUMP_BACKWARD] = ACTION_JUMP | BACK,
    [JUMP_BACKWARD_NO_INTERRUPT] = ACTION_JUMP | BACK,
    [RETURN_VALUE] = ACTION_LEAVE,
    [RAISE_VARARGS] = ACTION_LEAVE | CALLS,
    [RERAISE] = ACTION_LEAVE,
    [PUSH_EXC_INFO] = ACTION_HANDLER,
    [POP_EXCEPT] = ACTION_HANDLED,
    [CHECK_EXC_MATCH] = ACTION_MATCH_EXCEPTION,
    [CHECK_EG_MATCH] = ACTION_MATCH_GROUP | CALLS,
    [WITH_EXCEPT_START] = ACTION_EXIT_WITH | CALLS,

#if PY_VERSION_HEX < 0x030C0000 /* jumps: gh-93554; gh-90690, gh-101799 */
    [ASYNC_GEN_WRAP] = ACTION_RESULT,
    [IMPORT_STAR] = ACTION_TAKE | CALLS,
    [JUMP_IF_FALSE_OR_POP] = ACTION_BRANCH_OR_TAKE | CALLS,
    [JUMP_IF_TRUE_OR_POP] = ACTION_BRANCH_OR_TAKE | CALLS,
    [LIST_TO_TUPLE] = ACTION_BUILD,
    [LOAD_CLASSDEREF] = ACTION_LOAD | CALLS,
    [LOAD_METHOD] = ACTION_BUILD | CALLS,
    [POP_JUMP_BACKWARD_IF_FALSE] = ACTION_BRANCH | BACK | CALLS,
    [POP_JUMP_BACKWARD_IF_NONE] = ACTION_BRANCH | BACK,
    [POP_JUMP_BACKWARD_IF_NOT_NONE] = ACTION_BRANCH | BACK,
    [POP_JUMP_BACKWARD_IF_TRUE] = ACTION_BRANCH | BACK | CALLS,
    [POP_JUMP_FORWARD_IF_FALSE] = ACTION_BRANCH | CALLS,
    [POP_JUMP_FORWARD_IF_NONE] = ACTION_BRANCH,
    [POP_JUMP_FORWARD_IF_NOT_NONE] = ACTION_BRANCH,
    [POP_JUMP_FORWARD_IF_TRUE] = ACTION_BRANCH | CALLS,
    [PRECALL] = ACTION_PLAIN | CALLS, /* specialized, it does the whole call; see gh-90690 */
    [PREP_RERAISE_STAR] = ACTION_RESULT,
    [PRINT_EXPR] = ACTION_TAKE | CALLS,
    [UNARY_POSITIVE] = ACTION_RESULT | CALLS,
#else
    [BINARY_SLICE] = ACTION_RESULT | CALLS,
    [CALL_INTRINSIC_1] = ACTION_RESULT | CALLS,
    [CALL_INTRINSIC_2] = ACTION_RESULT | CALLS,
    [CLEANUP_THROW] = ACTION_RESULT,
    [END_FOR] = ACTION_TAKE,
    [END_SEND] = ACTION_RESULT,
    [LOAD_FAST_AND_CLEAR] = ACTION_LOAD,
    [LOAD_FAST_CHECK] = ACTION_LOAD,
    [LOAD_FROM_DICT_OR_DEREF] = ACTION_BUILD | CALLS,
    [LOAD_FROM_DICT_OR_GLOBALS] = ACTION_BUILD | CALLS,
    [LOAD_LOCALS] = ACTION_LOAD,
    [LOAD_SUPER_ATTR] = ACTION_BUILD | CALLS,
    [POP_JUMP_IF_NONE] = ACTION_BRANCH,
    [POP_JUMP_IF_NOT_NONE] = ACTION_BRANCH,
    [STORE_SLICE] = ACTION_TAKE,
#endif

#if PY_VERSION_HEX < 0x030D0000 /* calls with keywords: gh-105848 */
    [FORMAT_VALUE] = ACTION_RESULT | CALLS,
    [KW_NAMES] = ACTION_PLAIN,
    [LOAD_CLOSURE] = ACTION_LOAD,
#else
    [CALL_KW] = ACTION_RESULT | CALLS,
    [CONVERT_VALUE] = ACTION_RESULT | CALLS,
    [FORMAT_SIMPLE] = ACTION_RESULT | CALLS,
    [FORMAT_WITH_SPEC] = ACTION_RESULT | CALLS,
    [LOAD_FAST_LOAD_FAST] = ACTION_LOAD,
    [SET_FUNCTION_ATTRIBUTE] = ACTION_BUILD,
    [STORE_FAST_LOAD_FAST] = ACTION_RENEW,
    [STORE_FAST_STORE_FAST] = ACTION_TAKE,
    [TO_BOOL] = ACTION_RESULT | CALLS,
#endif
/* A branch calls __bool__ itself in 3.12; later TO_BOOL has done so before (gh-106003). */
#if PY_VERSION_HEX >= 0x030D0000
    [POP_JUMP_IF_FALSE] = ACTION_BRANCH,
    [POP_JUMP_IF_TRUE] = ACTION_BRANCH,
#elif PY_VERSION_HEX >= 0x030C0000
    [POP_JUMP_IF_FALSE] = ACTION_BRANCH | CALLS,
    [POP_JUMP_IF_TRUE] = ACTION_BRANCH | CALLS,
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000 /* gh-101632, gh-125837 */
    [RETURN_CONST] = ACTION_LEAVE,
#endif

#if PY_VERSION_HEX < 0x030E0000 /* `with`: gh-120507; gh-100239, gh-122160 */
    [BEFORE_ASYNC_WITH] = ACTION_ENTER_WITH | CALLS,
    [BEFORE_WITH] = ACTION_ENTER_WITH | CALLS,
    [BINARY_SUBSCR] = ACTION_RESULT | CALLS,
    [BUILD_CONST_KEY_MAP] = ACTION_BUILD | CALLS,
    [LOAD_ASSERTION_ERROR] = ACTION_LOAD,
#else
    [BUILD_INTERPOLATION] = ACTION_BUILD,
    [BUILD_TEMPLATE] = ACTION_BUILD,
    [LOAD_COMMON_CONSTANT] = ACTION_LOAD,
    [LOAD_FAST_BORROW] = ACTION_LOAD, /* gh-130704 */
    [LOAD_FAST_BORROW_LOAD_FAST_BORROW] = ACTION_LOAD,
    [LOAD_SMALL_INT] = ACTION_LOAD,
    [LOAD_SPECIAL] = ACTION_LOAD_EXIT | CALLS,
    [NOT_TAKEN] = ACTION_GAP,
    [POP_ITER] = ACTION_TAKE, /* gh-132554 */
#endif
#ifdef GET_YIELD_FROM_ITER /* gone in 3.15: gh-145667 */
    [GET_YIELD_FROM_ITER] = ACTION_RESULT | CALLS,
#endif
};

/* LOAD_SPECIAL's opargs: __enter__, __exit__, __aenter__, __aexit__. */
static bool
loads_exit(int oparg)
{
    return (oparg & 1) != 0;
}

/* The effect of an instruction while it runs. */
static int
effect_of(int opcode, int oparg)
{
    switch (opcode) {
    case CALL: /* in 3.11 the compiler counts the arguments at the PRECALL (gh-90690) */
        return -1 - oparg;
    case END_ASYNC_FOR:
        return -2;
#if PY_VERSION_HEX < 0x030C0000
    case PRECALL:
        return 0;
#endif
    default:
        return PyCompile_OpcodeStackEffectWithJump(opcode, oparg, 0);
    }
}

/* How many values it pushes. */
static int
results_of(int opcode, int oparg, int action, int effect)
{
    switch (opcode) {
    case UNPACK_SEQUENCE:
        return oparg;
    case UNPACK_EX:
        return 1 + (oparg & 0xFF) + (oparg >> 8);
    case LOAD_ATTR:
        return 1 + effect;
#if PY_VERSION_HEX < 0x030C0000
    case LOAD_METHOD:
        return 2;
#else
    case LOAD_SUPER_ATTR:
        return 1 + (oparg & 1);
#endif
    default:
        break;
    }
    switch (action) {
    case ACTION_LOAD:
        return effect;
    case ACTION_TAKE:
    case ACTION_DISCARD:
        return 0;
    default:
        return 1;
    }
}

static void
decode(mod_instruction *instruction, int opcode, int oparg)
{
    int action = actions[opcode] & ACTION_MASK;
    int effect = action == ACTION_UNKNOWN ? 0 : effect_of(opcode, oparg);
    if (effect > INT_MAX / 4 || effect < -INT_MAX / 4) {
        action = ACTION_UNKNOWN;
        effect = 0;
    }
    if (action == ACTION_LOAD_EXIT && !loads_exit(oparg)) {
        action = ACTION_RESULT;
        instruction->results = 2;
    }
    else {
        instruction->results = results_of(opcode, oparg, action, effect);
    }
    instruction->oparg = oparg;
    instruction->action = (uint8_t)action;
    instruction->calls = (actions[opcode] & CALLS) != 0;
    instruction->yields = opcode == YIELD_VALUE;
    instruction->effect = effect;
    instruction->target = -1;
    instruction->range = -1;
    instruction->line = -1;
}

/* The unit that it may jump to, or -1. Jumps count from behind the instruction's caches. */
static int
target_of(int opcode, int oparg, int behind)
{
    switch (actions[opcode] & ACTION_MASK) {
    case ACTION_NEXT:
    case ACTION_SEND:
    case ACTION_JUMP:
    case ACTION_BRANCH:
    case ACTION_BRANCH_OR_TAKE:
        return (actions[opcode] & BACK) != 0 ? behind - oparg : behind + oparg;
    default:
        return -1;
    }
}

/* Read the instructions. A target is a unit at first, and then the instruction there. */
static int
read_instructions(mod_bytecode *bytecode, const uint8_t *bytes)
{
    unsigned oparg = 0;
    for (int unit = 0; unit < bytecode->units;) {
        int opcode = bytes[2 * unit];
        oparg = oparg << 8 | bytes[2 * unit + 1];
        if (opcode == CACHE || oparg > INT_MAX / 16) {
            return 0;
        }
        mod_instruction *instruction = &bytecode->instructions[bytecode->count];
        decode(instruction, opcode, (int)oparg);
        instruction->unit = unit;
        /* SEND, YIELD_VALUE, RESUME: when it is thrown at, the frame is where it was suspended. */
        instruction->delegates =
            opcode == SEND || (bytecode->count > 0 && instruction[-1].delegates &&
                               (opcode == YIELD_VALUE || opcode == RESUME));
        do {
            bytecode->at[unit++] = bytecode->count;
        } while (unit < bytecode->units && bytes[2 * unit] == CACHE);
        instruction->target = target_of(opcode, (int)oparg, unit);
        bytecode->count++;
        oparg = opcode == EXTENDED_ARG ? oparg : 0;
    }
    for (int i = 0; i < bytecode->count; i++) {
        int target = bytecode->instructions[i].target;
        bool jumps = target_of(bytes[2 * bytecode->instructions[i].unit], 0, 0) == 0;
        if (jumps && (target < 0 || target >= bytecode->units)) {
            return 0;
        }
        bytecode->instructions[i].target = jumps ? bytecode->at[target] : -1;
    }
    return bytecode->count > 0;
}

/* The exception table's numbers: six bits a byte, the most significant first. */
static const uint8_t *
read_number(const uint8_t *from, const uint8_t *end, int *number)
{
    unsigned value = 0;
    *number = 0;
    while (from != NULL) {
        if (from == end || value > INT_MAX / 128) {
            return NULL;
        }
        value = value << 6 | (*from & 0x3F);
        if ((*from++ & 0x40) == 0) {
            break;
        }
    }
    *number = (int)value;
    return from;
}

static int
read_ranges(mod_bytecode *bytecode, const uint8_t *from, const uint8_t *end)
{
    while (from != end) {
        int start, length, target, bits;
        from = read_number(from, end, &start);
        from = read_number(from, end, &length);
        from = read_number(from, end, &target);
        from = read_number(from, end, &bits);
        if (from == NULL || start >= bytecode->units || length > bytecode->units - start ||
            target >= bytecode->units) {
            return 0;
        }
        mod_range *range = &bytecode->ranges[bytecode->range_count];
        *range = (mod_range){
            bytecode->at[start],
            bytecode->at[target],
            bits >> 1,
            (bits & 1) != 0,
        };
        for (int i = range->first;
             i < bytecode->count && bytecode->instructions[i].unit < start + length; i++) {
            if (bytecode->instructions[i].range >= 0) {
                return 0; /* they are sorted and do not overlap */
            }
            bytecode->instructions[i].range = bytecode->range_count;
        }
        bytecode->range_count++;
    }
    return 1;
}

/* -1: no memory. */
static int
read_lines(mod_bytecode *bytecode, PyCodeObject *code)
{
    PyObject *ranges = PyObject_CallMethod((PyObject *)code, "co_lines", NULL), *range;
    for (int i = 0; ranges != NULL && (range = PyIter_Next(ranges)) != NULL;) {
        long end = PyLong_AsLong(PyTuple_GET_ITEM(range, 1)); /* in bytes */
        PyObject *line = PyTuple_GET_ITEM(range, 2);
        int number = line == Py_None ? -1 : (int)PyLong_AsLong(line);
        for (; i < bytecode->count && 2 * bytecode->instructions[i].unit < end; i++) {
            bytecode->instructions[i].line = number;
        }
        Py_DECREF(range);
    }
    Py_XDECREF(ranges);
    bool failed = PyErr_Occurred() != NULL;
    PyErr_Clear();
    return failed ? -1 : 1;
}

static int
read_bytes_of_code(mod_bytecode *bytecode, PyCodeObject *code, PyObject *bytes)
{
    const uint8_t *table = (const uint8_t *)PyBytes_AS_STRING(code->co_exceptiontable);
    Py_ssize_t table_size = PyBytes_GET_SIZE(code->co_exceptiontable);
    Py_ssize_t size = PyBytes_GET_SIZE(bytes) / 2;
    if (size <= 0 || size > INT_MAX / 4 || table_size > INT_MAX) {
        return 0;
    }
    bytecode->units = (int)size;
    bytecode->instructions = PyMem_Calloc((size_t)size, sizeof(*bytecode->instructions));
    bytecode->at = PyMem_Calloc((size_t)size, sizeof(*bytecode->at));
    bytecode->ranges = PyMem_Calloc((size_t)table_size / 4 + 1, sizeof(*bytecode->ranges));
    if (bytecode->instructions == NULL || bytecode->at == NULL || bytecode->ranges == NULL) {
        return -1;
    }
    if (!read_instructions(bytecode, (const uint8_t *)PyBytes_AS_STRING(bytes)) ||
        !read_ranges(bytecode, table, table + table_size)) {
        return 0;
    }
    return read_lines(bytecode, code);
}

typedef struct {
    PyCodeObject *code;
    PyObject *bytes;
} copy;

/* What was compiled: neither specialized nor instrumented, the caches zero. */
static void
copy_bytes(void *arg)
{
    copy *of = arg;
    of->bytes = PyCode_GetCode(of->code);
}

int
mod_bytecode_read(mod_bytecode *bytecode, PyCodeObject *code)
{
    *bytecode = (mod_bytecode){0};
    /* Others that run the code specialize it meanwhile. */
    copy of = {.code = code};
    mod_while_stopped(copy_bytes, &of);
    PyObject *bytes = of.bytes;
    if (bytes == NULL) {
        PyErr_Clear();
        return -1;
    }
    int done = read_bytes_of_code(bytecode, code, bytes);
    Py_DECREF(bytes);
    return done;
}

void
mod_bytecode_free(mod_bytecode *bytecode)
{
    PyMem_Free(bytecode->instructions);
    PyMem_Free(bytecode->at);
    PyMem_Free(bytecode->ranges);
}
