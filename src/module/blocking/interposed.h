/*
 * What is interposed, a family each, in the file that is named behind it; families.c has all of
 * them. Some do not exist on every system, or in every version: see families.h.
 */
#ifndef MOD_BLOCKING_INTERPOSED_H
#define MOD_BLOCKING_INTERPOSED_H

#include "interpose/interpose.h"

extern mod_family mod_locks;         /* _thread.lock and RLock: sync/locks.c */
extern mod_family mod_process_locks; /* multiprocessing's SemLock: sync/process_locks.c */
extern mod_family mod_joins;         /* Thread.join: sync/joins.c; up to 3.12 joins_by_lock.c */
extern mod_family mod_queues;        /* SimpleQueue: sync/queues.c */
extern mod_family mod_sleeps;        /* time.sleep: sync/sleep.c */

extern mod_family mod_descriptors; /* os.read, os.write and their like: io/descriptors.c */
extern mod_family mod_files;       /* FileIO, and so all that open() gives: io/files.c */
extern mod_family mod_folders;     /* os.scandir, os.listdir: io/files.c */
extern mod_family mod_file_locks;  /* fcntl.flock, fcntl.lockf: io/file_locks.c */
extern mod_family mod_select;      /* io/select.c, and: */
extern mod_family mod_poll;
extern mod_family mod_epoll;

extern mod_family mod_sockets;     /* bytes: net/sockets.c */
extern mod_family mod_messages;    /* with addresses and ancillary data: net/messages.c */
extern mod_family mod_connections; /* accept, connect: net/connections.c */
extern mod_family mod_tls;         /* _ssl._SSLSocket: net/tls.c */

extern mod_family mod_child_waits; /* os.waitpid and its like: process/children.c */
extern mod_family mod_signals;     /* Linux: signal.sigwait and its like: process/signals.c */
extern mod_family mod_greenlets;   /* greenlets' switches: greenlets.c */

/* In the child of a fork: other threads' calls are not there. */
void mod_tls_forget_calls(void);

#endif
