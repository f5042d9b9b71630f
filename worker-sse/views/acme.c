#include "worker-sse/views/acme.h"
#include "worker-sse/views/worker.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_MAX = 128, FILE_BYTES_MAX = 1024 };

/* RFC 8555, 8.3: nothing outside the base64url alphabet, so nothing that leads out of the
 * directory. */
static bool is_token(struct span token)
{
	for (size_t i = 0; i < token.len; i++) {
		uint8_t c = token.at[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return false;
	}
	return token.len > 0 && token.len <= TOKEN_MAX;
}

/* How many bytes; -1: no such file. A few bytes, and who asks is a stranger: read here and
 * now, never one that could block. */
static ssize_t read_file(const char *path, uint8_t out[FILE_BYTES_MAX + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	struct stat found;
	ssize_t len = -1;
	if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode))
		len = read(fd, out, FILE_BYTES_MAX + 1);
	close(fd);
	return len <= FILE_BYTES_MAX ? len : -1;
}

void acme_handle(struct request *request)
{
	static const size_t prefix = sizeof "/.well-known/acme-challenge/" - 1;
	static const struct header headers[] = {{"content-type", SPAN("application/octet-stream")},
	                                        {"cache-control", SPAN("no-store")}};
	const char *dir = worker_of(request)->settings->http_acme_dir;
	struct span token = span_of(request->path.at + prefix, request->path.len - prefix);
	uint8_t bytes[FILE_BYTES_MAX + 1];
	char path[PATH_MAX];
	ssize_t len = -1;
	if (*dir != '\0' && is_token(token) &&
	    snprintf(path, sizeof path, "%s/%.*s", dir, (int)token.len, token.at) <
	            (int)sizeof path)
		len = read_file(path, bytes);
	if (len < 0)
		reply_error(request, 404, "no such challenge (http.acme_dir)");
	else
		reply(request, 200, headers, 2, span_of(bytes, (size_t)len));
}
