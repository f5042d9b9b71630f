/* One event, one line, on standard error or in the log file:
 *     2026-01-02T03:04:05.678Z info  sse-0 ready url=http://127.0.0.1:4437
 * or, with log.format json, the same as
 *     {"at":"...","level":"info","process":"sse-0","event":"ready","fields":{"url":"http://..."}}
 * where what is no "key=value" or key="val ue" goes into "detail".
 * Lines are written whole, so processes may share the descriptor, by a thread of its own: nobody
 * who logs waits (common/base/log_writer.h). Secrets never come here: callers log names, not
 * tokens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* `name` is kept (not copied): "ringside", "sse-0". Starts the thread; without it, in small tools,
 * lines are written at once. */
void log_init(const char *name);
/* How many bytes of lines may wait (log.buffer_bytes); what is beyond is dropped, counted and said.
 */
void log_set_buffer(size_t bytes);
/* Lines dropped by this process. */
uint64_t log_dropped(void);
/* Waits until what was logged is written, a second at most. At exit() and before an abort by
 * check() it is called; before _exit() one calls it. */
void log_flush(void);
void log_set_level(enum log_level level);
void log_set_json(bool json);
bool log_level_parse(const char *text, enum log_level *level);

/* Appends to a file instead of standard error. NULL or "": standard error. May block, as disks do:
 * for the start. False with errno when the file cannot be opened: the former one stays. */
bool log_open(const char *path);
/* The same for rotation, without waiting: done behind the lines logged before. A failure is logged.
 */
void log_reopen(const char *path);

/* The calling thread has descriptors of its own from now on (unshare(CLONE_FILES)): it follows a
 * rotation by itself, with its next line. */
void log_thread_alone(void);

/* `event` is a constant word or two; the format gives "key=value" pairs, may be "". Thread-safe. */
void log_line(enum log_level level, const char *event, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
