#include "worker-bridge/webhook.h"
#include "common/check.h"
#include "common/log.h"
#include "common/subscription.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 65536 };

struct webhooks {
	CURLM *multi;
	uv_loop_t *loop;
	uv_timer_t timer;
	const struct settings *settings;
	size_t in_flight;
};

struct delivery {
	struct webhooks *webhooks;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *body;
	char answer[ANSWER_BYTES_MAX];
	size_t answer_len;
	bool loopback;
	void (*done)(void *arg, enum webhook_outcome outcome);
	void *arg;
};

/* ---- libcurl on libuv ---- */

struct watch {
	uv_poll_t poll;
	curl_socket_t fd;
	struct webhooks *webhooks;
};

static void collect(struct webhooks *w);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct webhooks *w = watch->webhooks;
	int running, flags = 0;
	if (status < 0)
		flags = CURL_CSELECT_ERR;
	flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
	flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
	curl_multi_socket_action(w->multi, watch->fd, flags, &running);
	collect(w);
}

static void on_timer(uv_timer_t *timer)
{
	struct webhooks *w = timer->data;
	int running;
	curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(w);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct webhooks *w = arg;
	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&w->timer);
	else
		uv_timer_start(&w->timer, on_timer, timeout_ms > 0 ? (uint64_t)timeout_ms : 1, 0);
	return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct webhooks *w = arg;
	struct watch *watch = socket_arg;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch != NULL) {
			uv_poll_stop(&watch->poll);
			uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
			curl_multi_assign(w->multi, fd, NULL);
		}
		return 0;
	}
	if (watch == NULL) {
		watch = xcalloc(1, sizeof *watch);
		*watch = (struct watch){.fd = fd, .webhooks = w};
		uv_poll_init_socket(w->loop, &watch->poll, fd);
		watch->poll.data = watch;
		curl_multi_assign(w->multi, fd, watch);
	}
	int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
	uv_poll_start(&watch->poll, events, on_poll);
	return 0;
}

/* ---- one delivery ---- */

/* Names are judged when they have been resolved: what is private stays private (DNS rebinding). */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct delivery *d = arg;
	(void)purpose;
	if (!webhook_address_allowed(&address->addr, d->loopback)) {
		log_warn("webhook address refused", "url=%s", d->url);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_answer(char *at, size_t size, size_t count, void *arg)
{
	struct delivery *d = arg;
	size_t len = size * count;
	if (d->answer_len + len > sizeof d->answer)
		return 0;
	memcpy(d->answer + d->answer_len, at, len);
	d->answer_len += len;
	return len;
}

static enum webhook_outcome judge(struct delivery *d, CURLcode code)
{
	long status = 0;
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status < 200 || status >= 300) {
		log_warn("webhook failed", "url=%s status=%ld error=\"%s\"", d->url, status,
		         code != CURLE_OK ? curl_easy_strerror(code) : "");
		return WEBHOOK_FAILED;
	}
	json_t *answer = json_loadb(d->answer, d->answer_len, 0, NULL);
	bool done = json_is_true(json_object_get(answer, "done"));
	json_decref(answer);
	return done ? WEBHOOK_DONE : WEBHOOK_ACCEPTED;
}

static void delivery_free(struct delivery *d)
{
	curl_slist_free_all(d->headers);
	curl_easy_cleanup(d->easy);
	free(d->url);
	free(d->body);
	free(d);
}

static void collect(struct webhooks *w)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(w->multi, &left)) != NULL) {
		struct delivery *d;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&d);
		enum webhook_outcome outcome = judge(d, message->data.result);
		curl_multi_remove_handle(w->multi, d->easy);
		w->in_flight--;
		d->done(d->arg, outcome);
		delivery_free(d);
	}
}

static void host_of(const char *url, char host[256])
{
	const char *from = strstr(url, "://");
	from = from != NULL ? from + 3 : url;
	size_t len = strcspn(from, ":/?#");
	len = len < 255 ? len : 255;
	memcpy(host, from, len);
	host[len] = '\0';
}

bool webhooks_send(struct webhooks *w, const char *url, struct span body, const char *signature,
                   void (*done)(void *arg, enum webhook_outcome outcome), void *arg)
{
	char header[320], host[256];
	if (w->in_flight >= w->settings->webhook_parallel)
		return false;
	struct delivery *d = xcalloc(1, sizeof *d);
	*d = (struct delivery){.webhooks = w, .easy = curl_easy_init(), .done = done, .arg = arg};
	check(d->easy != NULL);
	d->url = xmemdup_text(url, strlen(url));
	d->body = xmemdup_text(body.at, body.len);
	host_of(url, host);
	d->loopback = webhook_host_loopback(host);
	snprintf(header, sizeof header, "Webhook-Signature: %s", signature);
	d->headers = curl_slist_append(NULL, "Content-Type: application/json");
	d->headers = curl_slist_append(d->headers, header);
	d->headers = curl_slist_append(d->headers, "Expect:");
	curl_easy_setopt(d->easy, CURLOPT_URL, d->url);
	curl_easy_setopt(d->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(d->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(d->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(d->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(d->easy, CURLOPT_TIMEOUT_MS, (long)w->settings->webhook_timeout_ms);
	curl_easy_setopt(d->easy, CURLOPT_HTTPHEADER, d->headers);
	curl_easy_setopt(d->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	curl_easy_setopt(d->easy, CURLOPT_POSTFIELDS, d->body);
	curl_easy_setopt(d->easy, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(d->easy, CURLOPT_WRITEDATA, d);
	curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETDATA, d);
	curl_easy_setopt(d->easy, CURLOPT_PRIVATE, d);
	curl_easy_setopt(d->easy, CURLOPT_USERAGENT, "ringside/" RINGSIDE_VERSION);
	w->in_flight++;
	check(curl_multi_add_handle(w->multi, d->easy) == CURLM_OK);
	return true;
}

size_t webhooks_in_flight(const struct webhooks *webhooks)
{
	return webhooks->in_flight;
}

struct webhooks *webhooks_create(uv_loop_t *loop, const struct settings *settings)
{
	struct webhooks *w = xcalloc(1, sizeof *w);
	check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	*w = (struct webhooks){.multi = curl_multi_init(), .loop = loop, .settings = settings};
	uv_timer_init(loop, &w->timer);
	w->timer.data = w;
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
	return w;
}
