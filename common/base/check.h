/* What must hold, holds in production too; and what cannot start, says why. */
#pragma once

#include <stddef.h>
#include <stdnoreturn.h>

noreturn void check_failed(const char *file, int line, const char *condition);

/* Cannot happen. Aborts with a log line; the supervisor restarts the process. */
#define check(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* Cannot start or go on. Logs and exits with EXIT_FAILED (proto/roles.h). */
noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc and friends that do not return NULL: sizes are bounded by their callers. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *at, size_t size);
char *xmemdup_text(const void *at, size_t len); /* NUL-terminated copy */
