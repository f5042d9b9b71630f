#include "supervisor/token_file.h"
#include "common/base/check.h"
#include "common/domain/token_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(char reason[SETTINGS_REASON_MAX], const char *path, const char *why)
{
	snprintf(reason, SETTINGS_REASON_MAX, "%.220s: %.250s", path, why);
	return false;
}

/* ---- reading ---- */

static bool may_be_read(int fd, const char *path, bool lax, char reason[SETTINGS_REASON_MAX])
{
	struct stat status;
	char why[128];
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return refuse(reason, path, "is not a regular file");
	if (status.st_size > TOKEN_ROWS_BYTES_MAX)
		return refuse(reason, path, "is longer than 4 MB");
	if (lax || (status.st_mode & 077) == 0)
		return true;
	snprintf(why, sizeof why, "is open to others than its owner (mode %03o): chmod 600",
	         (unsigned)status.st_mode & 0777);
	return refuse(reason, path, why);
}

/* As much as fits; -1 with errno. */
static ssize_t read_all(int fd, char *text, size_t room)
{
	size_t len = 0;
	while (len < room) {
		ssize_t n = read(fd, text + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

char *token_file_read(const char *path, bool lax, char reason[SETTINGS_REASON_MAX])
{
	/* What is no file could keep whoever reads it waiting. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		refuse(reason, path,
		       errno == ENOENT ? "there is no such file: install -m 600 /dev/null there"
		                       : strerror(errno));
		return NULL;
	}
	char *text = xmalloc(TOKEN_ROWS_BYTES_MAX + 2);
	bool good = may_be_read(fd, path, lax, reason);
	ssize_t len = good ? read_all(fd, text, TOKEN_ROWS_BYTES_MAX + 1) : 0;
	if (good && len < 0)
		good = refuse(reason, path, strerror(errno));
	close(fd);
	if (good && len > TOKEN_ROWS_BYTES_MAX)
		good = refuse(reason, path, "is longer than 4 MB");
	if (good && memchr(text, '\0', (size_t)len) != NULL)
		good = refuse(reason, path, "contains a NUL byte");
	if (!good) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/* ---- writing ---- */

static bool write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

static bool sync_directory(const char *path)
{
	char *copy = xmemdup_text((const uint8_t *)path, strlen(path));
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	bool ok = fd >= 0 && fsync(fd) == 0;
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return ok;
}

/* A file beside it, which a process that died may have left before. */
static int make(const char *path, const struct stat *former)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool same_owner = former->st_uid == geteuid() && former->st_gid == getegid();
	if (fd < 0 || ((same_owner || fchown(fd, former->st_uid, former->st_gid) == 0) &&
	               fchmod(fd, former->st_mode & 0777) == 0))
		return fd;
	int error = errno;
	close(fd);
	unlink(path);
	errno = error;
	return -1;
}

/* `path` has no link in it any more. */
static bool replace(const char *path, const char *text)
{
	struct stat former;
	char *fresh = NULL;
	check(asprintf(&fresh, "%s.new", path) > 0);
	int fd = stat(path, &former) == 0 ? make(fresh, &former) : -1;
	bool ok = fd >= 0 && write_all(fd, text) && fsync(fd) == 0 && rename(fresh, path) == 0;
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && !ok)
		unlink(fresh);
	free(fresh);
	errno = error;
	return ok && sync_directory(path);
}

bool token_file_write(const char *path, const char *text, char reason[SETTINGS_REASON_MAX])
{
	char why[128], *real = realpath(path, NULL);
	bool ok = real != NULL && replace(real, text);
	int error = errno;
	free(real);
	if (ok)
		return true;
	snprintf(why, sizeof why, "cannot be replaced: %s", strerror(error));
	return refuse(reason, path, why);
}
