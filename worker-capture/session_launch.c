/* From a session's allow-list to a running browser: names are resolved and judged, a uid is taken.
 */
#include "common/base/ceilings.h"
#include "common/base/cgroup.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-capture/session_parts.h"
#include "worker-capture/sound.h"

#include <stdlib.h>
#include <unistd.h>

enum { NOT_ROOT = 0 };

/* A name that is being resolved. */
struct lookup {
	uv_getaddrinfo_t request;
	struct launch *launch;
	size_t host;
};

struct launch {
	struct session *session; /* NULL: cancelled */
	enum launch_purpose purpose;
	struct egress egress;
	uv_timer_t begin; /* results always come from the loop */
	struct lookup lookups[EGRESS_HOSTS_MAX];
	size_t waiting;
	enum health_reason why; /* with a reason */
	char reason[EGRESS_REASON_MAX];
};

/* ---- uids ---- */

static bool uid_is_used(const struct sessions *sessions, uid_t uid)
{
	for (const struct session *s = sessions->first; s != NULL; s = s->following)
		for (const struct stage *stage = s->stages; stage != NULL; stage = stage->following)
			if (stage->uid == uid)
				return true;
	return false;
}

/* No two browsers share one: what one leaves or reads is never another's. False: all are in use. */
static bool take_uid(const struct sessions *sessions, uid_t *uid)
{
	uint64_t first, last;
	*uid = NOT_ROOT;
	if (geteuid() != 0 || *sessions->settings->newest->capture_browser_uids == '\0')
		return true;
	check(settings_split_range(sessions->settings->newest->capture_browser_uids, &first,
	                           &last));
	for (*uid = (uid_t)first; *uid <= last; ++*uid)
		if (!uid_is_used(sessions, *uid))
			return true;
	return false;
}

/* ---- start ---- */

static struct stage *stage_create(struct session *session, uid_t uid)
{
	struct stage *stage = xcalloc(1, sizeof *stage);
	*stage = (struct stage){.session = session,
	                        .uid = uid,
	                        .sound_start = sound_starts(session->sound),
	                        .following = session->stages};
	session->stages = stage;
	return stage;
}

static void stage_drop(struct stage *stage)
{
	struct stage **at = &stage->session->stages;
	while (*at != stage)
		at = &(*at)->following;
	*at = stage->following;
	free(stage);
}

static size_t message_bytes(const struct settings *settings, uint64_t memory_bytes)
{
	struct ceilings ceilings;
	const struct ceilings_among among = {.memory_bytes = memory_bytes};
	ceilings_find(&ceilings, settings, &among);
	return ceilings.message_bytes;
}

/* A page that may take all the memory there is takes its browser, and us, with it. */
static uint64_t page_memory(const struct settings *settings, uint64_t memory_bytes)
{
	uint64_t half = memory_bytes / 2, browsers_own = 4ull << 30;
	uint64_t wanted =
	        settings->capture_page_memory != 0 ? settings->capture_page_memory : browsers_own;
	return half < wanted ? half : settings->capture_page_memory;
}

