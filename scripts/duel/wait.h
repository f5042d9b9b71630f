/* Waiting that SIGTERM and SIGINT end at once: both are blocked and read from a descriptor. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* First thing in main(), before any child or thread is there. */
void wait_init(void);
/* Has somebody asked us to end? Stays true. */
bool wait_stopped(void);

enum wait_result { WAIT_READY, WAIT_DUE, WAIT_STOPPED };
/* Until `fd` can be read (-1: never), until `due_ms` of wait_now_ms(), or until a signal. */
enum wait_result wait_until(int fd, uint64_t due_ms);
/* The same, for so long. */
enum wait_result wait_for_ms(uint64_t ms);

/* From now on whoever waits does this, too, every so often; it may wait itself. NULL: no more. */
void wait_beat(void (*call)(void *arg), void *arg, uint64_t every_ms);

uint64_t wait_now_ms(void);  /* monotonic */
uint64_t wait_wall_ms(void); /* Unix ms */
