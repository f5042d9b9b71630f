/* What the files of output.h share; nobody else includes it. */
#pragma once

#include "worker-capture/kept.h"
#include "worker-capture/output.h"

enum { OUTPUT_LINE_BYTES = 128 };

/* The two pipes of one run of ffmpeg. */
struct pipes {
	uv_pipe_t input, progress;
	struct output *output; /* NULL: it goes on without us */
	unsigned handles;
	char line[OUTPUT_LINE_BYTES];
	size_t line_len;
};

/* Where its host is, asked before each start. */
struct lookup {
	uv_getaddrinfo_t request;
	struct output *output; /* NULL: it is over */
};

enum output_state {
	OUTPUT_WAITING,    /* for the first picture */
	OUTPUT_CONNECTING, /* ffmpeg runs and has encoded nothing yet */
	OUTPUT_LIVE,
	OUTPUT_BACKOFF, /* it ended; it is started again after a while */
	OUTPUT_CLOSING,
};

/* Freed when both timers are closed, which follows once it is OUTPUT_CLOSING and its ffmpeg is
 * gone. A look-up and the writes of pictures may still be under way then: they hold no output any
 * more. */
struct output {
	uv_loop_t *loop;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct session *session;
	struct session_watcher *watcher;
	struct output_target target;
	struct lookup *lookup; /* NULL: none is under way */
	struct kept *kept;
	struct pipes *pipes;
	uv_timer_t tick, wait; /* the next picture; the next start, or the end of patience */
	struct picture *newest;
	enum output_state state;
	uint64_t next_ns, state_ms, progress_ms, live_ms, failures;
	uint64_t given, repeated, left_out, encoded, starts;
	uint64_t given_seq;
	double speed;
	char said[KEPT_LINE_MAX];
	void (*on_closed)(void *arg, struct output *output);
	void *on_closed_arg;
	unsigned handles;
};

/* ---- output.c ---- */

/* Around the ends of one run's pipes, which are taken. */
struct pipes *output_pipes_create(struct output *output, int input_fd, int progress_fd);
/* ffmpeg runs: pictures are given to it from now on. */
void output_begin(struct output *output);
/* Looks again then. */
void output_wait(struct output *output, uint64_t delay_ms);
/* It did not work; `said` has why. It is started again after a while. */
void output_back_off(struct output *output);
void output_on_exit(void *arg, int code, const char *line); /* kept.h; arg is an output */
extern const char output_no_space[];

/* ---- output_launch.c ---- */

/* Looks its host up, and starts ffmpeg; or backs off. */
void output_start(struct output *output);
/* A full disk hurts more than a recording that ends: the store may live on it. */
bool output_has_space(const struct output *output);
