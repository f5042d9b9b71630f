/* The service manager's readiness protocol (sd_notify(3)): datagrams to $NOTIFY_SOCKET. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody asked */
	struct sockaddr_un address;
	socklen_t address_len;
	uint64_t watchdog_ms; /* ping at least this often; 0: no watchdog */
};

/* Reads NOTIFY_SOCKET (a path, or '@' and an abstract name), WATCHDOG_USEC and WATCHDOG_PID. */
void notify_init(struct notify *notify);
void notify_finish(struct notify *notify);

/* Sends "READY=1\n..." as it is; never blocks, loses it when the manager does not listen. */
void notify_send(const struct notify *notify, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
