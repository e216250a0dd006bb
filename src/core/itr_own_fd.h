/*
 * A descriptor that the library keeps, known for its own.
 *
 * A program may close descriptors that are not its own: a daemon closes all of them, a bug closes
 * one twice. The number is then given to the next file that the program opens. So whoever keeps a
 * descriptor asks before each use of the number whether it still stands for what was opened, and
 * does without, or opens another, if it does not (S31). Between question and use the number can
 * still change hands; what is done with it is chosen to do no harm to another file.
 *
 * Not synchronised: whoever has one guards it.
 */
#ifndef ITR_OWN_FD_H
#define ITR_OWN_FD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int fd;         /* -1: there is none */
    uint16_t type;  /* the file's, of its st_mode */
    bool marked;    /* others may have the same inode: it bears our mark, too */
    uint64_t inode; /* the file's */
} itr_own_fd;

#define ITR_NO_FD ((itr_own_fd){.fd = -1})

/*
 * Take over a descriptor that has just been opened, and give it a high number: what a program opens
 * gets the lowest that is free, so a number of ours that it has closed stays without a file for
 * long, and a poll() under way ends. False, with errno set: it cannot be known again, and has been
 * closed; or it was -1.
 */
bool itr_own_fd_take(itr_own_fd *own, int fd);

/* The same, but its number stays, for the program will be told it. */
bool itr_own_fd_keep(itr_own_fd *own, int fd);

/* Have room for high numbers. The kernel takes milliseconds for that as soon as there is a second
   thread, so this is done in time, if the caller is alone. */
void itr_own_fd_init(void);

/* Does the number still stand for it? False, too, if there is none. Async-signal-safe. */
bool itr_own_fd_is_ours(const itr_own_fd *own);

/* Close it if it is ours, and forget it. Async-signal-safe. */
void itr_own_fd_close(itr_own_fd *own);

#endif
