/*
 * wire.c - see wire.h.
 */
#include "wire.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"

/* A path is sent as long as it is. */
static size_t
bytes_to_send(const struct wire_message *message)
{
    return offsetof(struct wire_message, path) + strlen(message->path) + 1;
}

static bool
send_message(int end, const struct wire_message *message)
{
    ssize_t sent;

    do
        sent = send(end, message, bytes_to_send(message), MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent > 0;
}

static bool
receive(int end, struct wire_message *message)
{
    ssize_t got;

    do
        got = recv(end, message, sizeof *message, 0);
    while (got < 0 && errno == EINTR);
    return got > 0;
}

static bool
is_answered(enum wire_what what)
{
    return what == WIRE_LOCK || what == WIRE_OPENED || what == WIRE_SYNC_BEGIN;
}

void
wire_make(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        test_die("no socket: %s", strerror(errno));
}

struct wire_message
wire_ask(int end, const struct wire_message *message)
{
    struct wire_message answer = *message;

    if (!send_message(end, message) || (is_answered(message->what) && !receive(end, &answer)))
        _exit(1);
    return answer;
}

/* ---- the disk's end ---- */

static void
do_it(struct wire_message *message)
{
    switch (message->what) {
    case WIRE_LOCK:
        disk_lock(message->flag);
        break;
    case WIRE_UNLOCK:
        disk_unlock();
        break;
    case WIRE_OPENED:
        message->node =
            disk_node_opened(message->path, message->device, message->inode, message->flags);
        break;
    case WIRE_WRITTEN:
        disk_node_written(message->node, message->flag, message->offset, message->bytes);
        break;
    case WIRE_CHANGED:
        disk_node_changed(message->node);
        break;
    case WIRE_NAMED:
        disk_named(message->path);
        break;
    case WIRE_UNNAMED:
        disk_unnamed(message->path);
        break;
    case WIRE_SYNC_BEGIN:
        message->sync = disk_sync_begin(message->node);
        break;
    case WIRE_SYNC_END:
        disk_sync_end(message->sync);
        break;
    }
}

static void *
serve(void *arg)
{
    const int end = (int)(intptr_t)arg;
    struct wire_message message;
    bool holds = false;

    while (receive(end, &message)) {
        const enum wire_what what = message.what;

        do_it(&message);
        holds = what == WIRE_LOCK || (holds && what != WIRE_UNLOCK);
        if (is_answered(what) && !send_message(end, &message))
            break;
    }
    if (holds) {
        disk_look_at_names();
        disk_unlock();
    }
    (void)calls_real.close(end);
    return NULL;
}

void
wire_serve(int end)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)end) != 0 || /* NOLINT */
        pthread_detach(thread) != 0)
        test_die("no thread");
}
