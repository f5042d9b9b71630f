/* A light HTTP/1.1 load generator: one thread, epoll, keep-alive, as many requests in flight per
 * connection as asked for. Every answer's status is verified.
 *
 *     httpload --port N --path P [--method POST] [--connections 1] [--depth 1] [--seconds 3]
 *              [--streams N] [--random] [--body-bytes N | --json-bytes N] [--producers] [--setup]
 *              [--follow]
 *
 * --streams N    request k of connection c goes to P/((c + k) mod N)
 * --random       ... but to any of the N, in an order that is the same in every run
 * --producers    Producer-Id per connection, with rising Producer-Seq
 * --setup        only creates the stream(s), then ends
 * --follow       reads from the beginning to the tail, over pages, and again
 *
 * Prints one line of JSON: requests, seconds, per_second, bad, bytes, p50_us, p99_us. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 4096,
	DEPTH_MAX = 256,
	HEAD_BYTES_MAX = 16384,
	BUCKETS = 64 * 40, /* 64 per power of two, in microseconds */
};

enum body { BODY_NONE, BODY_LENGTH, BODY_CHUNK_SIZE, BODY_CHUNK, BODY_CHUNK_END };

struct connection {
	int fd;
	uint32_t index;
	uint64_t requests; /* made so far */
	uint64_t random;   /* state of the generator; never 0 */
	char *out;
	size_t out_len, out_at, out_size;
	char head[HEAD_BYTES_MAX];
	size_t head_len;
	enum body body;
	uint64_t left; /* bytes of the body or chunk still to come */
	bool last_chunk;
	char offset[64]; /* --follow: where to go on */
	bool at_tail;
	uint64_t sent_us[DEPTH_MAX]; /* ring of send times; depth entries are in flight */
	uint32_t sent_head, flying;
};

struct load {
	const char *method, *path, *content_type;
	int port;
	uint32_t connections, depth, streams;
	double seconds;
	char *body;
	size_t body_bytes;
	bool producers, follow, random;
	uint64_t end_us;
	uint64_t requests, bad, bytes;
	int bad_status;
	uint64_t histogram[BUCKETS];
	int epoll;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "httpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static size_t bucket_of(uint64_t us)
{
	if (us < 64)
		return us;
	unsigned power = 63 - (unsigned)__builtin_clzll(us);
	size_t at = (size_t)(power - 5) * 64 + (size_t)(us >> (power - 6)) - 64;
	return at < BUCKETS ? at : BUCKETS - 1;
}

static uint64_t bucket_us(size_t at)
{
	return at < 64 ? at : (uint64_t)(64 + at % 64) << (at / 64 - 1);
}

static uint64_t percentile(const struct load *load, double part)
{
	uint64_t want = (uint64_t)((double)load->requests * part), seen = 0;
	for (size_t i = 0; i < BUCKETS; i++) {
		seen += load->histogram[i];
		if (seen > want)
			return bucket_us(i);
	}
	return 0;
}

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void push(struct connection *c, const void *bytes, size_t len)
{
	if (c->out_len + len > c->out_size) {
		c->out_size = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_size);
		if (c->out == NULL)
			die("memory");
	}
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
}

/* xorshift64 */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t stream_of(const struct load *load, struct connection *c)
{
	uint64_t k = load->random ? random_next(&c->random) >> 20 : c->index + c->requests;
	return k % load->streams;
}

static void target_of(const struct load *load, struct connection *c, char *target, size_t size)
{
	if (load->streams > 1)
		snprintf(target, size, "%s/%llu", load->path,
		         (unsigned long long)stream_of(load, c));
	else if (load->follow)
		snprintf(target, size, "%s?offset=%s", load->path, c->offset);
	else
		snprintf(target, size, "%s", load->path);
}

