#include "supervisor/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPUS_MAX = 8192, CGROUP_PATH_MAX = 4096 };

unsigned cpus_affinity(void)
{
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	int count = 0;
	if (set != NULL && sched_getaffinity(0, size, set) == 0)
		count = CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return count > 0 ? (unsigned)count : 1;
}

unsigned cpus_in_list(const char *list)
{
	unsigned count = 0;
	while (*list != '\0' && *list != '\n') {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;
		if (end == list)
			return 0;
		if (*end == '-') {
			list = end + 1;
			last = strtoul(list, &end, 10);
			if (end == list)
				return 0;
		}
		if (last < first || last >= CPUS_MAX)
			return 0;
		count += (unsigned)(last - first + 1);
		list = *end == ',' ? end + 1 : end;
		if (*end != ',' && *end != '\0' && *end != '\n')
			return 0;
	}
	return count;
}

unsigned cpus_in_quota(const char *line)
{
	unsigned long long quota, period;
	if (sscanf(line, "%llu %llu", &quota, &period) != 2 || period == 0 || quota == 0)
		return 0;
	unsigned long long cpus = quota / period + (quota % period != 0);
	return cpus < CPUS_MAX ? (unsigned)cpus : 0;
}

/* The first line of a file, or false. */
static bool read_line(const char *root, const char *path, const char *name, char *line, int size)
{
	char whole[4 * CGROUP_PATH_MAX];
	int len = snprintf(whole, sizeof whole, "%s%s/%s", root, path, name);
	FILE *file = len > 0 && (size_t)len < sizeof whole ? fopen(whole, "re") : NULL;
	if (file == NULL)
		return false;
	bool ok = fgets(line, size, file) != NULL;
	fclose(file);
	return ok;
}

/* Where cgroup v2 is mounted and which group the mount shows as its top. */
static bool find_mount(const char *root, char *point, char *top)
{
	char path[CGROUP_PATH_MAX], line[2 * CGROUP_PATH_MAX];
	bool found = false;
	snprintf(path, sizeof path, "%.4000s/proc/self/mountinfo", root);
	FILE *file = fopen(path, "re");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
		found = strstr(line, " - cgroup2 ") != NULL &&
		        sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) == 2;
	if (file != NULL)
		fclose(file);
	return found;
}

/* Our group in the v2 hierarchy: the line "0::/path". */
static bool find_group(const char *root, char *group)
{
	char path[CGROUP_PATH_MAX], line[CGROUP_PATH_MAX + 8];
	bool found = false;
	snprintf(path, sizeof path, "%.4000s/proc/self/cgroup", root);
	FILE *file = fopen(path, "re");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
		found = sscanf(line, "0::%4095s", group) == 1;
	if (file != NULL)
		fclose(file);
	return found;
}

static void take_least(unsigned *least, unsigned cpus)
{
	if (cpus != 0 && cpus < *least)
		*least = cpus;
}

static void limit_by_group(const char *root, const char *path, unsigned *least)
{
	char line[CGROUP_PATH_MAX];
	if (read_line(root, path, "cpu.max", line, sizeof line))
		take_least(least, cpus_in_quota(line));
	if (read_line(root, path, "cpuset.cpus.effective", line, sizeof line))
		take_least(least, cpus_in_list(line));
}

unsigned cpus_usable(const char *root, unsigned affinity)
{
	static char point[CGROUP_PATH_MAX], top[CGROUP_PATH_MAX], group[CGROUP_PATH_MAX];
	static char path[2 * CGROUP_PATH_MAX];
	unsigned least = affinity != 0 ? affinity : 1;
	if (!find_mount(root, point, top) || !find_group(root, group))
		return least;
	/* Without a cgroup namespace, a container's mount shows only the part below its top. */
	size_t top_len = strcmp(top, "/") == 0 ? 0 : strlen(top);
	const char *below = strncmp(group, top, top_len) == 0 ? group + top_len : "";
	snprintf(path, sizeof path, "%s%s", point, strcmp(below, "/") == 0 ? "" : below);
	/* A quota anywhere above holds too. */
	for (;;) {
		limit_by_group(root, path, &least);
		char *slash = strrchr(path, '/');
		if (strlen(path) <= strlen(point) || slash == NULL)
			return least;
		*slash = '\0';
	}
}