static void start(struct session *session, enum launch_purpose purpose, const struct egress *egress)
{
	const struct settings *s = session->sessions->settings->newest;
	const uint64_t memory_bytes = cgroup_memory_bytes("");
	char program[BROWSER_PATH_MAX], reason[256] = "";
	uid_t uid;
	if (!browser_find(s->capture_browser, program)) {
		session_launched(session, NULL, purpose, HEALTH_BROWSER_MISSING,
		                 *s->capture_browser == '\0'
		                         ? "chromium-headless-shell is not installed"
		                         : "capture.browser is nothing that can be executed");
		return;
	}
	if (!take_uid(session->sessions, &uid)) {
		session_launched(session, NULL, purpose, HEALTH_BROWSER_FAILED,
		                 "every uid of capture.browser_uids is in use");
		return;
	}
	struct stage *stage = stage_create(session, uid);
	struct page_events events = session_page_events;
	events.arg = stage;
	const struct page_options options = {
	        .browser = {.program = program,
	                    .arguments = s->capture_browser_arguments,
	                    .instance = s->data_dir,
	                    .profile_parent = s->capture_profile_dir,
	                    .uid = uid,
	                    .width = session->width,
	                    .height = session->height,
	                    .egress = egress,
	                    .message_bytes_max = message_bytes(s, memory_bytes),
	                    .page_memory = page_memory(s, memory_bytes),
	                    .no_sandbox = s->capture_no_sandbox,
	                    .webrtc = session->webrtc,
	                    .tab_capture = session->tab_capture,
	                    .sound = sound_address(session->sound)},
	        .url = session->url,
	        .scripts = session->scripts,
	        .page_script = session->page_script,
	        .quality = (uint32_t)s->capture_quality,
	        .fps = session_wanted_fps(session),
	        .probe_ms = s->capture_probe_ms};
	stage->page = page_create(session->sessions->loop, &options, &events, reason);
	if (stage->page == NULL) {
		stage_drop(stage);
		stage = NULL;
	}
	session_launched(session, stage, purpose,
	                 stage == NULL ? HEALTH_BROWSER_FAILED : HEALTH_NONE, reason);
}

/* ---- names ---- */

static void on_begin_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish(struct launch *launch)
{
	struct session *session = launch->session;
	if (session != NULL) {
		session->launch = NULL;
		if (*launch->reason != '\0')
			session_launched(session, NULL, launch->purpose, launch->why,
			                 launch->reason);
		else
			start(session, launch->purpose, &launch->egress);
	}
	uv_close((uv_handle_t *)&launch->begin, on_begin_closed);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct lookup *lookup = request->data;
	struct launch *launch = lookup->launch;
	struct egress_host *host = &launch->egress.hosts[lookup->host];
	if (status != 0 && host->peer) {
		log_warn("sessions.ice_servers: not found", "host=%s reason=\"%s\"", host->at.name,
		         uv_strerror(status));
		status = 0; /* viewers nearer by do without */
		found = NULL;
	}
	launch->why = status != 0 ? HEALTH_NAVIGATION_FAILED : HEALTH_NAVIGATION_BLOCKED;
	if (status != 0)
		snprintf(launch->reason, sizeof launch->reason, "%.120s is not found: %s",
		         host->at.name, uv_strerror(status));
	else if (found != NULL)
		egress_pin(&launch->egress, host->at.name, found, launch->reason);
	if (found != NULL)
		uv_freeaddrinfo(found);
	if (--launch->waiting == 0)
		finish(launch);
}

static void look_up(struct launch *launch, size_t host, uv_loop_t *loop)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct lookup *lookup = &launch->lookups[host];
	*lookup = (struct lookup){.launch = launch, .host = host};
	lookup->request.data = lookup;
	if (uv_getaddrinfo(loop, &lookup->request, on_found, launch->egress.hosts[host].at.name,
	                   NULL, &hints) == 0) {
		launch->waiting++;
	} else {
		launch->why = HEALTH_NAVIGATION_FAILED;
		snprintf(launch->reason, sizeof launch->reason, "%.120s cannot be looked up",
		         launch->egress.hosts[host].at.name);
	}
}

static void on_begin(uv_timer_t *timer)
{
	struct launch *launch = timer->data;
	for (size_t i = 0; i < launch->egress.count; i++)
		if (!launch->egress.hosts[i].at.literal && egress_is_first(&launch->egress, i))
			look_up(launch, i, timer->loop);
	if (launch->waiting == 0)
		finish(launch);
}

void session_launch(struct session *session, enum launch_purpose purpose)
{
	struct launch *launch = xcalloc(1, sizeof *launch);
	check(session->launch == NULL);
	launch->session = session;
	launch->purpose = purpose;
	launch->egress = session->egress;
	session->launch = launch;
	uv_timer_init(session->sessions->loop, &launch->begin);
	launch->begin.data = launch;
	uv_timer_start(&launch->begin, on_begin, 0, 0);
}

void session_launch_cancel(struct session *session)
{
	if (session->launch != NULL)
		session->launch->session = NULL;
	session->launch = NULL;
}
