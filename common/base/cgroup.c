#include "common/base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 4096, LINE_ROOM = 3 * PATH_ROOM };

/* Is `name` an element of the comma-separated list? */
static bool lists(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (;; list++) {
		size_t n = strcspn(list, ",");
		if (n == len && memcmp(list, name, len) == 0)
			return true;
		list += n;
		if (*list == '\0')
			return false;
	}
}

static FILE *open_below(const char *root, const char *path)
{
	char whole[2 * PATH_ROOM];
	int len = snprintf(whole, sizeof whole, "%s%s", root, path);
	return len > 0 && (size_t)len < sizeof whole ? fopen(whole, "re") : NULL;
}

/* The part of the group's path below the mount's top: without a cgroup namespace a container's
 * mount shows only that. NULL: the mount does not show the group. */
static const char *below(const char *group, const char *top)
{
	size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
	if (strncmp(group, top, len) != 0 || (group[len] != '/' && group[len] != '\0') ||
	    strstr(group + len, "/..") != NULL /* of a namespace that is not ours */)
		return NULL;
	return strcmp(group + len, "/") == 0 ? "" : group + len;
}

/* mountinfo writes a blank in a path as \040. */
static void unescape(char *path)
{
	char *to = path;
	for (const char *at = path; *at != '\0'; to++) {
		unsigned c;
		if (*at == '\\' && sscanf(at + 1, "%3o", &c) == 1) {
			*to = (char)c;
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

/* Is this line the mount of the hierarchy? Then where it is, and which group it shows as its top.
 */
static bool parse_mount(const char *line, const char *controller, char *point, char *top)
{
	static char type[64], options[PATH_ROOM];
	const char *rest = strstr(line, " - ");
	if (rest == NULL || sscanf(rest, " - %63s %*s %4095s", type, options) != 2 ||
	    (controller == NULL ? strcmp(type, "cgroup2") != 0
	                        : strcmp(type, "cgroup") != 0 || !lists(options, controller)) ||
	    sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) != 2)
		return false;
	unescape(point);
	unescape(top);
	return true;
}

/* The directory of the group, as the first mount that shows it has it; else the top of any, which
 * is what limits us where no group is seen. `top_len` is the length of the mount point's part. */
static bool find_directory(const char *root, const char *controller, const char *group, char *path,
                           size_t *top_len)
{
	static char line[LINE_ROOM], point[PATH_ROOM], top[PATH_ROOM];
	bool found = false, shown = false;
	FILE *file = open_below(root, "/proc/self/mountinfo");
	while (file != NULL && !shown && fgets(line, sizeof line, file) != NULL) {
		if (!parse_mount(line, controller, point, top))
			continue;
		const char *rest = below(group, top);
		shown = rest != NULL;
		if (found && !shown)
			continue;
		found = true;
		*top_len = strlen(point);
		snprintf(path, 2 * PATH_ROOM, "%s%s", point, shown ? rest : "");
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* Our group: the line "number:controllers:/path", which for v2 is "0::/path". */
static bool find_group(const char *root, const char *controller, char *group)
{
	static char line[LINE_ROOM];
	bool found = false;
	FILE *file = open_below(root, "/proc/self/cgroup");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':');
		char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (path == NULL || strlen(path + 1) >= PATH_ROOM)
			continue;
		*path = '\0';
		found = controller == NULL ? controllers[1] == '\0'
		                           : lists(controllers + 1, controller);
		strcpy(group, path + 1);
	}
	if (file != NULL)
		fclose(file);
	return found;
}

bool cgroup_line(const char *root, const char *group, const char *name, char *line, int size)
{
	static char whole[3 * PATH_ROOM];
	snprintf(whole, sizeof whole, "%s/%s", group, name);
	FILE *file = open_below(root, whole);
	if (file == NULL)
		return false;
	bool ok = fgets(line, size, file) != NULL;
	fclose(file);
	return ok;
}

void cgroup_each_group(const char *root, const char *controller,
                       void (*visit)(void *arg, const char *root, const char *group), void *arg)
{
	static char group[PATH_ROOM], path[2 * PATH_ROOM];
	size_t top_len;
	if (!find_group(root, controller, group) ||
	    !find_directory(root, controller, group, path, &top_len))
		return;
	for (;;) {
		visit(arg, root, path);
		char *slash = strrchr(path, '/');
		if (strlen(path) <= top_len || slash == NULL)
			return;
		*slash = '\0';
	}
}

struct each_line {
	const char *file;
	void (*visit)(void *arg, const char *line);
	void *arg;
};

static void visit_line(void *arg, const char *root, const char *group)
{
	static char line[PATH_ROOM];
	const struct each_line *each = arg;
	if (cgroup_line(root, group, each->file, line, sizeof line))
		each->visit(each->arg, line);
}

void cgroup_each(const char *root, const char *controller, const char *file,
                 void (*visit)(void *arg, const char *line), void *arg)
{
	struct each_line each = {file, visit, arg};
	cgroup_each_group(root, controller, visit_line, &each);
}

/* "max" is no number, and v1 says no limit by one near 2^63. */
static void take_least(void *arg, const char *line)
{
	uint64_t *least = arg;
	char *end;
	unsigned long long bytes = strtoull(line, &end, 10);
	if (end != line && bytes < 1ull << 60 && bytes < *least)
		*least = bytes;
}

uint64_t cgroup_memory_bytes(const char *root)
{
	uint64_t least = UINT64_MAX;
	cgroup_each(root, NULL, "memory.max", take_least, &least);
	cgroup_each(root, NULL, "memory.high", take_least, &least);
	cgroup_each(root, "memory", "memory.limit_in_bytes", take_least, &least);
	return least;
}
