#include "worker-bridge/status_file.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the schema ---- */

static bool is_optional(const json_t *value, bool right_type)
{
	return value == NULL || right_type;
}

static const char *read_health(struct renderer_status *s, const json_t *health)
{
	const json_t *reason = json_object_get(health, "degradedReason"),
	             *ready = json_object_get(health, "ready");
	const json_t *updated = json_object_get(health, "updatedAt");
	if (health == NULL || json_is_null(health))
		return NULL;
	if (!json_is_object(health) || !json_is_boolean(ready))
		return "rendererHealth must be an object with a boolean ready";
	if (!is_optional(reason, json_is_null(reason) || json_is_string(reason)) ||
	    json_string_length(reason) > RENDERER_REASON_MAX)
		return "rendererHealth.degradedReason must be null or a text of at most 180 bytes";
	if (!is_optional(updated, json_is_null(updated) || json_is_integer(updated)))
		return "rendererHealth.updatedAt must be null or an integer";
	s->health_present = true;
	s->ready = json_is_true(ready);
	snprintf(s->reason, sizeof s->reason, "%s",
	         json_is_string(reason) ? json_string_value(reason) : "");
	return NULL;
}

static const char *read_members(struct renderer_status *s, const json_t *json)
{
	const json_t *updated = json_object_get(json, "updatedAt");
	const json_t *client = json_object_get(json, "clientConnected");
	const json_t *pipeline = json_object_get(json, "ffmpegRunning");
	if (!json_is_object(json))
		return "not a JSON object";
	if (!json_is_array(json_object_get(json, "destinations")))
		return "destinations must be an array";
	if (!json_is_object(json_object_get(json, "stats")))
		return "stats must be an object";
	if (!is_optional(updated, json_is_integer(updated) && json_integer_value(updated) > 0))
		return "updatedAt must be a positive integer";
	if (!is_optional(client, json_is_boolean(client)) ||
	    !is_optional(pipeline, json_is_boolean(pipeline)))
		return "clientConnected and ffmpegRunning must be booleans";
	if (updated != NULL)
		s->updated_ms = (uint64_t)json_integer_value(updated);
	s->client_known = client != NULL;
	s->client_connected = json_is_true(client);
	s->pipeline_known = pipeline != NULL;
	s->pipeline_runs = json_is_true(pipeline);
	return read_health(s, json_object_get(json, "rendererHealth"));
}

const char *status_file_read(struct renderer_status *status, struct span text, uint64_t written_ms)
{
	struct renderer_status s = {.present = true, .updated_ms = written_ms};
	json_t *json = json_take(text, JSON_REJECT_DUPLICATES, NULL, NULL);
	const char *why = read_members(&s, json);
	json_decref(json);
	if (why == NULL)
		*status = s;
	return why;
}

/* ---- the file ---- */

struct status_file {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_work_t work;
	char path[4096];
	struct renderer_status now;
	void (*on_change)(void *arg);
	void *arg;
	const char *complaint; /* said once */
	bool reading, stopped;
	/* the reading thread's */
	int error;
	size_t len;
	uint64_t written_ms;
	uint8_t bytes[STATUS_FILE_BYTES_MAX];
};

/* Not through a link, and no device that would block. */
static void read_file(uv_work_t *work)
{
	struct status_file *file = work->data;
	struct stat stat;
	file->len = 0;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	file->error = fd < 0                   ? errno
	              : fstat(fd, &stat) != 0  ? errno
	              : !S_ISREG(stat.st_mode) ? EINVAL
	                                       : 0;
	if (file->error == 0 && stat.st_size > STATUS_FILE_BYTES_MAX)
		file->error = EFBIG;
	for (ssize_t n = 1; file->error == 0 && n > 0 && file->len < sizeof file->bytes;) {
		n = read(fd, file->bytes + file->len, sizeof file->bytes - file->len);
		file->error = n < 0 ? errno : 0;
		file->len += n > 0 ? (size_t)n : 0;
	}
	if (file->error == 0)
		file->written_ms = (uint64_t)stat.st_mtim.tv_sec * 1000 +
		                   (uint64_t)stat.st_mtim.tv_nsec / 1000000;
	if (fd >= 0)
		close(fd);
}

static void complain(struct status_file *file, const char *why)
{
	if (why != NULL && why != file->complaint)
		log_warn("status file not used", "file=%s why=\"%s\"", file->path, why);
	file->complaint = why;
}

static void on_read(uv_work_t *work, int status)
{
	struct status_file *file = work->data;
	file->reading = false;
	if (file->stopped || status != 0)
		return;
	if (file->error == ENOENT) { /* its writer has ended in order */
		bool news = file->now.present;
		file->now = (struct renderer_status){0};
		complain(file, NULL);
		if (news)
			file->on_change(file->arg);
		return;
	}
	const char *why = file->error != 0
	                          ? "it cannot be read, is no plain file, or is larger than 64 KiB"
	                          : status_file_read(&file->now, span_of(file->bytes, file->len),
	                                             file->written_ms);
	complain(file, why);
	if (why == NULL)
		file->on_change(file->arg);
}

static void on_timer(uv_timer_t *timer)
{
	struct status_file *file = timer->data;
	if (file->reading) /* a slow disk does not stack readings */
		return;
	file->reading = uv_queue_work(file->loop, &file->work, read_file, on_read) == 0;
}

struct status_file *status_file_watch(uv_loop_t *loop, const char *directory, const char *feed,
                                      uint64_t every_ms, void (*on_change)(void *arg), void *arg)
{
	struct status_file *file = xcalloc(1, sizeof *file);
	file->loop = loop;
	file->on_change = on_change;
	file->arg = arg;
	file->work.data = file;
	snprintf(file->path, sizeof file->path, "%s/%s.json", directory, feed);
	uv_timer_init(loop, &file->timer);
	file->timer.data = file;
	uv_timer_start(&file->timer, on_timer, 0, every_ms);
	return file;
}

const struct renderer_status *status_file_now(const struct status_file *file)
{
	return &file->now;
}

void status_file_stop(struct status_file *file)
{
	file->stopped = true;
	uv_timer_stop(&file->timer);
}
