/* A load generator for fan-out: many SSE readers, a few publishers, one thread. Every reader is
 * verified: each message once and in order. Latency runs from the moment a message was due (with
 * --rate) or handed to the kernel to the moment its reader had it.
 *
 *     fanload --port N --subscribe PATH [--publish PATH] [--readers N] [--streams N] [--seconds S]
 *             [--window W] [--rate R] [--publishers K] [--pipeline P] [--body-bytes B]
 *             [--silent N] [--extra-readers N] [--server-pid PID]... [--hold S] [--content]
 *             [--connect-rate R] [--warmup S] [--turns]
 *
 * %u in a PATH is the number of the stream. --silent: so many further readers read nothing.
 * --extra-readers: so many that are read but not verified. --hold: how long readers stay when
 * nothing is published. --content: what is posted is the message of a person, and its numbers
 * stand in that. --connect-rate: of readers that come, a second. Prints one line of JSON. --turns:
 * one when all have come, of nothing, and one for each turn that a line of standard input asks for:
 * --warmup and --seconds, from the first message handed over to the last one delivered. So two
 * loads on one server take turns, and what else the machine does falls on both. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTING_MAX = 64,
	PER_ADDRESS = 20000, /* source ports of one 127.0.0.x */
	READ_BYTES = 1 << 20,
	WINDOW_ROOM = 4096,
	BUCKETS = 64 * 40, /* 64 per power of two, in microseconds */
	PIDS_MAX = 64,
	PUBLISHERS_MAX = 64,
};

enum kind { READER, SILENT, EXTRA, PUBLISHER };

struct connection {
	int fd;
	enum kind kind;
	uint32_t stream;
	bool open;     /* its answer has begun */
	uint64_t seen; /* messages */
	char *rest;    /* of a line that is not complete */
	size_t rest_len, rest_room;
	/* publishers */
	uint32_t flying, next_stream;
	char *out;
	size_t out_len, out_at, out_room, body_left;
};

struct stream {
	uint64_t published, delivered; /* delivered: to every reader */
	uint32_t readers;
	uint32_t *got; /* WINDOW_ROOM: how many readers have message n */
};

static struct {
	int port, epoll;
	const char *subscribe, *publish;
	const char *form[2];       /* of a body: before its number, behind its time */
	const char *number, *time; /* what is before each in an event */
	uint32_t readers, streams, window, publishers, pipeline, silent, extra_readers, body_bytes;
	double seconds, rate, hold, warmup, connect_rate;
	int pids[PIDS_MAX];
	unsigned pids_count;
	struct stream *all_streams;
	struct connection *senders[PUBLISHERS_MAX];
	uint32_t begun, opened, connecting;
	uint64_t begin_ns, published, deliveries, wrong, refused, reads;
	double connect_s;
	bool measuring, turns;
	uint64_t latency[BUCKETS], latencies, latency_max_us;
} load = {.form = {"{\"seq\":", "\"pad\":\""},
          .number = "\"seq\":",
          .time = "\"ts\":",
          .streams = 1,
          .window = 16,
          .publishers = 1,
          .pipeline = 1,
          .body_bytes = 200,
          .seconds = 5,
          .warmup = 1,
          .hold = 1};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "fanload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- latencies ---- */

static unsigned bucket_of(uint64_t us)
{
	if (us < 64)
		return (unsigned)us;
	unsigned shift = 63u - (unsigned)__builtin_clzll(us) - 6;
	unsigned bucket = (shift + 1) * 64 + (unsigned)(us >> shift) - 64;
	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double percentile_ms(double part)
{
	uint64_t wanted = (uint64_t)(part * (double)load.latencies), sum = 0;
	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += load.latency[i];
		if (sum > wanted)
			return (i < 64 ? i : (double)((uint64_t)(i % 64 + 64) << (i / 64 - 1))) /
			       1000.0;
	}
	return 0;
}

static void count_latency(uint64_t sent_ns, uint64_t at_ns)
{
	uint64_t us = at_ns > sent_ns ? (at_ns - sent_ns) / 1000 : 0;
	load.latency[bucket_of(us)]++;
	load.latencies++;
	if (us > load.latency_max_us)
		load.latency_max_us = us;
}

/* ---- connections ---- */

static void watch(struct connection *c, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};
	if (epoll_ctl(load.epoll, operation, c->fd, &event) != 0)
		die("epoll_ctl");
}

