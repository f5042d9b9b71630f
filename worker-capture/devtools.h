/* DevTools protocol client over --remote-debugging-pipe: JSON messages, each ended by a NUL.
 *
 * Every command has a time limit and exactly one reply, also when the browser goes away. Screencast
 * frames never meet a JSON parser: their bytes are found, decoded from base64 straight into a
 * struct picture, and only the few bytes around them are parsed. Loop thread only; no callback is
 * ever called from within devtools_command(). */
#pragma once

#include "worker-capture/picture.h"

#include <jansson.h>
#include <uv.h>

/* M(NAME, "Domain.method"): every command we know how to send. */
#define DEVTOOLS_METHODS(M)                                                                        \
	M(BROWSER_GET_VERSION, "Browser.getVersion")                                               \
	M(BROWSER_CLOSE, "Browser.close")                                                          \
	M(BROWSER_CRASH_GPU, "Browser.crashGpuProcess")                                            \
	M(BROWSER_GET_WINDOW, "Browser.getWindowForTarget")                                        \
	M(BROWSER_SET_CONTENTS_SIZE, "Browser.setContentsSize")                                    \
	M(BROWSER_GRANT_PERMISSIONS, "Browser.grantPermissions")                                   \
	M(BROWSER_SET_DOWNLOADS, "Browser.setDownloadBehavior")                                    \
	M(SYSTEM_GET_PROCESSES, "SystemInfo.getProcessInfo")                                       \
	M(TARGET_CREATE_CONTEXT, "Target.createBrowserContext")                                    \
	M(TARGET_CREATE, "Target.createTarget")                                                    \
	M(TARGET_CLOSE, "Target.closeTarget")                                                      \
	M(TARGET_ATTACH, "Target.attachToTarget")                                                  \
	M(TARGET_AUTO_ATTACH, "Target.setAutoAttach")                                              \
	M(TARGET_DISCOVER, "Target.setDiscoverTargets")                                            \
	M(PAGE_ENABLE, "Page.enable")                                                              \
	M(PAGE_NAVIGATE, "Page.navigate")                                                          \
	M(PAGE_RELOAD, "Page.reload")                                                              \
	M(PAGE_ADD_SCRIPT, "Page.addScriptToEvaluateOnNewDocument")                                \
	M(PAGE_SCREENSHOT, "Page.captureScreenshot")                                               \
	M(PAGE_SCREENCAST_START, "Page.startScreencast")                                           \
	M(PAGE_SCREENCAST_STOP, "Page.stopScreencast")                                             \
	M(PAGE_SCREENCAST_ACK, "Page.screencastFrameAck")                                          \
	M(PAGE_HANDLE_DIALOG, "Page.handleJavaScriptDialog")                                       \
	M(PAGE_CRASH, "Page.crash")                                                                \
	M(RUNTIME_ENABLE, "Runtime.enable")                                                        \
	M(RUNTIME_EVALUATE, "Runtime.evaluate")                                                    \
	M(RUNTIME_TERMINATE, "Runtime.terminateExecution")                                         \
	M(RUNTIME_ADD_BINDING, "Runtime.addBinding")                                               \
	M(RUNTIME_RUN, "Runtime.runIfWaitingForDebugger")                                          \
	M(INSPECTOR_ENABLE, "Inspector.enable")                                                    \
	M(EMULATION_SET_METRICS, "Emulation.setDeviceMetricsOverride")                             \
	M(FETCH_ENABLE, "Fetch.enable")                                                            \
	M(FETCH_CONTINUE, "Fetch.continueRequest")                                                 \
	M(FETCH_FAIL, "Fetch.failRequest")                                                         \
	M(INPUT_MOUSE, "Input.dispatchMouseEvent")                                                 \
	M(INPUT_KEY, "Input.dispatchKeyEvent")                                                     \
	M(INPUT_TEXT, "Input.insertText")                                                          \
	M(INPUT_TOUCH, "Input.dispatchTouchEvent")

