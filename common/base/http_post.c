#include "common/base/http_post.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

struct http_posts {
	CURLM *multi;
	uv_loop_t *loop;
	uv_timer_t timer;
	char *ca_file;
	size_t in_flight;
	struct delivery *deliveries; /* those in flight */
	uv_timer_t sweep;            /* some of them were cancelled */
};

struct delivery {
	struct http_posts *posts;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *body;
	char answer[HTTP_POST_ANSWER_MAX];
	size_t answer_len;
	enum address_reach reach;
	bool never_public, status_only;
	bool opened; /* its name is resolved: it has a connection, or a socket was asked for */
	bool cancelled;
	struct delivery *prev, *next;
	bool (*on_piece)(void *arg, struct span piece);
	void (*on_field)(void *arg, unsigned status, struct span name, struct span value);
	void (*done)(void *arg, const struct http_post_answer *answer);
	void *arg;
};

/* ---- libcurl on libuv ---- */

struct watch {
	uv_poll_t poll;
	curl_socket_t fd;
	struct http_posts *posts;
};

static void collect(struct http_posts *posts);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct http_posts *posts = watch->posts;
	int running, flags = 0;
	if (status < 0)
		flags = CURL_CSELECT_ERR;
	flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
	flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
	curl_multi_socket_action(posts->multi, watch->fd, flags, &running);
	collect(posts);
}

static void on_timer(uv_timer_t *timer)
{
	struct http_posts *posts = timer->data;
	int running;
	curl_multi_socket_action(posts->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(posts);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_posts *posts = arg;
	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&posts->timer);
	else
		uv_timer_start(&posts->timer, on_timer, timeout_ms > 0 ? (uint64_t)timeout_ms : 1,
		               0);
	return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_posts *posts = arg;
	struct watch *watch = socket_arg;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch != NULL) {
			uv_poll_stop(&watch->poll);
			uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
			curl_multi_assign(posts->multi, fd, NULL);
		}
		return 0;
	}
	if (watch == NULL) {
		watch = xcalloc(1, sizeof *watch);
		*watch = (struct watch){.fd = fd, .posts = posts};
		uv_poll_init_socket(posts->loop, &watch->poll, fd);
		watch->poll.data = watch;
		curl_multi_assign(posts->multi, fd, watch);
	}
	int events =
	        (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
	uv_poll_start(&watch->poll, events, on_poll);
	return 0;
}

/* ---- one delivery ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct delivery *d = arg;
	(void)purpose;
	d->opened = true;
	if (d->cancelled)
		return CURL_SOCKET_BAD;
	bool is_public = address_kind(&address->addr) == ADDRESS_PUBLIC;
	if (!address_allowed(d->reach, &address->addr) || (is_public && d->never_public)) {
		char text[INET6_ADDRSTRLEN] = "", url[ADDRESS_URL_SHOWN_ROOM];
		address_text(&address->addr, text);
		address_url_shown(d->url, url);
		log_warn("address refused", "url=%s address=%s", url, text);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before anything is sent, over a kept connection too, for which no socket is asked. */
