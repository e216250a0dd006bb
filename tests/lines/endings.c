/*
 * Preloaded by `nox -s coverage`: gcov writes what a process has run when it calls exit(). Here are
 * its other ends, so that the children of the tests count: _exit(), exec, and a signal that it
 * sends itself. What is measured is linked with other names for gcov's functions, which are hidden.
 *
 * Not caught: a process that another one kills.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
call(void *library, const char *name)
{
    void (*function)(void) = NULL;
    *(void **)&function = dlsym(library, name);
    if (function != NULL) {
        function();
    }
}

/* Under the loader's lock, where nothing may be looked up. */
static int
find_module(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    if (strstr(info->dlpi_name, "/_interruption.") != NULL) {
        *(const char **)found = info->dlpi_name;
    }
    return 0;
}

/* Of the program, or of the module that it has loaded. Counts begin again at 0: if the process goes
   on, they are added to those that were written. */
static void
write_all(void)
{
    const char *module = NULL;
    (void)dl_iterate_phdr(find_module, &module);
    void *library = dlopen(module, RTLD_NOW | RTLD_NOLOAD);
    if (library != NULL) {
        call(library, "coverage_dump");
        call(library, "coverage_reset");
    }
}

void
_exit(int status)
{
    void (*original)(int) = NULL;
    *(void **)&original = dlsym(RTLD_NEXT, "_exit");
    write_all();
    original(status);
    abort();
}

int
kill(pid_t process, int number)
{
    int (*original)(pid_t, int) = NULL;
    *(void **)&original = dlsym(RTLD_NEXT, "kill");
    if (process == getpid() && number != 0) {
        write_all();
    }
    return original(process, number);
}

int
execve(const char *path, char *const arguments[], char *const environment[])
{
    int (*original)(const char *, char *const[], char *const[]) = NULL;
    *(void **)&original = dlsym(RTLD_NEXT, "execve");
    write_all();
    return original(path, arguments, environment);
}
