/* The event by which a pull-wake subscription tells that it is woken: a message in its wake stream.
 * Once for each generation, however often it is tried, over any crash: the generation is the
 * message's producer epoch. */
#pragma once

#include "common/domain/subscription.h"
#include "common/store/store.h"

/* `doc` is the subscription's, woken. on_told is called once, on the loop thread: whether the event
 * of that generation is in the stream. */
void wake_event_write(struct store *store, const char *id, const json_t *doc,
                      void (*on_told)(void *arg, uint64_t generation, bool told), void *arg);
