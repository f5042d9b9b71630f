/* The floor that fan-out is measured against: epoll, one send() for each reader and message, at
 * once. No log, no disk, no formatting per reader, the least HTTP that works. Not a server to use.
 *
 *     fanfloor PORT       GET /sub/N: an event stream of channel N;  POST /pub/N: one message to it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNELS = 1024, FILES_MAX = 1 << 20, IN_BYTES = 65536 };

struct channel {
	int *readers;
	uint32_t count, room;
};

static struct channel channels[CHANNELS];
static struct {
	char *bytes;
	size_t len;
} pending[FILES_MAX]; /* of publishers: a request that is not complete */
static int epoll;

static void end(int fd)
{
	free(pending[fd].bytes);
	pending[fd].bytes = NULL;
	pending[fd].len = 0;
	close(fd);
}

static void subscribe(int fd, unsigned number)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	                           "Connection: close\r\n\r\n";
	struct channel *c = &channels[number % CHANNELS];
	if (c->count == c->room) {
		c->room = c->room != 0 ? c->room * 2 : 64;
		c->readers = realloc(c->readers, c->room * sizeof *c->readers);
	}
	c->readers[c->count++] = fd;
	(void)!send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
}

static void publish(unsigned number, const char *body, size_t len)
{
	static char frame[IN_BYTES + 16];
	struct channel *c = &channels[number % CHANNELS];
	memcpy(frame, "data: ", 6);
	memcpy(frame + 6, body, len);
	memcpy(frame + 6 + len, "\n\n", 2);
	for (uint32_t i = 0; i < c->count;) {
		ssize_t n = send(c->readers[i], frame, len + 8, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			c->readers[i] = c->readers[--c->count];
		else
			i++;
	}
}

/* One request at the front of the bytes; 0: not complete. */
static size_t request(int fd, char *at, size_t len)
{
	static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
	char *stop = memmem(at, len, "\r\n\r\n", 4);
	unsigned number = 0;
	if (stop == NULL)
		return 0;
	size_t head = (size_t)(stop - at) + 4;
	*stop = '\0';
	if (sscanf(at, "GET /sub/%u", &number) == 1) {
		subscribe(fd, number);
		return head;
	}
	const char *length = strcasestr(at, "content-length:");
	size_t body = length != NULL ? strtoul(length + 15, NULL, 10) : 0;
	*stop = '\r';
	if (len < head + body)
		return 0;
	sscanf(at, "POST /pub/%u", &number);
	publish(number, at + head, body);
	(void)!send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
	return head + body;
}

static void readable(int fd)
{
	static char in[2 * IN_BYTES];
	size_t len = pending[fd].len, used = 0, n;
	memcpy(in, pending[fd].bytes, len);
	ssize_t got = recv(fd, in + len, IN_BYTES, MSG_DONTWAIT);
	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			end(fd);
		return;
	}
	len += (size_t)got;
	while (used < len && (n = request(fd, in + used, len - used)) > 0)
		used += n;
	free(pending[fd].bytes);
	pending[fd].bytes = NULL;
	pending[fd].len = len - used;
	if (len > used) {
		pending[fd].bytes = malloc(len - used);
		memcpy(pending[fd].bytes, in + used, len - used);
	}
}

static void accept_all(int listener)
{
	int fd, on = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN}, events[1024];
	struct rlimit files;
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (argc != 2) {
		fputs("usage: fanfloor PORT\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
	    listen(listener, 4096) != 0) {
		perror("fanfloor");
		return 1;
	}
	epoll = epoll_create1(0);
	event.data.fd = listener;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 1024, -1);
		for (int i = 0; i < n; i++)
			if (events[i].data.fd == listener)
				accept_all(listener);
			else
				readable(events[i].data.fd);
	}
}
