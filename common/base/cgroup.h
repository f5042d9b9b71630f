/* What the control groups of this process allow, cgroup v1, v2 or both (hybrid). Blocks for some
 * reads of /proc and /sys. What cannot be read does not limit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Calls visit with the first line of `file` in this process's group and in every group above it, as
 * far as its mount shows them: in the v1 hierarchy that has `controller` ("memory", "cpu",
 * "cpuset"), or with NULL in the v2 one. A group without the file is left out.
 *
 * `root` is put before /proc and the mount point; "" outside of tests. */
void cgroup_each(const char *root, const char *controller, const char *file,
                 void (*visit)(void *arg, const char *line), void *arg);

/* The same for limits that take more than one file: calls visit with each group's directory, below
 * root, and cgroup_line() reads the first line of a file in it; false: there is none. */
void cgroup_each_group(const char *root, const char *controller,
                       void (*visit)(void *arg, const char *root, const char *group), void *arg);
bool cgroup_line(const char *root, const char *group, const char *file, char *line, int size);

/* Bytes of memory that the group may have: the least of memory.max and memory.high (v2) and
 * memory.limit_in_bytes (v1) of it and all above. UINT64_MAX: no limit. */
uint64_t cgroup_memory_bytes(const char *root);