static struct connection *connection_begin(enum kind kind, uint32_t stream)
{
	struct connection *c = calloc(1, sizeof *c);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1, small = 4096;
	c->kind = kind;
	c->stream = stream;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + load.begun++ / PER_ADDRESS);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (kind == SILENT)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
		die("bind");
	if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
		die("connect");
	watch(c, EPOLL_CTL_ADD, kind == PUBLISHER ? EPOLLIN : EPOLLOUT);
	return c;
}

static void print_path(const char *form, uint32_t stream, char *out, size_t room)
{
	const char *mark = strstr(form, "%u");
	if (mark != NULL)
		snprintf(out, room, "%.*s%u%s", (int)(mark - form), form, stream, mark + 2);
	else
		snprintf(out, room, "%s", form);
}

static void ask(struct connection *c)
{
	char path[512], text[768];
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		errno = error;
		die("connect");
	}
	print_path(load.subscribe, c->stream, path, sizeof path);
	int n = snprintf(text, sizeof text,
	                 "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
	                 path);
	if (write(c->fd, text, (size_t)n) != n)
		die("write");
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* ---- readers ---- */

static uint64_t number_behind(const char *at, const char *end)
{
	uint64_t n = 0;
	while (at < end && *at >= '0' && *at <= '9')
		n = n * 10 + (uint64_t)(*at++ - '0');
	return n;
}

static void message(struct connection *c, uint64_t seq, uint64_t sent_ns, uint64_t at_ns)
{
	struct stream *s = &load.all_streams[c->stream];
	if (seq != c->seen)
		load.wrong++;
	c->seen = seq + 1;
	if (load.measuring) {
		load.deliveries++;
		count_latency(sent_ns, at_ns);
	}
	if (++s->got[seq % WINDOW_ROOM] == s->readers)
		while (s->delivered < s->published &&
		       s->got[s->delivered % WINDOW_ROOM] == s->readers)
			s->got[s->delivered++ % WINDOW_ROOM] = 0;
}

static void line(struct connection *c, const char *at, const char *end, uint64_t at_ns)
{
	size_t number_len = strlen(load.number), time_len = strlen(load.time);
	if (end - at < 5 || memcmp(at, "data:", 5) != 0)
		return;
	while ((at = memmem(at, (size_t)(end - at), load.number, number_len)) != NULL) {
		const char *sent = memmem(at, (size_t)(end - at), load.time, time_len);
		if (sent == NULL)
			return;
		message(c, number_behind(at + number_len, end), number_behind(sent + time_len, end),
		        at_ns);
		at = sent;
	}
}

static void keep(struct connection *c, const char *at, size_t len)
{
	if (c->rest_room < len) {
		c->rest_room = len * 2;
		c->rest = realloc(c->rest, c->rest_room);
	}
	memmove(c->rest, at, len);
	c->rest_len = len;
}

static void lines(struct connection *c, const char *at, size_t len, uint64_t at_ns)
{
	const char *end = at + len, *stop;
	while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		line(c, at, stop, at_ns);
		at = stop + 1;
	}
	keep(c, at, (size_t)(end - at));
}

static void opened(struct connection *c, const char *head, size_t len)
{
	if (len < 12 || memcmp(head + 9, "200", 3) != 0) {
		load.refused++;
		fprintf(stderr, "fanload: refused: %.*s\n", (int)(len < 200 ? len : 200), head);
	}
	c->open = true;
	load.connecting--;
	load.opened++;
	if (c->kind == SILENT)
		epoll_ctl(load.epoll, EPOLL_CTL_DEL, c->fd, NULL);
}

static void read_stream(struct connection *c)
{
	static char buffer[2 * READ_BYTES];
	memcpy(buffer, c->rest, c->rest_len);
	ssize_t n = read(c->fd, buffer + c->rest_len, READ_BYTES);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (c->kind != EXTRA)
			load.wrong++; /* the server ended it */
		epoll_ctl(load.epoll, EPOLL_CTL_DEL, c->fd, NULL);
		return;
	}
	load.reads++;
	if (!c->open)
		opened(c, buffer, (size_t)n);
	if (c->kind == READER)
		lines(c, buffer, c->rest_len + (size_t)n, now_ns());
}

/* ---- publishers ---- */