static int before_request(void *arg, char *there, char *here, int there_port, int here_port)
{
	struct delivery *d = arg;
	(void)there;
	(void)here;
	(void)there_port;
	(void)here_port;
	d->opened = true;
	return d->cancelled ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t take_answer(char *at, size_t size, size_t count, void *arg)
{
	struct delivery *d = arg;
	size_t len = size * count;
	long status = 0;
	if (d->cancelled)
		return 0;
	if (d->status_only)
		return len;
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	if (d->on_piece != NULL && (d->on_field != NULL || (status >= 200 && status < 300)))
		return d->on_piece(d->arg, span_of(at, len)) ? len : 0;
	if (d->answer_len + len > sizeof d->answer)
		return 0;
	memcpy(d->answer + d->answer_len, at, len);
	d->answer_len += len;
	return len;
}

/* "Name: value\r\n"; at the end "\r\n". */
static size_t take_field(char *at, size_t size, size_t count, void *arg)
{
	struct delivery *d = arg;
	size_t len = size * count, left = len;
	long status = 0;
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	const char *colon = memchr(at, ':', len);
	while (left > 0 && (at[left - 1] == '\r' || at[left - 1] == '\n' || at[left - 1] == ' '))
		left--;
	if (d->cancelled || status < 200) /* an interim answer: another head follows */
		return len;
	if (left == 0) {
		d->on_field(d->arg, (unsigned)status, (struct span){0}, (struct span){0});
	} else if (colon != NULL && colon < at + left) {
		const char *value = colon + 1;
		while (value < at + left && *value == ' ')
			value++;
		d->on_field(d->arg, (unsigned)status, span_of(at, (size_t)(colon - at)),
		            span_of(value, (size_t)(at + left - value)));
	}
	return len;
}

static void delivery_free(struct delivery *d)
{
	curl_slist_free_all(d->headers);
	curl_easy_cleanup(d->easy);
	free(d->url);
	free(d->body);
	free(d);
}

/* A server may say anything: a number that libcurl cannot hold is as long as can be. */
static uint64_t retry_after_ms(CURL *easy)
{
	curl_off_t s = 0; /* of a date it is what is left */
	struct curl_header *field;
	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &s);
	if (s > 0)
		return (uint64_t)s > UINT64_MAX / 1000 ? UINT64_MAX : (uint64_t)s * 1000;
	if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &field) != CURLHE_OK)
		return 0;
	size_t digits = strspn(field->value, "0123456789");
	bool number = digits > 0 && field->value[digits] == '\0';
	return number && strspn(field->value, "0") < digits ? UINT64_MAX : 0;
}

/* "": there is none. Lives as long as the transfer. */
static const char *field_of(CURL *easy, const char *name)
{
	struct curl_header *field;
	bool there = curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &field) == CURLHE_OK;
	return there ? field->value : "";
}

static void finish(struct delivery *d, CURLcode code)
{
	struct http_post_answer answer = {.error = "", .cache_control = ""};
	long status = 0;
	long request_bytes = 0;
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(d->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
	answer.sent = request_bytes > 0;
	if (code == CURLE_OK) {
		answer.status = (unsigned)status;
		answer.retry_after_ms = retry_after_ms(d->easy);
		answer.cache_control = field_of(d->easy, "Cache-Control");
		answer.age_s = strtoull(field_of(d->easy, "Age"), NULL, 10);
		answer.body = span_of(d->answer, d->answer_len);
	} else {
		answer.error = curl_easy_strerror(code);
	}
	curl_multi_remove_handle(d->posts->multi, d->easy);
	d->posts->in_flight--;
	DL_DELETE(d->posts->deliveries, d);
	d->done(d->arg, &answer);
	delivery_free(d);
}

static void collect(struct http_posts *posts)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(posts->multi, &left)) != NULL) {
		struct delivery *d;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&d);
		finish(d, message->data.result);
	}
}

/* One whose name is being resolved ends with that: libcurl would wait here until it is. */
static void on_sweep(uv_timer_t *timer)
{
	struct http_posts *posts = timer->data;
	struct delivery *d, *next;
	for (d = posts->deliveries; d != NULL; d = next) {
		next = d->next;
		if (d->cancelled && d->opened)
			finish(d, CURLE_ABORTED_BY_CALLBACK);
	}
}

static void set_headers(struct delivery *d, const struct http_post *post)
{
	char header[320];
	const char *const *more = post->headers, *signature = post->signature;
	const char *type =
	        post->get ? "Accept: application/json" : "Content-Type: application/json";
	if (!post->bare)
		d->headers = curl_slist_append(NULL, type);
	d->headers = curl_slist_append(d->headers, "Expect:");
	if (signature != NULL) {
		snprintf(header, sizeof header, "Webhook-Signature: %s", signature);
		d->headers = curl_slist_append(d->headers, header);
	}
	for (; more != NULL && *more != NULL; more++)
		d->headers = curl_slist_append(d->headers, *more);
	curl_easy_setopt(d->easy, CURLOPT_HTTPHEADER, d->headers);
}

