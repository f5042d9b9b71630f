#include "supervisor/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir -p */
static bool make_directory(const char *path, mode_t mode)
{
	char part[4096];
	struct stat st;
	snprintf(part, sizeof part, "%s", path);
	for (char *at = part + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(part, 0755);
		*at = '/';
	}
	if (mkdir(part, mode) == 0)
		return true;
	return errno == EEXIST && stat(part, &st) == 0 && S_ISDIR(st.st_mode);
}

static int lock_file(const char *dir, bool *held)
{
	char path[4200];
	struct flock lock = {.l_type = F_WRLCK};
	snprintf(path, sizeof path, "%s/ringside.lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	*held = false;
	if (fd < 0)
		return -1;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	*held = errno == EAGAIN || errno == EACCES;
	char pid[32] = "";
	if (*held && read(fd, pid, sizeof pid - 1) > 0)
		errno = (int)strtol(pid, NULL, 10);
	close(fd);
	return -1;
}

static bool refuse(int error, char *reason, size_t room, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
static bool refuse(int error, char *reason, size_t room, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reason, room, format, args);
	va_end(args);
	errno = error;
	return false;
}

static bool claim(const char *dir, mode_t mode, const char *setting, int *fd, char *reason,
                  size_t room)
{
	bool held = false;
	if (!make_directory(dir, mode))
		return refuse(errno, reason, room, "cannot create %s: %s (set --%s)", dir,
		              strerror(errno), setting);
	*fd = lock_file(dir, &held);
	if (*fd >= 0) {
		char pid[32];
		int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
		if (ftruncate(*fd, 0) == 0 && pwrite(*fd, pid, (size_t)len, 0) == len)
			return true;
		int error = errno;
		close(*fd);
		return refuse(error, reason, room, "cannot write %s/ringside.lock: %s", dir,
		              strerror(error));
	}
	if (held)
		return refuse(
		        EAGAIN, reason, room,
		        "another ringside (pid %d) already uses %s: stop it, or set another --%s",
		        errno, dir, setting);
	return refuse(errno, reason, room, "cannot write to %s: %s (set --%s)", dir,
	              strerror(errno), setting);
}

static bool write_pid(const char *path)
{
	FILE *file = fopen(path, "we");
	if (file == NULL)
		return false;
	fprintf(file, "%d\n", (int)getpid());
	return fclose(file) == 0;
}

void instance_take_over(struct instance *instance, const char *run_dir, int run_lock_fd,
                        int data_lock_fd)
{
	*instance = (struct instance){.run_lock_fd = run_lock_fd, .data_lock_fd = data_lock_fd};
	snprintf(instance->pid_path, sizeof instance->pid_path, "%s/ringside.pid", run_dir);
}

bool instance_claim(struct instance *instance, const char *run_dir, const char *data_dir,
                    char *reason, size_t room)
{
	*instance = (struct instance){.run_lock_fd = -1, .data_lock_fd = -1};
	snprintf(instance->pid_path, sizeof instance->pid_path, "%s/ringside.pid", run_dir);
	if (!claim(run_dir, 0755, "run-dir", &instance->run_lock_fd, reason, room))
		return false;
	/* Both settings may name one directory: then its lock is held already. */
	struct stat run, data;
	bool same = stat(run_dir, &run) == 0 && stat(data_dir, &data) == 0 &&
	            run.st_dev == data.st_dev && run.st_ino == data.st_ino;
	if (!same && !claim(data_dir, 0700, "data-dir", &instance->data_lock_fd, reason, room)) {
		int error = errno;
		close(instance->run_lock_fd);
		errno = error;
		return false;
	}
	if (!write_pid(instance->pid_path)) {
		int error = errno;
		instance_release(instance);
		return refuse(error, reason, room, "cannot write %s: %s", instance->pid_path,
		              strerror(error));
	}
	return true;
}

void instance_release(struct instance *instance)
{
	unlink(instance->pid_path);
	if (instance->run_lock_fd >= 0)
		close(instance->run_lock_fd);
	if (instance->data_lock_fd >= 0)
		close(instance->data_lock_fd);
	instance->run_lock_fd = instance->data_lock_fd = -1;
}