static void put_out(struct connection *c, const char *at, size_t len)
{
	if (c->out_len + len > c->out_room) {
		c->out_room = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_room);
	}
	memcpy(c->out + c->out_len, at, len);
	c->out_len += len;
}

static void post(struct connection *c, uint32_t stream, uint64_t due_ns)
{
	char head[768], body[65536], path[512];
	struct stream *s = &load.all_streams[stream];
	int n = snprintf(body, sizeof body, "%s%llu,%s%llu,%s", load.form[0],
	                 (unsigned long long)s->published, load.time, (unsigned long long)due_ns,
	                 load.form[1]);
	while (n < (int)load.body_bytes - 2)
		body[n++] = (char)('a' + s->published % 26);
	memcpy(body + n, "\"}", 2);
	n += 2;
	print_path(load.publish, stream, path, sizeof path);
	int head_len =
	        snprintf(head, sizeof head,
	                 "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	                 "Content-Length: %d\r\n\r\n",
	                 path, n);
	put_out(c, head, (size_t)head_len);
	put_out(c, body, (size_t)n);
	s->published++;
	load.published++;
	c->flying++;
}

static void flush(struct connection *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = write(c->fd, c->out + c->out_at, c->out_len - c->out_at);
		if (n < 0 && errno == EAGAIN)
			return; /* tried again in the next turn */
		if (n < 0)
			die("publisher");
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
}

/* As many as window, pipeline and rate allow. */
static void publish(struct connection *c, uint32_t number)
{
	uint32_t idle = 0;
	while (c->flying < load.pipeline && idle < load.streams) {
		uint32_t stream = c->next_stream;
		struct stream *s = &load.all_streams[stream];
		uint64_t due_ns = now_ns();
		if (load.rate > 0) {
			due_ns = load.begin_ns +
			         (uint64_t)((double)load.published / load.rate * 1e9);
			if (due_ns > now_ns())
				break;
		}
		c->next_stream = (stream + load.publishers) % load.streams;
		if (c->next_stream % load.publishers != number % load.streams)
			c->next_stream = number % load.streams;
		if (load.rate <= 0 && s->published - s->delivered >= load.window) {
			idle += load.publishers;
			continue;
		}
		if (s->published - s->delivered >= WINDOW_ROOM - 1)
			break;
		post(c, stream, due_ns);
	}
	flush(c);
}

static void read_answers(struct connection *c)
{
	static char buffer[READ_BYTES];
	memcpy(buffer, c->rest, c->rest_len);
	ssize_t n = read(c->fd, buffer + c->rest_len, sizeof buffer - c->rest_len);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("publisher's connection");
	char *at = buffer, *end = buffer + c->rest_len + (size_t)n, *stop;
	for (;;) {
		size_t skip = (size_t)(end - at) < c->body_left ? (size_t)(end - at) : c->body_left;
		at += skip;
		c->body_left -= skip;
		if (c->body_left > 0 ||
		    (stop = memmem(at, (size_t)(end - at), "\r\n\r\n", 4)) == NULL)
			break;
		*stop = '\0';
		if (at[9] != '2')
			fprintf(stderr, "fanload: %.100s\n", at), load.refused++;
		char *length = strcasestr(at, "content-length:");
		c->body_left = length != NULL ? strtoul(length + 15, NULL, 10) : 0;
		c->flying--;
		at = stop + 4;
	}
	keep(c, at, (size_t)(end - at));
}

/* ---- the run ---- */

struct cpu {
	double user_s, all_s;
};

