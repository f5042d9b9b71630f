#include "supervisor/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t watchdog_from_environment(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	/* Twice within the time allowed. */
	uint64_t half_ms = strtoull(usec, NULL, 10) / 2000;
	return half_ms > 0 ? half_ms : 1;
}

void notify_init(struct notify *notify)
{
	*notify = (struct notify){.fd = -1};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path != NULL ? strlen(path) : 0;
	if (len < 2 || len >= sizeof notify->address.sun_path || (*path != '/' && *path != '@'))
		return;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, path, len);
	notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (*path == '@')
		notify->address.sun_path[0] = '\0';
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	notify->watchdog_ms = watchdog_from_environment();
}

void notify_finish(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void notify_send(const struct notify *notify, const char *format, ...)
{
	char text[512];
	if (notify->fd < 0)
		return;
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (len <= 0)
		return;
	size_t bytes = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
	sendto(notify->fd, text, bytes, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
	       notify->address_len);
}
