#include "supervisor/cpus.h"
#include "common/base/cgroup.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPUS_MAX = 8192 };

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

static void take_least(unsigned *least, unsigned cpus)
{
	if (cpus != 0 && cpus < *least)
		*least = cpus;
}

static void take_list(void *arg, const char *line)
{
	take_least(arg, cpus_in_list(line));
}

static void take_quota(void *arg, const char *line)
{
	take_least(arg, cpus_in_quota(line));
}

/* v1 has the two numbers of cpu.max in two files; -1 is no limit. */
static void take_quota_v1(void *arg, const char *root, const char *group)
{
	char quota[32], period[32], line[2 * 32];
	if (!cgroup_line(root, group, "cpu.cfs_quota_us", quota, sizeof quota) ||
	    !cgroup_line(root, group, "cpu.cfs_period_us", period, sizeof period) || *quota == '-')
		return;
	quota[strcspn(quota, "\n")] = '\0';
	snprintf(line, sizeof line, "%s %s", quota, period);
	take_least(arg, cpus_in_quota(line));
}

unsigned cpus_usable(const char *root, unsigned affinity)
{
	unsigned least = affinity != 0 ? affinity : 1;
	cgroup_each(root, NULL, "cpu.max", take_quota, &least);
	cgroup_each(root, NULL, "cpuset.cpus.effective", take_list, &least);
	cgroup_each_group(root, "cpu", take_quota_v1, &least);
	cgroup_each(root, "cpuset", "cpuset.effective_cpus", take_list, &least);
	cgroup_each(root, "cpuset", "cpuset.cpus", take_list, &least);
	return least;
}