/* To the nanosecond; only what of it was spent in user mode is counted in ticks. */
static double process_cpu_s(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct cpu server_cpu(void)
{
	struct cpu sum = {0, 0};
	double tick_s = 1 / (double)sysconf(_SC_CLK_TCK);
	for (unsigned i = 0; i < load.pids_count; i++) {
		char path[64], text[1024];
		unsigned long user;
		sum.all_s += process_cpu_s(load.pids[i]);
		snprintf(path, sizeof path, "/proc/%d/stat", load.pids[i]);
		FILE *file = fopen(path, "r");
		if (file == NULL)
			continue;
		size_t len = fread(text, 1, sizeof text - 1, file);
		fclose(file);
		text[len] = '\0';
		const char *at = strrchr(text, ')');
		if (at != NULL &&
		    sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu", &user) == 1)
			sum.user_s += (double)user * tick_s;
	}
	return sum;
}

static void turn(int timeout_ms)
{
	struct epoll_event events[1024];
	int n = epoll_wait(load.epoll, events, 1024, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;
		if (c->kind == PUBLISHER)
			read_answers(c);
		else if (!c->open && (events[i].events & EPOLLOUT))
			ask(c);
		else
			read_stream(c);
	}
}

/* May another one come, of those who have begun since `begin_ns`? */
static bool may_begin(uint64_t begin_ns, uint32_t begun)
{
	return load.connecting < CONNECTING_MAX &&
	       (load.connect_rate <= 0 ||
	        (double)begun < (double)(now_ns() - begin_ns) * load.connect_rate / 1e9);
}

static void open_readers(enum kind kind, uint32_t count)
{
	uint64_t begin_ns = now_ns();
	for (uint32_t i = 0; i < count;) {
		while (i < count && may_begin(begin_ns, i)) {
			uint32_t stream = i++ % load.streams;
			connection_begin(kind, stream);
			load.connecting++;
			if (kind == READER)
				load.all_streams[stream].readers++;
		}
		turn(load.connect_rate > 0 ? 1 : 1000);
	}
	while (load.connecting > 0)
		turn(1000);
}

static void publish_until(uint64_t until_ns)
{
	while (now_ns() < until_ns) {
		for (uint32_t i = 0; i < load.publishers; i++)
			publish(load.senders[i], i);
		turn(load.rate > 0 ? 1 : 100);
	}
}

static bool all_delivered(void)
{
	for (uint32_t i = 0; i < load.streams; i++)
		if (load.all_streams[i].delivered < load.all_streams[i].published)
			return false;
	return true;
}

static void deliver_all(void)
{
	uint64_t give_up_ns = now_ns() + 10000000000u;
	while (!all_delivered() && now_ns() < give_up_ns) {
		for (uint32_t i = 0; i < load.publishers; i++)
			flush(load.senders[i]);
		turn(10);
	}
}

static void warm_up(void)
{
	publish_until(now_ns() + (uint64_t)(load.warmup * 1e9));
	if (load.turns)
		deliver_all();
}

static void begin(void)
{
	for (uint32_t i = 0; i < load.publishers; i++) {
		load.senders[i] = connection_begin(PUBLISHER, 0);
		load.senders[i]->next_stream = i % load.streams;
	}
	load.begin_ns = now_ns();
	warm_up();
}

/* Of messages handed over in this time; with `whole`, until all are delivered. */
static double measure(struct cpu *spent, bool whole)
{
	load.measuring = true;
	load.reads = load.deliveries = 0;
	struct cpu before = server_cpu();
	uint64_t begin_ns = now_ns();
	publish_until(begin_ns + (uint64_t)(load.seconds * 1e9));
	if (whole)
		deliver_all();
	uint64_t end_ns = now_ns();
	struct cpu after = server_cpu();
	*spent = (struct cpu){after.user_s - before.user_s, after.all_s - before.all_s};
	load.measuring = false;
	if (!whole)
		deliver_all();
	return (double)(end_ns - begin_ns) / 1e9;
}

static uint64_t missing(void)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < load.streams; i++)
		count += load.all_streams[i].published - load.all_streams[i].delivered;
	return count;
}

