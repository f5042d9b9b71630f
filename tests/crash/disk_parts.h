/* Inside the preloaded library. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum fault {
	FAULT_NONE,
	FAULT_ERRNO, /* nothing is done */
	FAULT_SHORT,
	FAULT_HALF,
	FAULT_DONE,
	FAULT_DROP,
	FAULT_KILL,
	FAULT_HALF_KILL,
	FAULT_DONE_KILL,
};

void faults_init(void);
/* Does this call fail? `path`: of the file, NULL: by the descriptor. Sets errno unless it is none;
 * does not return when it is FAULT_KILL. */
enum fault faults_next(const char *op, const char *path, int fd);
void faults_die(void);
/* Around the two events of a write. */
void faults_write_begins(void);
void faults_write_ended(void);

/* For FAULT_DROP: what stood there before each write that is not synced. */
void undo_remember(uint64_t inode, int fd, off_t at, size_t bytes);
void undo_forget(uint64_t inode);
void undo_all(uint64_t inode, int fd);