#define DEVTOOLS_METHOD_ENUM(NAME, text) DEVTOOLS_##NAME,
enum devtools_method { DEVTOOLS_METHODS(DEVTOOLS_METHOD_ENUM) DEVTOOLS_METHOD_COUNT };
#undef DEVTOOLS_METHOD_ENUM

/* E(NAME, "Domain.event"): every event that is handed on; others are dropped unparsed. */
#define DEVTOOLS_EVENTS(E)                                                                         \
	E(TARGET_ATTACHED, "Target.attachedToTarget")                                              \
	E(TARGET_DETACHED, "Target.detachedFromTarget")                                            \
	E(TARGET_CRASHED, "Target.targetCrashed")                                                  \
	E(TARGET_DESTROYED, "Target.targetDestroyed")                                              \
	E(PAGE_FRAME_NAVIGATED, "Page.frameNavigated")                                             \
	E(PAGE_LOADED, "Page.loadEventFired")                                                      \
	E(PAGE_DIALOG_OPENING, "Page.javascriptDialogOpening")                                     \
	E(RUNTIME_BINDING_CALLED, "Runtime.bindingCalled")                                         \
	E(RUNTIME_CONTEXT_CREATED, "Runtime.executionContextCreated")                              \
	E(FETCH_PAUSED, "Fetch.requestPaused")

#define DEVTOOLS_EVENT_ENUM(NAME, text) DEVTOOLS_EVENT_##NAME,
enum devtools_event { DEVTOOLS_EVENTS(DEVTOOLS_EVENT_ENUM) DEVTOOLS_EVENT_COUNT };
#undef DEVTOOLS_EVENT_ENUM

enum devtools_outcome {
	DEVTOOLS_OK,
	DEVTOOLS_REFUSED, /* the browser answered with an error; its text is the reason */
	DEVTOOLS_TIMEOUT, /* no answer in time; a late one is ignored */
	DEVTOOLS_GONE,    /* the browser, or the page that it was for, is gone */
};

/* `result` is borrowed, NULL unless DEVTOOLS_OK; `reason` is "" then. */
typedef void devtools_on_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                               const char *reason);

enum { DEVTOOLS_SESSION_MAX = 64, DEVTOOLS_COMMANDS_MAX = 512 };

struct devtools;

struct devtools_events {
	/* `session` is "" for the browser's own. */
	void (*on_event)(void *arg, enum devtools_event event, const char *session,
	                 const json_t *params);
	/* A picture (a screencast frame); the reference is the callee's. `ack` is what acknowledges
	 * it. seq and at_ms are not set. */
	void (*on_picture)(void *arg, const char *session, struct picture *picture, int64_t ack);
	/* End of file, a broken pipe, or a message beyond all limits. Called once; every command
	 * has been answered DEVTOOLS_GONE before. */
	void (*on_gone)(void *arg, const char *reason);
	void *arg;
};

/* Takes over both ends: commands go into `commands_fd`, messages come from `messages_fd`. A message
 * may have `message_bytes_max` bytes; a longer one ends the connection. */
struct devtools *devtools_create(uv_loop_t *loop, int commands_fd, int messages_fd,
                                 size_t message_bytes_max, const struct devtools_events *events);
/* Closes; open commands are answered DEVTOOLS_GONE within it. Sets it to NULL; NULL is fine. */
void devtools_destroy(struct devtools **devtools);

/* Sends one command to `session` ("" for the browser). `params` is taken, NULL for none. `on_reply`
 * may be NULL: then only the log tells of a failure. With DEVTOOLS_COMMANDS_MAX of them open, it
 * is answered DEVTOOLS_REFUSED from the loop. */
void devtools_command(struct devtools *devtools, enum devtools_method method, const char *session,
                      json_t *params, uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg);
/* Answers every open command of a session that will not answer any more with DEVTOOLS_GONE, from
 * the loop. */
void devtools_forget(struct devtools *devtools, const char *session);
