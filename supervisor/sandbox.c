#include "supervisor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has them; Debian 12's headers know some. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_TRUNCATE = 1 << 14,
	FS_OF_FILES = FS_EXECUTE | 1 << 1 /* write */ | FS_READ_FILE | FS_TRUNCATE,
	FS_READ = FS_READ_FILE | FS_READ_DIR,
	FS_ABI_1 = (1 << 13) - 1,
	FS_ABI_2 = FS_ABI_1 | 1 << 13, /* to rename from one directory into another */
	FS_ABI_3 = FS_ABI_2 | FS_TRUNCATE,
	FS_ALL_BUT_EXECUTE = FS_ABI_3 & ~FS_EXECUTE,
	NET_BIND_TCP = 1 << 0,                /* ABI 4 */
	SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 0x3, /* ABI 6 */
	CREATE_RULESET_VERSION = 1,           /* flag: says the ABI */
	RULE_PATH_BENEATH = 1,
};

struct ruleset {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) beneath {
	uint64_t access;
	int32_t fd;
};

static int create(const struct ruleset *ruleset, size_t size, unsigned flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, ruleset, size, flags);
}

int sandbox_abi(void)
{
	return create(NULL, 0, CREATE_RULESET_VERSION);
}

/* An access that the kernel does not know cannot be in a ruleset. */
static uint64_t fs_known(int version)
{
	return version >= 3 ? FS_ABI_3 : version == 2 ? FS_ABI_2 : FS_ABI_1;
}

bool sandbox_usable(char reason[256])
{
	if (sandbox_abi() >= 1)
		return true;
	snprintf(reason, 256, "no Landlock (%s)",
	         errno == EOPNOTSUPP ? "switched off at boot" : strerror(errno));
	return false;
}

/* ---- rules ---- */

/* Without slashes at its end. */
static void copy_path(char out[4096], const char *path)
{
	snprintf(out, 4096, "%s", path);
	for (size_t len = strlen(out); len > 1 && out[len - 1] == '/'; len--)
		out[len - 1] = '\0';
}

/* Of `path`, or of the directory it will be made in: of that one, and of none above. Never of the
 * root, which would be everything. */
static int open_here_or_above(const char *path)
{
	char dir[4096];
	int fd = open(path, O_PATH | O_CLOEXEC);
	copy_path(dir, path);
	char *slash = strrchr(dir, '/');
	if (fd >= 0 || errno != ENOENT || slash == NULL || slash == dir)
		return fd;
	*slash = '\0';
	return open(dir, O_PATH | O_CLOEXEC);
}

/* What cannot be opened gets no rule: the worker says what it does not find. */
static void allow_fd(int ruleset, int fd, uint64_t access)
{
	access &= fs_known(sandbox_abi());
	struct stat found;
	if (fd < 0)
		return;
	if (fstat(fd, &found) == 0) {
		struct beneath rule = {
		        .access = S_ISDIR(found.st_mode) ? access : access & FS_OF_FILES, .fd = fd};
		(void)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
	}
	close(fd);
}

static void allow(int ruleset, const char *path, uint64_t access)
{
	allow_fd(ruleset, open_here_or_above(path), access);
}

static void allow_parent(int ruleset, const char *path, uint64_t access)
{
	char dir[4096];
	copy_path(dir, path);
	char *slash = strrchr(dir, '/');
	if (slash == NULL)
		allow(ruleset, ".", access);
	else if (slash != dir) {
		*slash = '\0';
		allow(ruleset, dir, access);
	}
}

/* A file that others put another in the place of: itself, the directory it lies in, and where a
 * link leads, that one's. */
static void allow_file(int ruleset, const char *path, uint64_t access)
{
	char *real = realpath(path, NULL);
	allow(ruleset, path, access);
	allow_parent(ruleset, path, access);
	if (real != NULL)
		allow_parent(ruleset, real, access);
	free(real);
}

/* The names in what a directory lies in, wherever a link has led; not those of the root. */
static void allow_names_around(int ruleset, const char *path)
{
	char around[4200];
	struct stat found, root;
	snprintf(around, sizeof around, "%s/..", path);
	int fd = open(around, O_PATH | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &found) != 0 || stat("/", &root) != 0 ||
	                (found.st_ino == root.st_ino && found.st_dev == root.st_dev))) {
		close(fd);
		fd = -1;
	}
	allow_fd(ruleset, fd, FS_READ_DIR);
}

/* ---- which ---- */

/* The system's: names, certificates, libraries that are loaded late (name services, character
 * sets), and what the kernel says of this machine. */