static void take_options(int argc, char **argv)
{
	static const struct option options[] = {
	        {"port", 1, NULL, 'p'},          {"subscribe", 1, NULL, 's'},
	        {"publish", 1, NULL, 'P'},       {"readers", 1, NULL, 'n'},
	        {"streams", 1, NULL, 'C'},       {"seconds", 1, NULL, 'd'},
	        {"window", 1, NULL, 'w'},        {"rate", 1, NULL, 'r'},
	        {"publishers", 1, NULL, 'k'},    {"pipeline", 1, NULL, 'l'},
	        {"body-bytes", 1, NULL, 'b'},    {"silent", 1, NULL, 'S'},
	        {"extra-readers", 1, NULL, 'X'}, {"server-pid", 1, NULL, 'i'},
	        {"hold", 1, NULL, 'h'},          {"warmup", 1, NULL, 'W'},
	        {"content", 0, NULL, 'N'},       {"connect-rate", 1, NULL, 'R'},
	        {"turns", 0, NULL, 'T'},         {NULL, 0, NULL, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint32_t number = optarg != NULL ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
		switch (c) {
		case 'p':
			load.port = (int)number;
			break;
		case 's':
			load.subscribe = optarg;
			break;
		case 'P':
			load.publish = optarg;
			break;
		case 'n':
			load.readers = number;
			break;
		case 'C':
			load.streams = number;
			break;
		case 'd':
			load.seconds = strtod(optarg, NULL);
			break;
		case 'w':
			load.window = number;
			break;
		case 'r':
			load.rate = strtod(optarg, NULL);
			break;
		case 'k':
			load.publishers = number < PUBLISHERS_MAX ? number : PUBLISHERS_MAX;
			break;
		case 'l':
			load.pipeline = number;
			break;
		case 'b':
			load.body_bytes = number < 60000 ? number : 60000;
			break;
		case 'S':
			load.silent = number;
			break;
		case 'X':
			load.extra_readers = number;
			break;
		case 'W':
			load.warmup = strtod(optarg, NULL);
			break;
		case 'R':
			load.connect_rate = strtod(optarg, NULL);
			break;
		case 'N':
			load.form[0] = "{\"content\":\"seq=";
			load.form[1] = "";
			load.number = "seq=";
			load.time = "ts=";
			break;
		case 'T':
			load.turns = true;
			break;
		case 'h':
			load.hold = strtod(optarg, NULL);
			break;
		case 'i':
			if (load.pids_count < PIDS_MAX)
				load.pids[load.pids_count++] = (int)number;
			break;
		default:
			exit(2);
		}
	}
	if (load.port == 0 || load.subscribe == NULL) {
		fputs("fanload: --port and --subscribe are needed\n", stderr);
		exit(2);
	}
}

static void report(double seconds, const struct cpu *spent)
{
	printf("{\"readers\":%u,\"connect_per_s\":%.0f,\"deliveries\":%llu,\"seconds\":%.3f,"
	       "\"per_second\":%.0f,\"server_cpu_s\":%.4f,\"server_user_s\":%.2f,\"published\":%"
	       "llu,\"messages_per_read\":%.2f,"
	       "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.1f,\"wrong\":%llu,\"missing\":%llu,"
	       "\"refused\":%llu}\n",
	       load.opened, (double)load.readers / load.connect_s,
	       (unsigned long long)load.deliveries, seconds,
	       seconds > 0 ? (double)load.deliveries / seconds : 0, spent->all_s, spent->user_s,
	       (unsigned long long)load.published,
	       load.reads > 0 ? (double)load.deliveries / (double)load.reads : 0,
	       percentile_ms(0.5), percentile_ms(0.99), (double)load.latency_max_us / 1000,
	       (unsigned long long)load.wrong, (unsigned long long)missing(),
	       (unsigned long long)load.refused);
	fflush(stdout);
}

/* Meanwhile what comes is read. */
static bool asked_for(void)
{
	char c = 0;
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	while (poll(&input, 1, 0) == 0)
		turn(20);
	while (c != '\n')
		if (read(STDIN_FILENO, &c, 1) != 1)
			return false;
	return true;
}

static void take_turns(void)
{
	struct cpu spent = {0, 0};
	report(0, &spent);
	while (asked_for()) {
		warm_up();
		double seconds = measure(&spent, true);
		report(seconds, &spent);
	}
}

int main(int argc, char **argv)
{
	take_options(argc, argv);
	struct rlimit files = {1 << 20, 1 << 20};
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	load.epoll = epoll_create1(0);
	load.all_streams = calloc(load.streams, sizeof *load.all_streams);
	for (uint32_t i = 0; i < load.streams; i++)
		load.all_streams[i].got = calloc(WINDOW_ROOM, sizeof(uint32_t));
	uint64_t begin_ns = now_ns();
	open_readers(READER, load.readers);
	load.connect_s = (double)(now_ns() - begin_ns) / 1e9;
	open_readers(SILENT, load.silent);
	open_readers(EXTRA, load.extra_readers);
	struct cpu spent = {0, 0};
	double seconds = load.hold;
	if (load.publish != NULL)
		begin();
	if (load.turns) {
		take_turns();
	} else {
		if (load.publish != NULL)
			seconds = measure(&spent, false);
		else
			for (uint64_t until_ns = now_ns() + (uint64_t)(load.hold * 1e9);
			     now_ns() < until_ns;)
				turn(100);
		report(seconds, &spent);
	}
	return load.wrong + missing() + load.refused == 0 ? 0 : 1;
}
