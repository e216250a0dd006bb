/*
 * See last_words.h. What is read of the interpreter may change while it is read, and some of it may
 * be freed. So a child process does the reading, which has a copy of all memory as it was at one
 * moment, and which may crash. Where the system has none, it is read as it is: the process ends in
 * any case.
 */
#include "shutdown/last_words.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#endif

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "itr_clock.h"

enum {
    THREADS = 100,      /* how many are told of, */
    FRAMES = 100,       /* and of each, */
    LETTERS = 500,      /* and of a name */
    PATIENCE_MS = 1000, /* with who reads stderr, and with the child */
};

static struct {
    bool known;        /* written attached, before anything is due */
    bool wanted;       /* there is a stderr */
    char folder[1024]; /* of this package, with the slash: its frames are none of the program's */
} prepared;

void
mod_prepare_last_words(void)
{
    PyFrameObject *caller = PyEval_GetFrame(); /* borrowed */
    if (prepared.known || caller == NULL) {
        return;
    }
    PyCodeObject *code = PyFrame_GetCode(caller);
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    const char *slash = file == NULL ? NULL : strrchr(file, '/');
    if (slash != NULL && (size_t)(slash - file) + 2 < sizeof(prepared.folder)) {
        memcpy(prepared.folder, file, (size_t)(slash - file) + 1);
    }
    Py_DECREF(code);
    PyErr_Clear();
    prepared.wanted = fcntl(STDERR_FILENO, F_GETFD) >= 0; /* else it may become a file's */
    prepared.known = true;
}

/* Writing. ------------------------------------------------------------------------------------- */

typedef struct {
    char text[512];
    size_t length;
} line;

static void
flush(line *to)
{
    const char *at = to->text;
    while (to->length > 0) {
        struct pollfd there = {.fd = STDERR_FILENO, .events = POLLOUT};
        ssize_t written =
            poll(&there, 1, PATIENCE_MS) > 0 ? write(STDERR_FILENO, at, to->length) : -1;
        if (written <= 0) {
            break;
        }
        at += written;
        to->length -= (size_t)written;
    }
    to->length = 0;
}

static void
put_letter(line *to, char letter)
{
    if (to->length == sizeof(to->text)) {
        flush(to);
    }
    to->text[to->length++] = letter;
}

static void
put_on_line(line *to, const char *text)
{
    for (; *text != '\0'; text++) {
        put_letter(to, *text);
    }
}

