/* What a record's owner sleeps on until it is asked (see itr_record.h): by the record itself, or by
   descriptors. */
#include "itr_record.h"

itr_wait_result
itr_wait(itr_record *record, itr_deadline deadline)
{
    /* A requester stores the flag before it unparks, so a permit taken here is always followed by a
       look that sees the flag; one left over from a request seen earlier costs one turn more. */
    while (!itr_requested(record)) {
        switch (itr_park(&record->parker, deadline)) {
        case ITR_PARK_PERMIT:
            break;
        case ITR_PARK_TIMEOUT:
            return itr_requested(record) ? ITR_WAIT_REQUESTED : ITR_WAIT_TIMEOUT;
        case ITR_PARK_SIGNAL:
            return ITR_WAIT_SIGNAL;
        case ITR_PARK_ERROR:
            return ITR_WAIT_ERROR;
        }
    }
    return ITR_WAIT_REQUESTED;
}

/* The owner's, if it is whole; else ITR_NO_WAKE_FD, and what was left of it is closed. */
static itr_wake_fd
find_whole(itr_record *record, itr_wake_fd *place)
{
    (void)pthread_mutex_lock(&record->mutex);
    if (!itr_wake_fd_is_whole(place)) {
        itr_wake_fd_close(place); /* none yet; or somebody has closed what is not his */
    }
    itr_wake_fd found = *place;
    (void)pthread_mutex_unlock(&record->mutex);
    return found;
}

int
itr_wait_fd(itr_record *record)
{
    /* Only the owner opens it, so between the two locked parts nobody else does. */
    itr_wake_fd fd = find_whole(record, &record->wake_fd);
    if (fd.reader.fd < 0) {
        if (itr_wake_fd_open(&fd, true) < 0) {
            return -1;
        }
        (void)pthread_mutex_lock(&record->mutex);
        record->wake_fd = fd;
        if (itr_flags(record) & ITR_REQUESTED) {
            itr_wake_fd_signal(&fd);
        }
        (void)pthread_mutex_unlock(&record->mutex);
    }
    return fd.reader.fd;
}

int
itr_poll_fd(itr_record *record)
{
    itr_wake_fd fd = find_whole(record, &record->poll_fd);
    bool made = fd.reader.fd < 0;
    if (made && itr_wake_fd_open(&fd, false) < 0) {
        return -1;
    }
    (void)pthread_mutex_lock(&record->mutex);
    if (made) {
        record->poll_fd = fd;
    }
    else if (record->poll_signalled) { /* which it seldom is */
        itr_wake_fd_drain(&fd);
    }
    record->poll_signalled = false;
    (void)pthread_mutex_unlock(&record->mutex);
    return fd.reader.fd;
}
