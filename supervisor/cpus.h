/* How many CPUs this process may really use. */
#pragma once

/* The least of: CPUs in the affinity mask, and of our control group and every group above it the
 * cpuset and the quota, rounded up: cgroup v1 (cpu.cfs_quota_us), v2 (cpu.max), or both. At
 * least 1.
 *
 * `root` is put before /proc and the cgroup mount point; "" outside of tests. `affinity` is how
 * many CPUs the mask has, from cpus_affinity(). What cannot be read does not limit. */
unsigned cpus_usable(const char *root, unsigned affinity);

/* CPUs in this process's affinity mask, at least 1. */
unsigned cpus_affinity(void);

/* CPUs in a list such as "0-3,8"; 0 when it is empty or malformed. */
unsigned cpus_in_list(const char *list);

/* CPUs that a cpu.max line such as "150000 100000" gives, rounded up; 0: no limit or malformed. */
unsigned cpus_in_quota(const char *line);
