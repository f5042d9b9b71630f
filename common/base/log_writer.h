/* Whoever logs does not wait for whoever reads the log: lines wait in a bounded buffer for a thread
 * that writes them to standard error, be that a pipe, a terminal, a socket or a file on a disk that
 * hangs. What finds the buffer full is dropped, counted, and said when it flows again. The
 * descriptor stays as it was inherited: others share it, so it must not become non-blocking for
 * them.
 *
 * Thread-safe. Until log_writer_start(), and in a child between fork and exec, lines are written at
 * once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_BYTES_MAX = 4096 /* PIPE_BUF: lines of processes that share a pipe do not mix */ };

/* Starts the thread, once in a process. `on_dropped` is called by it, without any lock, with how
 * many lines were dropped since it was last called: it may log. Where no thread can be had lines
 * are written at once. */
void log_writer_start(void (*on_dropped)(uint64_t lines));

/* How many bytes of lines may wait; 64 KiB until it is set. Takes effect as far as what waits
 * allows. */
void log_writer_set_room(size_t bytes);

/* One line with its newline, at most LOG_LINE_BYTES_MAX. */
void log_writer_put(const char *line, size_t len);

/* Lines dropped since the start of the process. */
uint64_t log_writer_dropped(void);

/* Waits until everything put so far has been written, but no longer than that. False: some has not.
 */
bool log_writer_flush(unsigned within_ms);

/* Has `reopen` called by the thread, which may block, when all lines before this one have been
 * written. False: there is no thread. */
bool log_writer_then(void (*reopen)(void));