static void make_request(struct load *load, struct connection *c)
{
	char head[1024], target[512];
	target_of(load, c, target, sizeof target);
	int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
	                 load->method, target, load->port);
	if (load->body != NULL)
		n += snprintf(head + n, sizeof head - (size_t)n,
		              "Content-Type: %s\r\nContent-Length: %zu\r\n", load->content_type,
		              load->body_bytes);
	if (load->producers)
		n += snprintf(head + n, sizeof head - (size_t)n,
		              "Producer-Id: p%u\r\nProducer-Epoch: 0\r\nProducer-Seq: %llu\r\n",
		              c->index, (unsigned long long)c->requests);
	n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
	push(c, head, (size_t)n);
	if (load->body != NULL)
		push(c, load->body, load->body_bytes);
	c->sent_us[(c->sent_head + c->flying++) % DEPTH_MAX] = now_us();
	c->requests++;
}

static void flush(struct load *load, struct connection *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
		                 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("send");
		c->out_at += (size_t)n;
	}
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
	struct epoll_event event = {.events = EPOLLIN | (c->out_len ? EPOLLOUT : 0), .data.ptr = c};
	if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
		die("epoll_ctl");
}

static void refill(struct load *load, struct connection *c)
{
	if (now_us() < load->end_us)
		while (c->flying < load->depth)
			make_request(load, c);
	if (c->out_len > 0)
		flush(load, c);
}

static const char *field(const char *head, const char *name)
{
	const char *at = strcasestr(head, name);
	return at == NULL ? NULL : at + strlen(name);
}

/* The answer to the oldest request has ended. */
static void answered(struct load *load, struct connection *c)
{
	uint64_t us = now_us() - c->sent_us[c->sent_head];
	c->sent_head = (c->sent_head + 1) % DEPTH_MAX;
	c->flying--;
	load->histogram[bucket_of(us)]++;
	load->requests++;
	c->body = BODY_NONE;
	c->head_len = 0;
	if (c->at_tail)
		snprintf(c->offset, sizeof c->offset, "-1");
}

/* A whole head stands in c->head, ended by NUL. */
static void on_head(struct load *load, struct connection *c)
{
	int status = atoi(c->head + 9);
	if (status < 200 || status > 204) {
		load->bad++;
		load->bad_status = status;
	}
	if (load->follow) {
		const char *next = field(c->head, "\r\nstream-next-offset: ");
		if (next != NULL)
			snprintf(c->offset, sizeof c->offset, "%.*s", (int)strcspn(next, "\r"),
			         next);
		c->at_tail = next == NULL || field(c->head, "\r\nstream-up-to-date: true") != NULL;
	}
	const char *length = field(c->head, "\r\ncontent-length: ");
	c->last_chunk = false;
	c->left = length != NULL ? strtoull(length, NULL, 10) : 0;
	if (field(c->head, "\r\ntransfer-encoding: chunked") != NULL)
		c->body = BODY_CHUNK_SIZE;
	else
		c->body = BODY_LENGTH;
	c->head_len = 0;
	if (c->body == BODY_LENGTH && (c->left == 0 || status == 204 || load->method[0] == 'H'))
		answered(load, c);
}

/* Gathers bytes until `end`; returns how many were taken, *whole when the end has come. */
static size_t gather(struct connection *c, const char *bytes, size_t len, const char *end,
                     bool *whole)
{
	size_t end_len = strlen(end), taken = 0;
	*whole = false;
	while (taken < len && !*whole) {
		if (c->head_len + 1 >= sizeof c->head) {
			errno = EMSGSIZE;
			die("answer's head");
		}
		c->head[c->head_len++] = bytes[taken++];
		*whole = c->head_len >= end_len &&
		         memcmp(c->head + c->head_len - end_len, end, end_len) == 0;
	}
	c->head[c->head_len] = '\0';
	return taken;
}

static void on_chunk_size(struct connection *c)
{
	c->left = strtoull(c->head, NULL, 16);
	c->last_chunk = c->left == 0;
	c->body = c->last_chunk ? BODY_CHUNK_END : BODY_CHUNK;
	c->head_len = 0;
}

