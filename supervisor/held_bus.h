/* The bus of a worker that another supervisor has started: the one whose place we have taken within
 * this process (upgrade.h). It may be of another build, so nothing of what it says is read, and it
 * is told one thing, DRAIN, whose number and body are the same in every release (proto/messages.h).
 * While this end is open it goes on; it ends when it is closed. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct held_bus;

/* Takes over the descriptor. What comes is thrown away, so that the worker never waits for us. */
struct held_bus *held_bus_create(uv_loop_t *loop, int fd);

/* Its descriptor, still its own; for the next to take over. */
int held_bus_fd(const struct held_bus *bus);

/* Stop accepting, finish what runs, exit by then (monotonic). False: it cannot be told. */
bool held_bus_drain(struct held_bus *bus, uint64_t due_ms);

/* Closes it; sets it to NULL; NULL is fine. */
void held_bus_destroy(struct held_bus **bus);
