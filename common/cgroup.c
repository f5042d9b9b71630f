#include "common/cgroup.h"

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

/* Where the hierarchy is mounted and which group the mount shows as its top. */
static bool find_mount(const char *root, const char *controller, char *point, char *top)
{
	static char line[LINE_ROOM], type[64], options[PATH_ROOM];
	bool found = false;
	FILE *file = open_below(root, "/proc/self/mountinfo");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
		const char *rest = strstr(line, " - ");
		found = rest != NULL && sscanf(rest, " - %63s %*s %4095s", type, options) == 2 &&
		        (controller == NULL ? strcmp(type, "cgroup2") == 0
		                            : strcmp(type, "cgroup") == 0 && lists(options, controller)) &&
		        sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) == 2;
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
		found = controller == NULL ? controllers[1] == '\0' : lists(controllers + 1, controller);
		strcpy(group, path + 1);
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* The part of the group's path below the mount's top: without a cgroup namespace a container's mount shows only that. */
static const char *below(const char *group, const char *top)
{
	size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
	if (strncmp(group, top, len) != 0 || (group[len] != '/' && group[len] != '\0'))
		return "";
	return strcmp(group + len, "/") == 0 ? "" : group + len;
}

static void visit_file(const char *root, const char *path, const char *name,
                       void (*visit)(void *arg, const char *line), void *arg)
{
	static char whole[3 * PATH_ROOM], line[PATH_ROOM];
	snprintf(whole, sizeof whole, "%s/%s", path, name);
	FILE *file = open_below(root, whole);
	if (file == NULL)
		return;
	if (fgets(line, sizeof line, file) != NULL)
		visit(arg, line);
	fclose(file);
}

void cgroup_each(const char *root, const char *controller, const char *file,
                 void (*visit)(void *arg, const char *line), void *arg)
{
	static char point[PATH_ROOM], top[PATH_ROOM], group[PATH_ROOM], path[2 * PATH_ROOM];
	if (!find_mount(root, controller, point, top) || !find_group(root, controller, group))
		return;
	snprintf(path, sizeof path, "%s%s", point, below(group, top));
	for (;;) {
		visit_file(root, path, file, visit, arg);
		char *slash = strrchr(path, '/');
		if (strlen(path) <= strlen(point) || slash == NULL)
			return;
		*slash = '\0';
	}
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
