#include "common/base/log.h"
#include "common/base/check.h"
#include "common/base/log_writer.h"
#include "proto/bytes.h"
#include "proto/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = LOG_LINE_BYTES_MAX,
	TEXT_MAX_BYTES = 1024,
	LINE_END_BYTES = 8,
	FLUSH_MS = 1000, /* who ends waits no longer for a log that does not flow */
};

static const char *log_name = "ringside";
static _Atomic enum log_level log_least = LOG_LEVEL_INFO;
static _Atomic bool log_json;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
	log_least = level;
}

void log_set_json(bool json)
{
	log_json = json;
}

bool log_level_parse(const char *text, enum log_level *level)
{
	for (unsigned i = 0; i < 4; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

/* Error, so that no level hides it. */
static void say_dropped(uint64_t lines)
{
	log_error("log lines dropped", "count=%llu", (unsigned long long)lines);
}

void log_flush(void)
{
	log_writer_flush(FLUSH_MS);
}

void log_set_buffer(size_t bytes)
{
	log_writer_set_room(bytes);
}

uint64_t log_dropped(void)
{
	return log_writer_dropped();
}

void log_init(const char *name)
{
	static bool registered;
	log_name = name;
	log_writer_start(say_dropped);
	if (!registered)
		atexit(log_flush);
	registered = true;
}

/* The file to open again. */
static pthread_mutex_t path_lock = PTHREAD_MUTEX_INITIALIZER;
static char *log_path;
static _Atomic unsigned opened; /* how often */
static _Thread_local unsigned opened_here;
static _Thread_local bool alone;

/* A FIFO that nobody reads yet is taken as well: open() would wait for its reader, the writer's
 * thread drops what finds no room. */
static int open_file(const char *path)
{
	static const int flags = O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, O_WRONLY | flags, 0640);
	if (fd < 0 && errno == ENXIO)
		fd = open(path, O_RDWR | flags, 0640);
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_APPEND);
	return fd;
}

static bool open_here(const char *path)
{
	int fd = open_file(path);
	if (fd < 0)
		return false;
	dup2(fd, STDERR_FILENO);
	close(fd);
	return true;
}

bool log_open(const char *path)
{
	if (path == NULL || *path == '\0')
		return true;
	log_flush(); /* what was said before belongs to the former */
	if (!open_here(path))
		return false;
	atomic_fetch_add(&opened, 1);
	return true;
}

static void reopen(void)
{
	pthread_mutex_lock(&path_lock);
	char *path = xmemdup_text(log_path, strlen(log_path));
	pthread_mutex_unlock(&path_lock);
	if (open_here(path))
		atomic_fetch_add(&opened, 1);
	else
		log_error("log file not reopened", "file=%s error=\"%s\"", path, strerror(errno));
	free(path);
}

void log_reopen(const char *path)
{
	if (*path == '\0')
		return;
	pthread_mutex_lock(&path_lock);
	free(log_path);
	log_path = xmemdup_text(path, strlen(path));
	pthread_mutex_unlock(&path_lock);
	if (!log_writer_then(reopen))
		reopen();
}

void log_thread_alone(void)
{
	alone = true;
	opened_here = atomic_load(&opened);
}

/* It does not write to it, but would keep the former file from being freed. The descriptor is
 * fetched from the process: to open the file again might take its time. */
static void follow_rotation(void)
{
	if (!alone || opened_here == atomic_load(&opened))
		return;
	opened_here = atomic_load(&opened);
	int process = pidfd_open(getpid(), 0),
	    fd = process >= 0 ? pidfd_getfd(process, STDERR_FILENO, 0) : -1;
	if (fd >= 0) {
		dup2(fd, STDERR_FILENO);
		close(fd);
	}
	if (process >= 0)
		close(process);
}

