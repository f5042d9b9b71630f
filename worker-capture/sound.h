/* What a session's page plays: a sound server (PulseAudio) with one sink that leads nowhere. The
 * session's browsers play into it, every output records what it hears, and viewers by WebRTC get it
 * from a source that the browser takes for a microphone. Nothing of the page has to cooperate.
 *
 * It listens at a socket in a directory of its own, whose name is not to be guessed; modules can
 * neither be loaded nor unloaded from outside. One that ends is started again at the same address,
 * with the settings of its creation: it keeps them. Loop thread only. */
#pragma once

#include "common/base/settings.h"

#include <stdbool.h>
#include <uv.h>

/* Its sink, and where that is recorded. */
#define SOUND_SINK   "page"
#define SOUND_SOURCE "page.monitor"
/* The same for browsers, which leave monitors out: the name that they know it by. */
#define SOUND_DEVICE "ringside-page"

struct sound;

/* NULL: capture.sound is "" or nothing that can be executed, or there is no directory for it:
 * silence. */
struct sound *sound_create(uv_loop_t *loop, const struct settings *settings);
/* Where it listens, "unix:/..."; fixed for its life. NULL for NULL. */
const char *sound_address(const struct sound *sound);
/* How many times it was started: browsers do not find one that came after the one they knew. 0 for
 * NULL. */
uint64_t sound_starts(const struct sound *sound);
/* Does it listen now? False for NULL. */
bool sound_listens(const struct sound *sound);
/* Is it about to, so that waiting is worth while? */
bool sound_starting(const struct sound *sound);
/* Ends it, removes its directory, calls back. NULL is fine: it calls back at once. */
void sound_close(struct sound *sound, void (*on_closed)(void *arg), void *arg);
