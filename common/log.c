#include "common/log.h"
#include "common/check.h"
#include "proto/roles.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static const char *log_name = "ringside";
static enum log_level log_least = LOG_LEVEL_INFO;
static bool log_json;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *name)
{
	log_name = name;
}

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

bool log_open(const char *path)
{
	if (path == NULL || *path == '\0')
		return true;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0)
		return false;
	dup2(fd, STDERR_FILENO);
	close(fd);
	return true;
}

/* A log line is one line, whatever a client put into a header. */
static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static int json_escape(char *out, size_t room, const char *text)
{
	size_t n = 0;
	for (; *text != '\0' && n + 2 < room; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n] = '\0';
	return (int)n;
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
	if (level < log_least)
		return;
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	char at[32], text[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES];
	strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	make_printable(text);
	int len;
	if (log_json) {
		char escaped[LINE_MAX_BYTES - 256];
		json_escape(escaped, sizeof escaped, text);
		len = snprintf(line, sizeof line,
		               "{\"at\":\"%s.%03ldZ\",\"level\":\"%s\",\"process\":\"%s\","
		               "\"event\":\"%s\",\"detail\":\"%s\"}\n",
		               at, now.tv_nsec / 1000000, level_names[level], log_name, event, escaped);
	} else {
		len = snprintf(line, sizeof line, "%s.%03ldZ %-5s %s %s%s%s\n", at,
		               now.tv_nsec / 1000000, level_names[level], log_name, event,
		               *text ? " " : "", text);
	}
	if (len >= (int)sizeof line) {
		len = sizeof line - 1;
		line[len - 1] = '\n';
	}
	ssize_t written = write(STDERR_FILENO, line, (size_t)len);
	(void)written; /* nowhere to say that the log is full */
}

noreturn void check_failed(const char *file, int line, const char *condition)
{
	log_error("cannot happen", "at=%s:%d condition=\"%s\"", file, line, condition);
	abort();
}

noreturn void fatal(const char *format, ...)
{
	char text[LINE_MAX_BYTES / 2];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_error("fatal", "%s", text);
	exit(EXIT_FAILED);
}
