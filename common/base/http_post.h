/* JSON to somebody else's server (or a question), and the answer, without blocking: libcurl's multi
 * interface on the loop. Redirects and proxies are not followed. Loop thread only. */
#pragma once

#include "common/base/address.h"
#include "proto/bytes.h"

#include <uv.h>

enum { HTTP_POST_ANSWER_MAX = 65536 };

struct http_posts;

struct http_post {
	const char *url;
	struct span body;      /* application/json */
	bool get;              /* a GET, without body */
	const char *signature; /* value of Webhook-Signature; NULL: none */
	/* Further ones, "Name: value"; NULL-terminated, or NULL. */
	const char *const *headers;
	uint64_t timeout_ms;         /* for all of it; 0: none */
	uint64_t connect_timeout_ms; /* until it is connected; 0: libcurl's */
	/* It is sent once, on a connection of its own. Over a kept one that turns out to be dead
	 * libcurl sends again by itself, and the first may have arrived. */
	bool once;
	bool status_only; /* the answer's body is not kept, however long it is */
	/* Judged with the address that is connected to, so that what is private stays private,
	 * whatever a name leads to (DNS rebinding). */
	enum address_reach reach;
	bool never_public; /* what is not encrypted goes to no public address */
	/* The body of a 2xx as it comes, in place of the answer's; with the argument of `done`.
	 * False: no more of it is wanted, and `done` says that there was no answer. */
	bool (*on_piece)(void *arg, struct span piece);
	/* ---- of what is handed on as it came ---- */
	const char *method; /* with `body`, if it has one; NULL: POST, or GET */
	bool bare;          /* no other headers than `headers` and what HTTP needs; dots in the
	                       path stay as they are */
	/* Each field of the answer's head, and behind the last one an empty one. Then on_piece() is
	 * given the body whatever the status is. */
	void (*on_field)(void *arg, unsigned status, struct span name, struct span value);
};

struct http_post_answer {
	unsigned status;           /* 0: there was none */
	struct span body;          /* borrowed until the callback returns */
	const char *error;         /* constant, why there was none; "" else */
	uint64_t retry_after_ms;   /* as Retry-After says, from now; 0: it says nothing, or a time
	                            that is past */
	const char *cache_control; /* as it says; "": nothing. Borrowed as the body is */
	uint64_t age_s;            /* as a cache on the way says (Age); 0: nothing */
	bool sent; /* something was sent: without an answer, nobody knows what it did */
};

/* `ca_file`: PEM, of whom servers of https:// must be vouched for by; copied. */
struct http_posts *http_posts_create(uv_loop_t *loop, const char *ca_file);

/* Everything is copied. `done` is called exactly once, from the loop. */
void http_posts_send(struct http_posts *posts, const struct http_post *post,
                     void (*done)(void *arg, const struct http_post_answer *answer), void *arg);
/* What was sent with `arg` is wanted no more: its connection is closed, and `done` called,
 * a turn of the loop later or when its name is resolved. May be called from `on_piece`. */
void http_posts_cancel(struct http_posts *posts, const void *arg);
/* From on_piece(), which returns true then: nothing more comes until http_posts_resume(). */
void http_posts_pause(struct http_posts *posts, const void *arg);
void http_posts_resume(struct http_posts *posts, const void *arg);
size_t http_posts_in_flight(const struct http_posts *posts);
