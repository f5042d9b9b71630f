#include "supervisor/dev_tokens.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_BYTES = 24 };

static bool write_file(const char *run_dir, const char *text, char *reason, size_t reason_len)
{
	char path[256], fresh[264];
	snprintf(path, sizeof path, "%s/tokens.json", run_dir);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t len = strlen(text);
	bool good = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, len) == (ssize_t)len;
	if (fd >= 0)
		close(fd);
	if (good && rename(fresh, path) == 0)
		return true;
	snprintf(reason, reason_len, "cannot write %s: %s", path, strerror(errno));
	return false;
}

bool dev_tokens_make(struct settings_source *source, char *reason, size_t reason_len)
{
	uint8_t bytes[TOKEN_BYTES];
	char token[2 * TOKEN_BYTES + 1], text[256], why[SETTINGS_REASON_MAX];
	const struct settings *settings = source->newest;
	if (!settings->dev || *settings->bet_sync_token != '\0')
		return true;
	clock_random(bytes, sizeof bytes);
	hex_print(bytes, sizeof bytes, token);
	check(settings_renew_key(&source->newest, SPAN("bet_sync.token"), span_str(token), why));
	settings = source->newest;
	snprintf(text, sizeof text, "{\"betSync\":\"%s\"}\n", token);
	/* For whoever sits there; what is no terminal may be somebody's log. */
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "Token of the bet-sync feed, for this run only: %s\n", token);
	log_info("token made", "of=bet-sync for=\"this run\" file=%s/tokens.json",
	         settings->run_dir);
	return write_file(settings->run_dir, text, reason, reason_len);
}
