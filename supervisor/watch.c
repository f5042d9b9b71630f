#include "supervisor/watch.h"

void watch_begin(struct watch *watch, uint64_t now_ms)
{
	*watch = (struct watch){.heard_ms = now_ms};
}

void watch_heard(struct watch *watch, uint64_t now_ms)
{
	watch->heard_ms = now_ms;
}

enum watch_verdict watch_step(struct watch *watch, const struct watch_limits *limits,
                              uint64_t now_ms)
{
	if (watch->killed)
		return WATCH_DYING;
	if (watch->aborted_ms != 0) {
		if (now_ms - watch->aborted_ms < limits->grace_ms)
			return WATCH_DYING;
		watch->killed = true;
		return WATCH_KILL;
	}
	uint64_t silent_ms = now_ms > watch->heard_ms ? now_ms - watch->heard_ms : 0;
	if (silent_ms < limits->hang_ms / 4)
		return WATCH_FINE;
	if (silent_ms < limits->hang_ms)
		return WATCH_LATE;
	watch->aborted_ms = now_ms;
	return WATCH_ABORT;
}

void watch_forgive(struct watch *watch, uint64_t gap_ms)
{
	watch->heard_ms += gap_ms;
	if (watch->aborted_ms != 0)
		watch->aborted_ms += gap_ms;
}

uint64_t watch_due(const struct watch *watch, const struct watch_limits *limits, uint64_t now_ms)
{
	if (watch->killed)
		return UINT64_MAX;
	if (watch->aborted_ms != 0)
		return watch->aborted_ms + limits->grace_ms;
	uint64_t late_ms = watch->heard_ms + limits->hang_ms / 4;
	return now_ms < late_ms ? late_ms : watch->heard_ms + limits->hang_ms;
}
