/*
 * Descriptors of ours that the program has closed, and whose numbers stand for its own files now:
 * nothing is written to those, taken from them, or closed (S31), and requests still arrive.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__has_include) && defined(__linux__)
#if __has_include(<sys/single_threaded.h>)
#define KNOWS_WHETHER_ALONE
#endif
#endif

#include "expect.h"
#include "itr_own_fd.h"
#include "itr_registry.h"
#include "itr_socket_pair.h"

static const itr_thread self = {.thread_id = 1, .serial = 1};

/* The program's files. ------------------------------------------------------------------------ */

/* A file that is not to be touched, and where would be seen that it was. */
typedef struct {
    const char *name;
    int fd;   /* the one that gets our number */
    int peer; /* what is written there comes out here; -1: it is a regular file */
} file;

enum { FILES = 8, PACKETS = 7 };
static file files[FILES];
static const char DATA[] = "precious";

static file
a_pair(const char *name, int type)
{
    int ends[2];
    EXPECT(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0);
    return (file){name, ends[0], ends[1]};
}

static file
an_inet_pair(const char *name, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    int one = socket(AF_INET, type, 0), other = socket(AF_INET, type, 0);
    EXPECT(bind(one, (struct sockaddr *)&address, size) == 0);
    EXPECT(getsockname(one, (struct sockaddr *)&address, &size) == 0);
    EXPECT(type != SOCK_STREAM || listen(one, 1) == 0);
    EXPECT(connect(other, (struct sockaddr *)&address, size) == 0);
    if (type == SOCK_STREAM) {
        int accepted = accept(one, NULL, NULL);
        (void)close(one);
        one = accepted;
    }
    else {
        EXPECT(getsockname(other, (struct sockaddr *)&address, &size) == 0);
        EXPECT(connect(one, (struct sockaddr *)&address, size) == 0);
    }
    EXPECT(fcntl(one, F_SETFL, O_NONBLOCK) == 0 && fcntl(other, F_SETFL, O_NONBLOCK) == 0);
    return (file){name, one, other};
}

