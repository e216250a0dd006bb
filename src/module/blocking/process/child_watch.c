/*
 * See child_watch.h. All is guarded by `children_mutex`, which is held for a few instructions and
 * never while a thread attaches to the interpreter. A watch is on the heap, for the thread that
 * waits may be killed at the interpreter's exit; then it stays.
 */
#include "blocking/process/child_watch.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "itr_background.h"
#include "itr_wake_fd.h"

/* One wait. */
struct interruption_child_watch {
    interruption_children children; /* constant */
    itr_wake_fd fd;                 /* constant */
    bool told;                      /* guarded by children_mutex: it is readable */
    interruption_child_watch *next; /* guarded by children_mutex */
};

/* A thread in waitid(). Freed by itself; after a fork, in the child, by nobody. */
typedef struct watcher {
    interruption_children children; /* constant */
    struct watcher *next;           /* guarded by children_mutex */
} watcher;

static pthread_mutex_t children_mutex = PTHREAD_MUTEX_INITIALIZER;
static interruption_child_watch *child_watches; /* guarded by children_mutex */
static watcher *watchers;                       /* guarded by children_mutex */

static bool
same_children(const interruption_children *one, const interruption_children *other)
{
    return one->type == other->type && one->id == other->id && one->options == other->options;
}

/* With the mutex. */
static void
tell_children(const interruption_children *children)
{
    for (interruption_child_watch *watch = child_watches; watch != NULL; watch = watch->next) {
        if (!watch->told && (children == NULL || same_children(&watch->children, children))) {
            watch->told = true;
            itr_wake_fd_signal(&watch->fd);
        }
    }
}

/* An error, that there is no such child, is a change, too: the call itself tells it. */
static void *
sit(void *arg)
{
    watcher *self = arg;
    siginfo_t ignored;
    (void)waitid(self->children.type, self->children.id, &ignored,
                 self->children.options | WNOWAIT);
    (void)pthread_mutex_lock(&children_mutex);
    tell_children(&self->children);
    watcher **link = &watchers;
    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    (void)pthread_mutex_unlock(&children_mutex);
    free(self);
    return NULL;
}

/* With the mutex. 0, or an errno value. */
static int
start_watcher(watcher *self)
{
    return itr_start_background(sit, self, (size_t)PTHREAD_STACK_MIN + 65536);
}

/* With the mutex. See to it that somebody sits there. 0, or an errno value. */
static int
need_watcher(const interruption_children *children)
{
    for (watcher *sitting = watchers; sitting != NULL; sitting = sitting->next) {
        if (same_children(&sitting->children, children)) {
            return 0;
        }
    }
    watcher *added = malloc(sizeof(*added));
    if (added == NULL) {
        return ENOMEM;
    }
    *added = (watcher){.children = *children, .next = watchers};
    int error = start_watcher(added);
    if (error != 0) {
        free(added);
        return error;
    }
    watchers = added;
    return 0;
}

/* Forking. ------------------------------------------------------------------------------------ */

void
interruption_child_watch_before_fork(void)
{
    (void)pthread_mutex_lock(&children_mutex);
}

void
interruption_child_watch_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&children_mutex);
}

/* No thread sits anywhere, and who waits has other children: look again. Whoever began a watch ends
   it, as in the parent. */
void
interruption_child_watch_after_fork_child(void)
{
    watchers = NULL;
    tell_children(NULL);
    (void)pthread_mutex_unlock(&children_mutex);
}

/* Watching. ----------------------------------------------------------------------------------- */

interruption_child_watch *
interruption_child_watch_begin(const interruption_children *children)
{
    interruption_child_watch *watch = malloc(sizeof(*watch));
    if (watch == NULL) {
        return NULL;
    }
    *watch = (interruption_child_watch){.children = *children};
    if (itr_wake_fd_open(&watch->fd, false) < 0) {
        free(watch);
        return NULL;
    }
    (void)pthread_mutex_lock(&children_mutex);
    int error = need_watcher(children);
    if (error == 0) {
        watch->next = child_watches;
        child_watches = watch;
    }
    (void)pthread_mutex_unlock(&children_mutex);
    if (error != 0) {
        itr_wake_fd_close(&watch->fd);
        free(watch);
        errno = error;
        return NULL;
    }
    return watch;
}

const itr_own_fd *
interruption_child_watch_fd(const interruption_child_watch *watch)
{
    return &watch->fd.reader;
}

void
interruption_child_watch_end(interruption_child_watch *watch)
{
    (void)pthread_mutex_lock(&children_mutex);
    interruption_child_watch **link = &child_watches;
    while (*link != watch) {
        link = &(*link)->next;
    }
    *link = watch->next;
    (void)pthread_mutex_unlock(&children_mutex);
    itr_wake_fd_close(&watch->fd);
    free(watch);
}