/* How many bytes of a well-formed UTF-8 character stand here; 0: none. */
static size_t utf8_len(const unsigned char *at)
{
	size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (at[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
	bool beyond = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
	return overlong || beyond ? 0 : len;
}

/* A log line is one line of text, whatever a client put into a header. */
static void make_printable(char *text)
{
	for (size_t len; *text != '\0'; text += len) {
		len = utf8_len((const unsigned char *)text);
		if (len == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) {
			*text = '?';
			len = 1;
		}
	}
}

/* Into a fixed line; what does not fit is left out, room for the end is kept. */
struct line {
	size_t len;
	char text[LINE_MAX_BYTES];
};

static void line_put(struct line *line, const char *text, size_t len)
{
	size_t room = LINE_MAX_BYTES - LINE_END_BYTES - line->len;
	len = len < room ? len : room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_print(struct line *line, const char *text)
{
	line_put(line, text, strlen(text));
}

/* Never cuts an escape or a character in two. */
static void line_json(struct line *line, const char *text, size_t len)
{
	line_print(line, "\"");
	for (size_t i = 0, step; i < len; i += step) {
		step = utf8_len((const unsigned char *)text + i);
		char escaped[2] = {'\\', text[i]};
		bool escape = text[i] == '"' || text[i] == '\\';
		if (line->len + step + 2 >= LINE_MAX_BYTES - 2 * LINE_END_BYTES)
			break;
		line_put(line, escape ? escaped : text + i, escape ? 2 : step);
	}
	line_print(line, "\"");
}

/* The next "key=value" or "key=\"va lue\"" of the text; false: what is left is no such pair. */
static bool next_pair(const char **text, struct span *key, struct span *value)
{
	const char *at = *text + strspn(*text, " ");
	size_t len = strcspn(at, "= \"");
	if (len == 0 || at[len] != '=')
		return false;
	*key = span_of(at, len);
	at += len + 1;
	bool quoted = *at == '"';
	at += quoted;
	len = strcspn(at, quoted ? "\"" : " ");
	*value = span_of(at, len);
	*text = at + len + (quoted && at[len] == '"');
	return **text == '\0' || **text == ' ';
}

static void line_json_pairs(struct line *line, const char *text)
{
	struct span key, value;
	const char *comma = ",\"fields\":{", *start = text;
	for (const char *rest = text; next_pair(&rest, &key, &value); start = rest) {
		if (line->len + key.len + 32 > LINE_MAX_BYTES - 2 * LINE_END_BYTES)
			break;
		line_print(line, comma);
		line_json(line, (const char *)key.at, key.len);
		line_print(line, ":");
		line_json(line, (const char *)value.at, value.len);
		comma = ",";
	}
	line_print(line, start != text ? "}" : "");
	start += strspn(start, " ");
	if (*start != '\0' && line->len + 32 < LINE_MAX_BYTES - 2 * LINE_END_BYTES) {
		line_print(line, ",\"detail\":");
		line_json(line, start, strlen(start));
	}
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
	if (level < log_least)
		return;
	follow_rotation();
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	char at[32], head[256], text[TEXT_MAX_BYTES];
	strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	make_printable(text);
	struct line line;
	line.len = 0;
	snprintf(head, sizeof head,
	         log_json ? "{\"at\":\"%s.%03ldZ\",\"level\":\"%s\",\"process\":\"%s\",\"event\":"
	                    "\"%s\""
	                  : "%s.%03ldZ %-5s %s %s",
	         at, now.tv_nsec / 1000000, level_names[level], log_name, event);
	line_print(&line, head);
	if (log_json) {
		line_json_pairs(&line, text);
	} else if (*text != '\0') {
		line_print(&line, " ");
		line_print(&line, text);
	}
	const char *end = log_json ? "}\n" : "\n";
	memcpy(line.text + line.len, end, strlen(end));
	log_writer_put(line.text, line.len + strlen(end));
}

noreturn void check_failed(const char *file, int line, const char *condition)
{
	log_error("cannot happen", "at=%s:%d condition=\"%s\"", file, line, condition);
	log_flush();
	abort();
}

noreturn void fatal(const char *format, ...)
{
	char text[TEXT_MAX_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_error("fatal", "%s", text);
	exit(EXIT_FAILED);
}