static void
put_number(line *to, uint64_t number, unsigned base, int digits)
{
    char reversed[32];
    int count = 0;
    do {
        reversed[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0 || count < digits);
    while (count > 0) {
        put_letter(to, reversed[--count]);
    }
}

static void
put_text(line *to, PyObject *text)
{
    if (text == NULL || !PyUnicode_Check(text)) {
        put_on_line(to, "?");
        return;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t i = 0; i < length && i < LETTERS; i++) {
        Py_UCS4 letter = PyUnicode_READ_CHAR(text, i);
        if (letter >= ' ' && letter < 0x7f) {
            put_letter(to, (char)letter);
        }
        else {
            put_on_line(to, letter < 0x10000 ? "\\u" : "\\U");
            put_number(to, letter, 16, letter < 0x10000 ? 4 : 8);
        }
    }
}

static void
put_signal(line *to, int number)
{
    switch (number) {
    case SIGINT:
        put_on_line(to, "SIGINT");
        break;
    case SIGTERM:
        put_on_line(to, "SIGTERM");
        break;
    case SIGHUP:
        put_on_line(to, "SIGHUP");
        break;
    default:
        put_on_line(to, "signal ");
        put_number(to, (uint64_t)number, 10, 1);
    }
}

/* Reading. ------------------------------------------------------------------------------------- */

/* Does the name of its file begin with the package's folder? */
static bool
is_ours(const PyCodeObject *code)
{
    PyObject *file = code->co_filename;
    size_t length = strlen(prepared.folder);
    if (length == 0 || !PyUnicode_Check(file) || PyUnicode_GET_LENGTH(file) < (Py_ssize_t)length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (PyUnicode_READ_CHAR(file, (Py_ssize_t)i) != (unsigned char)prepared.folder[i]) {
            return false;
        }
    }
    return true;
}

static void
put_frame(line *to, PyCodeObject *code, int lasti)
{
    put_on_line(to, "  File \"");
    put_text(to, code->co_filename);
    put_on_line(to, "\", line ");
    int number = PyCode_Addr2Line(code, lasti);
    if (number > 0) {
        put_number(to, (uint64_t)number, 10, 1);
    }
    else {
        put_on_line(to, "?");
    }
    put_on_line(to, " in ");
    put_text(to, code->co_qualname);
    put_on_line(to, "\n");
    flush(to);
}

static bool
is_main_thread_state(const PyThreadState *tstate)
{
#ifdef __linux__
    return tstate->native_thread_id == (unsigned long)getppid() ||
           tstate->native_thread_id == (unsigned long)getpid();
#else
    (void)tstate;
    return false;
#endif
}

static void
put_thread(line *to, PyThreadState *tstate)
{
    bool begun = false;
    int count = 0;
    PyCodeObject *code;
    int lasti;
    void *frame = mod_frame_now(tstate);
    for (; (frame = mod_peek_at_frame(frame, &code, &lasti)) != NULL && count < FRAMES;
         frame = mod_frame_below(frame)) {
        if (is_ours(code)) {
            continue;
        }
        if (!begun) {
            if (is_main_thread_state(tstate)) {
                put_on_line(to, "Main thread");
            }
            else {
                put_on_line(to, "Thread 0x");
                put_number(to, tstate->thread_id, 16, 16);
            }
            put_on_line(to, !mod_runs_with(tstate) ? ""
                            : MOD_FREE_THREADED    ? ", running"
                                                   : ", which holds the GIL");
            put_on_line(to, " (most recent call first):\n");
            begun = true;
        }
        put_frame(to, code, lasti);
        count++;
    }
    if (!begun && is_main_thread_state(tstate)) {
        put_on_line(to, "Main thread, past its last line\n");
        flush(to);
    }
}

static void
say(int number, int64_t since)
{
    line out = {.length = 0};
    int64_t tenths = (itr_now() - since) / 100000000;
    put_on_line(&out, "interruption: ");
    if (number != 0) {
        put_signal(&out, number);
        put_on_line(&out, " came ");
    }
    else {
        put_on_line(&out, "the main program ended ");
    }
    put_number(&out, (uint64_t)(tenths > 0 ? tenths / 10 : 0), 10, 1);
    put_on_line(&out, ".");
    put_number(&out, (uint64_t)(tenths > 0 ? tenths % 10 : 0), 10, 1);
    put_on_line(&out, " s ago, and the process has not ended. It is ended now, where it is:\n");
    flush(&out);
    PyInterpreterState *interpreter = PyInterpreterState_Main();
    PyThreadState *tstate = interpreter == NULL ? NULL : PyInterpreterState_ThreadHead(interpreter);
    for (int i = 0; tstate != NULL && i < THREADS; i++, tstate = PyThreadState_Next(tstate)) {
        put_thread(&out, tstate);
    }
}

#ifdef __linux__

static void
pause_for(int milliseconds)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000L}, NULL);
}

/* A child that nobody is told of: it must not be taken for one of the program's. */
static bool
say_in_child(int number, int64_t since)
{
    long child = syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (child < 0) {
        return false;
    }
    if (child == 0) {
        struct sigaction plain = {.sa_handler = SIG_DFL};
        (void)prctl(PR_SET_DUMPABLE, 0);
        (void)sigaction(SIGSEGV, &plain, NULL);
        (void)sigaction(SIGBUS, &plain, NULL);
        (void)sigaction(SIGABRT, &plain, NULL);
        (void)sigaction(SIGPIPE, &plain, NULL);
        say(number, since);
        (void)syscall(SYS_exit_group, 0);
    }
    for (int waited = 0; waited < 3 * PATIENCE_MS; waited += 5) {
        if (waitpid((pid_t)child, NULL, __WALL | WNOHANG) != 0) {
            return true;
        }
        pause_for(5);
    }
    (void)kill((pid_t)child, SIGKILL);
    return true;
}

#else

static bool
say_in_child(int number, int64_t since)
{
    (void)number;
    (void)since;
    return false;
}

#endif

void
mod_kill_by(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t only;
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)sigaction(number, &action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    (void)kill(getpid(), number);
}

_Noreturn void
mod_end_process(int number, int status, int64_t since)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&begun)) { /* somebody else is at it */
        (void)pause();
    }
    if (prepared.wanted && !say_in_child(number, since)) {
        say(number, since);
    }
    if (number != 0) {
        mod_kill_by(number);
    }
    _exit(number != 0 ? 128 + number : status);
}