static void allow_system(int ruleset)
{
	static const char *const read[] = {"/etc",
	                                   "/usr",
	                                   "/lib",
	                                   "/lib64",
	                                   "/proc",
	                                   "/sys/fs/cgroup",
	                                   "/sys/devices/system",
	                                   "/dev/urandom",
	                                   "/dev/random"};
	for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
		int fd = open(read[i], O_PATH | O_CLOEXEC);
		allow_fd(ruleset, fd, FS_READ);
	}
	allow(ruleset, "/dev/null", FS_ALL_BUT_EXECUTE);
	/* A link to below /run, mostly. */
	allow_file(ruleset, "/etc/resolv.conf", FS_READ);
}

/* What clients of ACME make and remove again, with the directories around it. */
static void allow_acme(int ruleset, const char *dir)
{
	static const char below[] = "/.well-known/acme-challenge";
	char web[4096];
	if (*dir == '\0')
		return;
	copy_path(web, dir);
	char *tail = strstr(web, below);
	if (tail != NULL && tail != web && tail[sizeof below - 1] == '\0')
		*tail = '\0';
	allow(ruleset, web, FS_READ);
}

/* Each "hls:/DIRECTORY" of capture.outputs: NAME=URL, with commas between. */
static void allow_outputs(int ruleset, const char *outputs)
{
	static const char kind[] = "=hls:/";
	const char *at = outputs;
	while ((at = strstr(at, kind)) != NULL) {
		char dir[4096];
		at += sizeof kind - 2;
		snprintf(dir, sizeof dir, "%.*s", (int)strcspn(at, ", \t\n"), at);
		allow(ruleset, dir, FS_READ);
	}
}

static void allow_list(int ruleset, const char *list, uint64_t access)
{
	while (*list != '\0') {
		char dir[4096];
		size_t len = strcspn(list, ",");
		snprintf(dir, sizeof dir, "%.*s", (int)len, list);
		const char *from = dir + strspn(dir, " \t");
		if (*from == '/')
			allow(ruleset, from, access);
		list += len + (list[len] == ',');
	}
}

static void allow_configured(int ruleset, const struct settings *settings)
{
	allow(ruleset, settings->data_dir, FS_ALL_BUT_EXECUTE);
	/* Whoever opens the store alone syncs that its directory has a name; it is slower without:
	 * ring_sync_file_system(). */
	allow_names_around(ruleset, settings->data_dir);
	if (*settings->log_file != '\0') {
		struct stat found;
		bool rotates = stat(settings->log_file, &found) != 0 || S_ISREG(found.st_mode);
		if (rotates)
			allow_file(ruleset, settings->log_file, FS_ALL_BUT_EXECUTE);
		else
			allow(ruleset, settings->log_file, FS_ALL_BUT_EXECUTE);
	}
	allow_file(ruleset, settings->tls_ca_file, FS_READ);
	allow_acme(ruleset, settings->http_acme_dir);
	if (*settings->health_status_dir != '\0')
		allow(ruleset, settings->health_status_dir, FS_READ);
	if (*settings->capture_output_dir != '\0')
		allow(ruleset, settings->capture_output_dir, FS_READ);
	allow_outputs(ruleset, settings->capture_outputs);
	allow_list(ruleset, settings->hub_roots, FS_READ_DIR);
	allow_list(ruleset, settings->sandbox_read, FS_READ);
}

/* What the kernel executes with each program, ours too: its loader. Of the first object, us. */
static int find_loader(struct dl_phdr_info *us, size_t size, void *path)
{
	(void)size;
	for (unsigned i = 0; i < us->dlpi_phnum; i++)
		if (us->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)path =
			        (const char *)(us->dlpi_addr + us->dlpi_phdr[i].p_vaddr);
	return *(const char **)path != NULL ? 1 : -1;
}

int sandbox_make(const struct settings *settings, const char *program)
{
	char reason[256];
	if (strcmp(settings->sandbox, "off") == 0 || !sandbox_usable(reason))
		return SANDBOX_NONE;
	const char *loader = NULL;
	int version = sandbox_abi();
	struct ruleset ruleset = {.fs = fs_known(version),
	                          .net = version >= 4 ? NET_BIND_TCP : 0,
	                          .scoped = version >= 6 ? SCOPE_ABSTRACT_UNIX_AND_SIGNAL : 0};
	size_t size = version >= 6   ? sizeof ruleset
	              : version >= 4 ? sizeof ruleset - sizeof ruleset.scoped
	                             : sizeof ruleset.fs;
	int fd = create(&ruleset, size, 0);
	if (fd < 0)
		return SANDBOX_NONE;
	/* It is where the store will be: without it the rule would be of what lies around it. */
	mkdir(settings->data_dir, 0700);
	allow(fd, program, FS_READ_FILE | FS_EXECUTE);
	if (dl_iterate_phdr(find_loader, &loader) > 0)
		allow(fd, loader, FS_READ_FILE | FS_EXECUTE);
	allow_system(fd);
	allow_configured(fd, settings);
	return fd;
}

bool sandbox_enter(int ruleset)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}