static size_t take(struct load *load, struct connection *c, const char *bytes, size_t len)
{
	bool whole = false;
	size_t n = 0;
	switch (c->body) {
	case BODY_NONE:
		n = gather(c, bytes, len, "\r\n\r\n", &whole);
		if (whole)
			on_head(load, c);
		return n;
	case BODY_CHUNK_SIZE:
		n = gather(c, bytes, len, "\r\n", &whole);
		if (whole)
			on_chunk_size(c);
		return n;
	case BODY_CHUNK_END:
		n = gather(c, bytes, len, "\r\n", &whole);
		if (whole && c->last_chunk)
			answered(load, c);
		else if (whole)
			c->body = BODY_CHUNK_SIZE, c->head_len = 0;
		return n;
	case BODY_LENGTH:
	case BODY_CHUNK:
		n = len < c->left ? len : (size_t)c->left;
		c->left -= n;
		load->bytes += n;
		if (c->left == 0 && c->body == BODY_LENGTH)
			answered(load, c);
		else if (c->left == 0)
			c->body = BODY_CHUNK_END;
		return n;
	}
	return len;
}

static void on_readable(struct load *load, struct connection *c)
{
	static char buffer[1 << 20];
	ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("the server closed a connection");
	for (size_t at = 0; at < (size_t)n;)
		at += take(load, c, buffer + at, (size_t)n - at);
	refill(load, c);
}

static void run(struct load *load)
{
	struct connection **all = calloc(load->connections, sizeof *all);
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (all == NULL || load->epoll < 0)
		die("start");
	for (uint32_t i = 0; i < load->connections; i++) {
		struct connection *c = all[i] = calloc(1, sizeof *c);
		if (c == NULL)
			die("memory");
		c->index = i;
		c->random = (i + 1) * 0x9e3779b97f4a7c15u;
		c->fd = connect_to(load->port);
		snprintf(c->offset, sizeof c->offset, "-1");
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
			die("epoll_ctl");
	}
	uint64_t began_us = now_us();
	load->end_us = began_us + (uint64_t)(load->seconds * 1e6);
	for (uint32_t i = 0; i < load->connections; i++)
		refill(load, all[i]);
	for (uint32_t flying = 1; flying > 0;) {
		struct epoll_event events[256];
		int n = epoll_wait(load->epoll, events, 256, 30000);
		if (n == 0) {
			errno = ETIMEDOUT;
			die("no answer");
		}
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			if (events[i].events & EPOLLOUT)
				flush(load, c);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				on_readable(load, c);
		}
		flying = 0;
		if (now_us() >= load->end_us)
			for (uint32_t i = 0; i < load->connections; i++)
				flying += all[i]->flying;
		else
			flying = 1;
	}
	load->seconds = (double)(now_us() - began_us) / 1e6;
	for (uint32_t i = 0; i < load->connections; i++) {
		close(all[i]->fd);
		free(all[i]->out);
		free(all[i]);
	}
	free(all);
	close(load->epoll);
}

static void report(const struct load *load)
{
	printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"bad\":%llu,\"bad_"
	       "status\":%d,"
	       "\"bytes\":%llu,\"p50_us\":%llu,\"p99_us\":%llu}\n",
	       (unsigned long long)load->requests, load->seconds,
	       (double)load->requests / load->seconds, (unsigned long long)load->bad,
	       load->bad_status, (unsigned long long)load->bytes,
	       (unsigned long long)percentile(load, 0.5),
	       (unsigned long long)percentile(load, 0.99));
}

/* Reads until `count` answers have ended, all of them without a body and none a refusal. */
static void setup_answers(int fd, uint32_t count)
{
	static char answer[65536];
	size_t len = 0;
	while (count > 0) {
		ssize_t n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
		if (n <= 0)
			die("create");
		answer[len += (size_t)n] = '\0';
		char *at = answer, *end;
		for (; (end = strstr(at, "\r\n\r\n")) != NULL; at = end + 4, count--)
			if (at[9] != '2')
				die("create");
		len -= (size_t)(at - answer);
		memmove(answer, at, len);
	}
}

