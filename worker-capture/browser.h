/* A browser process: where it is found, how it is started, that it ends. What it is told is
 * devtools.h's. Loop thread only. */
#pragma once

#include "worker-capture/devtools.h"
#include "worker-capture/egress.h"

#include <sys/types.h>

enum { BROWSER_PATH_MAX = 4096 };

/* Finds the executable: an absolute path is taken as it is, "" is chromium-headless-shell and
 * "chromium" full Chromium where distributions put them. False: nothing is there to execute. */
bool browser_find(const char *configured, char path[BROWSER_PATH_MAX]);

/* Profile directories are named after whose they are: `instance` is any text that no other running
 * Ringside has (its data directory). Removes those that a killed predecessor has left in `parent`.
 */
void browser_sweep(const char *parent, const char *instance);
/* Makes a directory of that kind, which the uid owns (0: we). False: the reason says why there is
 * none. */
bool browser_make_dir(const char *parent, const char *instance, uid_t uid,
                      char path[BROWSER_PATH_MAX], char reason[256]);

struct browser_options {
	const char *program;
	const char *instance;       /* as above */
	const char *profile_parent; /* directory that gets the profile directory */
	uid_t uid;                  /* 0: our own; else its gid is the same number */
	uint32_t width, height;
	uint64_t page_memory; /* bytes of JavaScript's heap in each of its processes; 0: as much as
	                         it likes */
	const struct egress *egress; /* pinned */
	size_t message_bytes_max;
	const char *arguments; /* further ones: capture.browser_arguments, as it was judged */
	bool no_sandbox, webrtc, tab_capture;
	const char *sound; /* address of the sound server that it plays into; NULL: it is mute */
};

struct browser;

struct browser_events {
	struct devtools_events devtools; /* as in devtools.h; its arg too */
	/* All its processes are gone. `code` is the exit code, or 128 and the signal. `line` is the
	 * last thing it said. Called once, after devtools' on_gone if it was called. */
	void (*on_exit)(void *arg, int code, const char *line);
	void *arg;
};

/* NULL: it was not to be started; the reason says why. */
struct browser *browser_start(uv_loop_t *loop, const struct browser_options *options,
                              const struct browser_events *events, char reason[256]);
struct devtools *browser_devtools(struct browser *browser);
/* Kills it; on_exit follows. Until then browser_devtools() answers DEVTOOLS_GONE. A second call
 * does nothing. */
void browser_kill(struct browser *browser);
/* Frees it; only from within on_exit or after it. Sets it to NULL; NULL is fine. */
void browser_destroy(struct browser **browser);
pid_t browser_keeper_pid(const struct browser *browser);
