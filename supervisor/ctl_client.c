/* ringsidectl's end of the admin socket: plain blocking I/O. */
#include "supervisor/admin.h"
#include "common/base/check.h"
#include "proto/frame.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int ctl_connect(const struct ctl *ctl, bool quiet)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int len =
	        snprintf(address.sun_path, sizeof address.sun_path, "%s/admin.sock", ctl->run_dir);
	if (len >= (int)sizeof address.sun_path) {
		ctl_fail("the run directory's path is too long: %s", ctl->run_dir);
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (quiet)
		return -1;
	if (error == ENOENT)
		ctl_fail("is ringside running? no socket at %s (see --run-dir)", address.sun_path);
	else if (error == ECONNREFUSED)
		ctl_fail("is ringside running? nobody answers at %s", address.sun_path);
	else if (error == EACCES)
		ctl_fail("%s belongs to another user: become root or the one who runs ringside",
		         address.sun_path);
	else
		ctl_fail("cannot connect to %s: %s", address.sun_path, strerror(error));
	return -1;
}

static bool write_all(int fd, const uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool ctl_send(int fd, int argc, const char *const *argv)
{
	static uint8_t frame[FRAME_HEAD_BYTES + PROTO_MAX_ADMIN_REQUEST];
	char line[16384];
	size_t len = 0;
	for (int i = 0; i < argc; i++) {
		size_t size = strlen(argv[i]) + 1;
		if (len + size > sizeof line)
			return false;
		memcpy(line + len, argv[i], size);
		len += size;
	}
	const struct proto_admin_request message = {.id = 1, .line = span_of(line, len - 1)};
	struct writer w = {frame + FRAME_HEAD_BYTES, frame + sizeof frame, true};
	check(proto_put_admin_request(&w, &message));
	frame_head(frame, PROTO_TYPE_ADMIN_REQUEST, (size_t)(w.at - frame) - FRAME_HEAD_BYTES);
	return write_all(fd, frame, (size_t)(w.at - frame));
}

/* Replies that came in one read wait in `left`. */
bool ctl_receive(int fd, struct ctl_reply *reply)
{
	static uint8_t bytes[65536];
	static struct span left;
	static struct frame_reader reader;
	struct proto_admin_reply m;
	struct span body;
	unsigned type;
	for (;;) {
		enum frame_result result = frame_read(&reader, &left, &type, &body);
		if (result == FRAME_CONDEMNED)
			return false;
		if (result == FRAME_WHOLE) {
			if (type != PROTO_TYPE_ADMIN_REPLY || !proto_get_admin_reply(body, &m))
				return false;
			*reply = (struct ctl_reply){.status = m.status,
			                            .last = m.last != 0,
			                            .body = xmemdup_text(m.body.at, m.body.len)};
			return true;
		}
		ssize_t n = read(fd, bytes, sizeof bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		left = span_of(bytes, (size_t)n);
	}
}

int ctl_ask(const struct ctl *ctl, int argc, const char *const *argv, json_t **answer)
{
	struct ctl_reply reply;
	*answer = NULL;
	int fd = ctl_connect(ctl, false);
	if (fd < 0)
		return EXIT_FAILED;
	bool ok = ctl_send(fd, argc, argv) && ctl_receive(fd, &reply);
	close(fd);
	if (!ok)
		return ctl_fail("the supervisor went away before it answered; see its log");
	if (reply.status == ADMIN_OK)
		*answer = json_loads(reply.body, 0, NULL);
	int code = *answer != NULL               ? EXIT_DONE
	           : reply.status == ADMIN_USAGE ? ctl_usage(ctl, "%s", reply.body)
	                                         : ctl_fail("%s", reply.body);
	free(reply.body);
	return code;
}

int ctl_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
             json_t **answer)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	const char *const command[] = {ctl->command->name, method, path, text};
	int code = ctl_ask(ctl, text != NULL ? 4 : 3, command, answer);
	json_decref(body);
	free(text);
	return code;
}

const char *ctl_text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));
	return text != NULL ? text : "";
}

long long ctl_number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

int ctl_print_json(json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(answer);
	return EXIT_DONE;
}