/* Creates the streams, some at a time. */
static void setup(const struct load *load)
{
	enum { AT_A_TIME = 64 };
	int fd = connect_to(load->port);
	for (uint32_t i = 0, flying = 0; i < load->streams; i++) {
		char target[512], head[1024];
		if (load->streams > 1)
			snprintf(target, sizeof target, "%s/%u", load->path, i);
		else
			snprintf(target, sizeof target, "%s", load->path);
		int n = snprintf(head, sizeof head,
		                 "PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: %s\r\n"
		                 "Content-Length: 0\r\n\r\n",
		                 target, load->port, load->content_type);
		if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
			die("create");
		if (++flying == AT_A_TIME || i + 1 == load->streams) {
			setup_answers(fd, flying);
			flying = 0;
		}
	}
	close(fd);
}

/* Bytes that any content type takes: a JSON string when it must be JSON. */
static void fill_body(struct load *load, const char *bytes, bool json)
{
	load->body_bytes = strtoull(bytes, NULL, 10);
	if (load->body_bytes < 2)
		load->body_bytes = 2;
	load->body = malloc(load->body_bytes);
	if (load->body == NULL)
		die("memory");
	memset(load->body, '*', load->body_bytes);
	if (json)
		load->body[0] = load->body[load->body_bytes - 1] = '"';
	load->content_type = json ? "application/json" : "application/octet-stream";
}

static uint32_t number(const char *text, uint32_t min, uint32_t max)
{
	unsigned long n = strtoul(text, NULL, 10);
	if (n < min || n > max) {
		errno = ERANGE;
		die(text);
	}
	return (uint32_t)n;
}

int main(int argc, char **argv)
{
	struct load load = {.method = "GET",
	                    .content_type = "application/octet-stream",
	                    .connections = 1,
	                    .depth = 1,
	                    .streams = 1,
	                    .seconds = 3};
	bool only_setup = false;
	static const struct option options[] = {
	        {"port", 1, 0, 'p'},       {"path", 1, 0, 'P'},
	        {"method", 1, 0, 'm'},     {"connections", 1, 0, 'c'},
	        {"depth", 1, 0, 'd'},      {"seconds", 1, 0, 's'},
	        {"streams", 1, 0, 'n'},    {"random", 0, 0, 'R'},
	        {"body-bytes", 1, 0, 'b'}, {"json-bytes", 1, 0, 'j'},
	        {"producers", 0, 0, 'r'},  {"setup", 0, 0, 'S'},
	        {"follow", 0, 0, 'f'},     {0, 0, 0, 0}};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'p':
			load.port = (int)number(optarg, 1, 65535);
			break;
		case 'P':
			load.path = optarg;
			break;
		case 'm':
			load.method = optarg;
			break;
		case 'c':
			load.connections = number(optarg, 1, CONNECTIONS_MAX);
			break;
		case 'd':
			load.depth = number(optarg, 1, DEPTH_MAX);
			break;
		case 's':
			load.seconds = strtod(optarg, NULL);
			break;
		case 'n':
			load.streams = number(optarg, 1, 1000000);
			break;
		case 'R':
			load.random = true;
			break;
		case 'b':
			fill_body(&load, optarg, false);
			break;
		case 'j':
			fill_body(&load, optarg, true);
			break;
		case 'r':
			load.producers = true;
			break;
		case 'S':
			only_setup = true;
			break;
		case 'f':
			load.follow = true;
			break;
		default:
			return 2;
		}
	}
	if (load.port == 0 || load.path == NULL || optind != argc) {
		fputs("usage: httpload --port N --path P [OPTION...], see the head of httpload.c\n",
		      stderr);
		return 2;
	}
	if (only_setup) {
		setup(&load);
	} else {
		run(&load);
		report(&load);
	}
	free(load.body);
	return load.bad > 0 ? 3 : 0;
}