static void
open_files(void)
{
    char name[] = "/tmp/itr_closed_XXXXXX";
    int ends[2];
    files[0] = (file){"regular file", mkstemp(name), -1};
    EXPECT(files[0].fd >= 0 && unlink(name) == 0);
    files[1] = a_pair("stream", SOCK_STREAM);
    files[2] = a_pair("datagrams", SOCK_DGRAM);
    files[3] = an_inet_pair("TCP", SOCK_STREAM);
    files[4] = an_inet_pair("UDP", SOCK_DGRAM);
    EXPECT(pipe(ends) == 0);
    EXPECT(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    files[5] = (file){"pipe to write", ends[1], ends[0]};
    EXPECT(pipe(ends) == 0);
    EXPECT(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    files[6] = (file){"pipe to read", ends[0], ends[1]};
    files[PACKETS] = a_pair("packets, as ours are", SOCK_SEQPACKET);
}

/* Is there something to be taken from it? */
static bool
is_read(int index)
{
    return index != 5;
}

/* The number is the program's from here on. */
static void
give_number(int number, int index)
{
    const file *of = &files[index];
    EXPECT(number > 2 && dup2(of->fd, number) == number);
    if (of->peer < 0) {
        EXPECT(pwrite(number, DATA, sizeof(DATA), 0) == (ssize_t)sizeof(DATA));
        EXPECT(lseek(number, 0, SEEK_SET) == 0);
    }
    else if (is_read(index)) {
        EXPECT(write(of->peer, DATA, sizeof(DATA)) == (ssize_t)sizeof(DATA));
    }
}

/* It is there, all that was in it, and nothing else. Takes it back. */
static void
expect_untouched(int number, int index)
{
    const file *of = &files[index];
    struct stat there, given;
    char found[64];
    EXPECT(fstat(number, &there) == 0 && fstat(of->fd, &given) == 0);
    EXPECT(there.st_ino == given.st_ino && there.st_mode == given.st_mode);
    if (of->peer < 0) {
        EXPECT(there.st_size == (off_t)sizeof(DATA) && lseek(number, 0, SEEK_CUR) == 0);
    }
    if (is_read(index)) {
        EXPECT(read(number, found, sizeof(found)) == (ssize_t)sizeof(DATA));
        EXPECT(memcmp(found, DATA, sizeof(DATA)) == 0);
        EXPECT(read(number, found, sizeof(found)) == (of->peer < 0 ? 0 : -1));
    }
    if (of->peer >= 0 && index != 6) {
        EXPECT(read(of->peer, found, sizeof(found)) == -1); /* nothing, and no end of file */
    }
    EXPECT(close(number) == 0);
}

/* Ours. --------------------------------------------------------------------------------------- */

/* A second file of the same kind that shares its inode with others: a FIFO. */
static int
open_fifo(const char *name)
{
    int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    EXPECT(fd >= 0);
    return fd;
}

static void
a_number_is_known_for_ours_until_it_stands_for_another_file(void)
{
    char name[] = "/tmp/itr_fifo_XXXXXX";
    EXPECT(mkdtemp(name) != NULL && rmdir(name) == 0 && mkfifo(name, 0600) == 0);
    for (int index = 0; index < FILES; index++) {
        itr_own_fd own;
        EXPECT(itr_own_fd_take(&own, open_fifo(name)) && itr_own_fd_is_ours(&own));
        int number = own.fd;
        EXPECT(close(number) == 0 && !itr_own_fd_is_ours(&own));
        give_number(number, index);
        EXPECT(!itr_own_fd_is_ours(&own));
        itr_own_fd_close(&own);
        EXPECT(own.fd == -1);
        expect_untouched(number, index);
    }
#ifdef __linux__
    itr_own_fd own;
    EXPECT(itr_own_fd_take(&own, open_fifo(name)));
    int theirs = open_fifo(name), number = own.fd;
    EXPECT(dup2(theirs, number) == number && !itr_own_fd_is_ours(&own));
    EXPECT(close(number) == 0 && close(theirs) == 0);
#endif
    EXPECT(unlink(name) == 0 && !itr_own_fd_take(&(itr_own_fd){.fd = 0}, -1));
}

/* Each file system counts its inodes for itself. */
static void
a_file_of_another_kind_with_the_same_inode_is_not_ours(void)
{
    itr_record *record = new_record();
    EXPECT(itr_wait_fd(record) >= 0);
    itr_own_fd other = record->wake_fd.reader;
    EXPECT(itr_own_fd_is_ours(&other));
    other.type = S_IFREG;
    EXPECT(!itr_own_fd_is_ours(&other));
    dispose(record);
}

/* What a program that is executed would have, and what a program with few descriptors has. */
static void
a_number_of_ours_is_closed_on_exec_and_high_whatever_the_limit_is(void)
{
    struct rlimit before, low;
    EXPECT(getrlimit(RLIMIT_NOFILE, &before) == 0);
    low = before;
    low.rlim_cur = 128;
    for (int limited = 0; limited < 2; limited++) {
        EXPECT(setrlimit(RLIMIT_NOFILE, limited ? &low : &before) == 0);
        itr_record *record = new_record();
        int number = itr_poll_fd(record);
        EXPECT(number >= 64 && (!limited || number < 128));
        EXPECT(fcntl(number, F_GETFD) & FD_CLOEXEC);
        EXPECT(fcntl(itr_wait_fd(record), F_GETFD) & FD_CLOEXEC);
        dispose(record);
    }
    EXPECT(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* The kernel makes it in milliseconds as soon as there is a second thread. */
static void
there_is_room_for_high_numbers_from_the_beginning(void)
{
#ifdef KNOWS_WHETHER_ALONE
    char line[128] = "";
    unsigned size = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && size == 0 && fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "FDSize: %u", &size);
    }
    EXPECT(status == NULL || size > 512);
    (void)(status == NULL ? 0 : fclose(status));
#endif
}

/* So that a poll() that is woken by the close finds that, and not the program's next file. */
static void
a_number_of_ours_is_not_what_the_program_opens_next(void)
{
    itr_record *record = new_record();
    int number = itr_poll_fd(record), shown = itr_wait_fd(record);
    EXPECT(number > shown);
    EXPECT(close(number) == 0);
    int next = dup(0);
    EXPECT(next >= 0 && next < number && close(next) == 0);
    dispose(record);
}

/* What a descriptor is good for, once it is ours no more. */
static void
use_and_end(itr_record *record)
{
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    itr_wake(record);
    EXPECT(itr_clear(record, &dropped) && itr_request(record, NULL) == ITR_NEW);
    dispose(record);
}

static void
nothing_is_done_to_a_file_that_got_the_number(void)
{
    for (int index = 0; index < FILES; index++) {
        for (int which = 0; which < 4; which++) {
            itr_record *record = new_record();
            EXPECT(itr_wait_fd(record) >= 0 && itr_poll_fd(record) >= 0);
            const itr_own_fd *all[] = {&record->wake_fd.reader, &record->wake_fd.writer,
                                       &record->poll_fd.reader, &record->poll_fd.writer};
            int number = all[which]->fd;
            give_number(number, index);
            use_and_end(record);
            expect_untouched(number, index);
        }
    }
}

static void
another_is_made_in_place_of_one_that_was_closed(void)
{
    for (int which = 0; which < 2; which++) {
        itr_payload *dropped = NULL;
        itr_record *record = new_record();
        int wait_fd = itr_wait_fd(record), poll_fd = itr_poll_fd(record);
        int wait_number = which ? record->wake_fd.writer.fd : wait_fd;
        int poll_number = which ? record->poll_fd.writer.fd : poll_fd;
        give_number(wait_number, 1);
        give_number(poll_number, 2);
        EXPECT(itr_request(record, NULL) == ITR_NEW);
        int wait_rest = which ? wait_fd : record->wake_fd.writer.fd;
        int poll_rest = which ? poll_fd : record->poll_fd.writer.fd;
        int other_poll = itr_poll_fd(record); /* first: the other's numbers are low */
        EXPECT(fcntl(poll_rest, F_GETFD) == -1 || poll_rest == other_poll ||
               poll_rest == record->poll_fd.writer.fd);
        int other_wait = itr_wait_fd(record);
        EXPECT(fcntl(wait_rest, F_GETFD) == -1 || wait_rest == other_wait ||
               wait_rest == record->wake_fd.writer.fd);
        EXPECT(other_wait != wait_number && other_poll != poll_number);
        EXPECT(readable(other_wait) && !readable(other_poll));
        EXPECT(itr_request(record, NULL) == ITR_WAITING && readable(other_poll));
        EXPECT(itr_clear(record, &dropped) && !readable(other_wait));
        dispose(record);
        expect_untouched(wait_number, 1);
        expect_untouched(poll_number, 2);
    }
}

static void
a_descriptor_of_another_thread_is_told_from_ours(void)
{
    itr_record *one = new_record(), *other = itr_record_new(2, 2);
    int number = itr_wait_fd(one);
    (void)close(number);
    int stolen = itr_wait_fd(other); /* the lowest that is free */
    EXPECT(stolen == number && itr_request(one, NULL) == ITR_NEW && !readable(stolen));
    dispose(one);
    EXPECT(itr_request(other, NULL) == ITR_NEW && readable(stolen));
    dispose(other);
}

/* Between the question whose it is and its use, the number may get another file. */
static void
what_we_send_arrives_in_no_file_but_ours(void)
{
#ifdef ITR_PLATFORM_LINUX
    for (int index = 0; index < PACKETS; index++) { /* those are told by their inode alone */
        int number = dup(0);
        give_number(number, index);
        itr_socket_pair_send(number);
        expect_untouched(number, index);
    }
#endif
}

/* While a thread waits. ----------------------------------------------------------------------- */

static itr_record *_Atomic polled;
static _Atomic int turns;

static void *
poll_until_asked(void *argument)
{
    itr_record *record = argument;
    while (!itr_requested(record)) {
        struct pollfd poller = {.fd = itr_poll_fd(record), .events = POLLIN};
        atomic_store(&polled, record);
        if (!itr_requested(record)) {
            (void)poll(&poller, 1, -1);
            atomic_fetch_add(&turns, 1);
        }
    }
    return NULL;
}

/* The reader, the writer, or both. */
static void
close_some(itr_record *record, int which)
{
    (void)pthread_mutex_lock(&record->mutex);
    int reader = record->poll_fd.reader.fd, writer = record->poll_fd.writer.fd;
    EXPECT(which == 1 || close(reader) == 0);
    EXPECT(which == 0 || close(writer) == 0);
    (void)pthread_mutex_unlock(&record->mutex);
}

static void
a_poll_goes_on_when_its_descriptor_is_closed(void)
{
    for (int round = 0; round < 30; round++) {
        itr_record *record = new_record();
        atomic_store(&polled, NULL);
        atomic_store(&turns, 0);
        pthread_t thread = start(poll_until_asked, record);
        while (atomic_load(&polled) == NULL) {
            (void)sched_yield();
        }
        (void)usleep(round * 50); /* in its poll() or on the way: both are to end well */
        close_some(record, round % 3);
        while (round % 3 != 0 && atomic_load(&turns) == 0) {
            (void)sched_yield(); /* for ever, if the writer's end does not end the poll() */
        }
        EXPECT(itr_request(record, NULL) == ITR_NEW);
        join(thread);
        dispose(record);
    }
}

static void
a_sleeper_is_woken_though_all_is_closed(void)
{
    itr_record *record = new_record();
    EXPECT(itr_wait(record, itr_deadline_after(1000)) != ITR_WAIT_REQUESTED);
    for (int fd = 3; fd < 1024; fd++) {
        bool theirs = false;
        for (int index = 0; index < FILES; index++) {
            theirs = theirs || fd == files[index].fd || fd == files[index].peer;
        }
        (void)(theirs ? 0 : close(fd));
    }
    EXPECT(itr_wait(record, itr_deadline_after(1000)) != ITR_WAIT_REQUESTED);
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
    dispose(record);
}

/* Forks. -------------------------------------------------------------------------------------- */

static void
a_child_leaves_alone_what_got_the_number(void)
{
    itr_record *record = itr_adopt(self);
    for (int index = 0; index < FILES; index++) {
        int number = itr_wait_fd(record), poll_number = itr_poll_fd(record);
        give_number(number, index);
        (void)close(poll_number);
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            int another = itr_wait_fd(record);
            EXPECT(another != number && !readable(another));
            EXPECT(itr_request(record, NULL) == ITR_NEW && readable(another));
            itr_end(self);
            expect_untouched(number, index);
            _exit(0);
        }
        expect_child(child);
        if (is_read(index) && files[index].peer >= 0) {
            EXPECT(write(files[index].peer, DATA, sizeof(DATA)) > 0); /* the child took it */
        }
        EXPECT(index != 0 || lseek(number, 0, SEEK_SET) == 0);
        EXPECT(itr_wait_fd(record) != number);
        expect_untouched(number, index);
    }
    itr_end(self);
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    RUN(there_is_room_for_high_numbers_from_the_beginning);
    open_files();
    RUN(a_number_is_known_for_ours_until_it_stands_for_another_file);
    RUN(a_file_of_another_kind_with_the_same_inode_is_not_ours);
    RUN(a_number_of_ours_is_closed_on_exec_and_high_whatever_the_limit_is);
    RUN(a_number_of_ours_is_not_what_the_program_opens_next);
    RUN(nothing_is_done_to_a_file_that_got_the_number);
    RUN(another_is_made_in_place_of_one_that_was_closed);
    RUN(a_descriptor_of_another_thread_is_told_from_ours);
    RUN(what_we_send_arrives_in_no_file_but_ours);
    RUN(a_poll_goes_on_when_its_descriptor_is_closed);
    RUN(a_child_leaves_alone_what_got_the_number);
    RUN(a_sleeper_is_woken_though_all_is_closed);
    return 0;
}