void http_posts_send(struct http_posts *posts, const struct http_post *post,
                     void (*done)(void *arg, const struct http_post_answer *answer), void *arg)
{
	char agent[32];
	struct delivery *d = xcalloc(1, sizeof *d);
	*d = (struct delivery){.posts = posts,
	                       .easy = curl_easy_init(),
	                       .reach = post->reach,
	                       .never_public = post->never_public,
	                       .status_only = post->status_only,
	                       .on_piece = post->on_piece,
	                       .on_field = post->on_field,
	                       .done = done,
	                       .arg = arg};
	check(d->easy != NULL);
	d->url = xmemdup_text(post->url, strlen(post->url));
	d->body = post->get ? NULL : xmemdup_text(post->body.at, post->body.len);
	set_headers(d, post);
	curl_easy_setopt(d->easy, CURLOPT_URL, d->url);
	curl_easy_setopt(d->easy, CURLOPT_CAINFO, posts->ca_file);
	curl_easy_setopt(d->easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(d->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(d->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(d->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(d->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(d->easy, CURLOPT_TIMEOUT_MS, (long)post->timeout_ms);
	if (post->connect_timeout_ms > 0)
		curl_easy_setopt(d->easy, CURLOPT_CONNECTTIMEOUT_MS,
		                 (long)post->connect_timeout_ms);
	curl_easy_setopt(d->easy, CURLOPT_PATH_AS_IS, post->bare ? 1L : 0L);
	curl_easy_setopt(d->easy, CURLOPT_FRESH_CONNECT, post->once ? 1L : 0L);
	curl_easy_setopt(d->easy, CURLOPT_FORBID_REUSE, post->once ? 1L : 0L);
	if (post->once) /* a stream that HTTP/2 refuses would be sent again */
		curl_easy_setopt(d->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (!post->get) {
		curl_easy_setopt(d->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.len);
		curl_easy_setopt(d->easy, CURLOPT_POSTFIELDS, d->body);
	}
	if (post->method != NULL)
		curl_easy_setopt(d->easy, CURLOPT_CUSTOMREQUEST, post->method);
	if (post->method != NULL && strcmp(post->method, "HEAD") == 0)
		curl_easy_setopt(d->easy, CURLOPT_NOBODY, 1L);
	if (post->on_field != NULL) {
		curl_easy_setopt(d->easy, CURLOPT_HEADERFUNCTION, take_field);
		curl_easy_setopt(d->easy, CURLOPT_HEADERDATA, d);
	}
	curl_easy_setopt(d->easy, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(d->easy, CURLOPT_WRITEDATA, d);
	curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETDATA, d);
	curl_easy_setopt(d->easy, CURLOPT_PREREQFUNCTION, before_request);
	curl_easy_setopt(d->easy, CURLOPT_PREREQDATA, d);
	curl_easy_setopt(d->easy, CURLOPT_PRIVATE, d);
	snprintf(agent, sizeof agent, "ringside/%s", ringside_version);
	curl_easy_setopt(d->easy, CURLOPT_USERAGENT, agent); /* copied */
	posts->in_flight++;
	DL_APPEND(posts->deliveries, d);
	check(curl_multi_add_handle(posts->multi, d->easy) == CURLM_OK);
}

void http_posts_cancel(struct http_posts *posts, const void *arg)
{
	for (struct delivery *d = posts->deliveries; d != NULL; d = d->next)
		if (d->arg == arg)
			d->cancelled = true;
	/* Not at once: it may be libcurl that calls. */
	uv_timer_start(&posts->sweep, on_sweep, 0, 0);
}

static void set_paused(struct http_posts *posts, const void *arg, int flags)
{
	for (struct delivery *d = posts->deliveries; d != NULL; d = d->next)
		if (d->arg == arg && !d->cancelled) {
			curl_easy_pause(d->easy, flags);
			return;
		}
}

void http_posts_pause(struct http_posts *posts, const void *arg)
{
	set_paused(posts, arg, CURLPAUSE_RECV);
}

void http_posts_resume(struct http_posts *posts, const void *arg)
{
	set_paused(posts, arg, CURLPAUSE_CONT);
}

size_t http_posts_in_flight(const struct http_posts *posts)
{
	return posts->in_flight;
}

struct http_posts *http_posts_create(uv_loop_t *loop, const char *ca_file)
{
	struct http_posts *posts = xcalloc(1, sizeof *posts);
	check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	*posts = (struct http_posts){.multi = curl_multi_init(),
	                             .loop = loop,
	                             .ca_file = xmemdup_text(ca_file, strlen(ca_file))};
	uv_timer_init(loop, &posts->timer);
	uv_timer_init(loop, &posts->sweep);
	posts->timer.data = posts->sweep.data = posts;
	curl_multi_setopt(posts->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(posts->multi, CURLMOPT_SOCKETDATA, posts);
	curl_multi_setopt(posts->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(posts->multi, CURLMOPT_TIMERDATA, posts);
	return posts;
}
