/* A command: one durable change that somebody asks for, and what became of it.
 *
 * Whoever wants to change durable state fills a `struct command`, hands it to store_submit() and
 * leaves it alone until `done` is called. state_decide() judges it, in log order, and nowhere else
 * is anything judged. All spans are borrowed from the submitter until `done`. */
#pragma once

#include "proto/bytes.h"

enum command_kind {
	COMMAND_CREATE, /* PUT: create or fork a stream */
	COMMAND_APPEND, /* POST: append, append and close, close only */
	COMMAND_DELETE, /* DELETE */
	COMMAND_TOUCH,  /* a read renews a sliding TTL; never fails visibly */
	COMMAND_EXPIRE, /* the sweeper found `stream_id` past its time; judged again here */
	COMMAND_TRIM,   /* retention: forget everything before `trim_to` */
	COMMAND_KV,     /* put or remove one small value, optionally only if it is unchanged */
	COMMAND_TXN,    /* several of CREATE, APPEND, DELETE and KV, all or nothing (txn.h) */
};

/* The answer. HTTP statuses are the surface's business (worker-sse/views/streams.c has the table).
 */
enum verdict {
	VERDICT_PENDING,   /* not judged yet */
	VERDICT_OK,        /* done and durable */
	VERDICT_CREATED,   /* a new stream */
	VERDICT_EXISTS,    /* create: already there with the same configuration */
	VERDICT_DUPLICATE, /* producer: this (epoch, seq) was accepted before */
	VERDICT_NOT_FOUND, /* no such stream (or expired) */
	VERDICT_GONE,      /* soft-deleted, kept only for its forks */
	VERDICT_OWNED, /* create, append, delete: the path is the product's own, and the writer is
	                  not it */
	VERDICT_CONFIG_DIFFERS,    /* create: exists with another configuration */
	VERDICT_PATH_SOFT_DELETED, /* create: the path is held by a soft-deleted stream */
	VERDICT_SOURCE_NOT_FOUND,  /* fork: no such source */
	VERDICT_SOURCE_GONE,       /* fork: the source is soft-deleted */
	VERDICT_SOURCE_TYPE,       /* fork: content type differs from the source's */
	VERDICT_FORK_OFFSET,       /* fork: offset beyond the source's tail or of another stream */
	VERDICT_FORK_SUB_OFFSET,   /* fork: sub-offset beyond the next append, or nothing there */
	VERDICT_FORK_DEPTH,        /* fork: a chain of forks longer than FORK_DEPTH_MAX */
	VERDICT_FORK_TRIMMED,      /* fork: retention already took the sub-offset's append */
	VERDICT_CLOSED,            /* append: the stream is closed */
	VERDICT_CONTENT_TYPE,      /* append: content type differs from the stream's */
	VERDICT_BAD_BODY,          /* append, create: the body is not valid JSON (body_fault) */
	VERDICT_PRODUCER_STALE,    /* producer epoch below the accepted one */
	VERDICT_PRODUCER_EPOCH,    /* a new producer epoch must begin with seq 0 */
	VERDICT_PRODUCER_GAP,      /* producer seq skips */
	VERDICT_PRODUCER_LIMIT,    /* too many producers on this stream */
	VERDICT_STREAM_SEQ,        /* Stream-Seq not above the last one */
	VERDICT_STREAM_LIMIT,      /* too many streams */
	VERDICT_OFFSET_LIMIT,      /* the 16-digit offset space of this stream is used up */
	VERDICT_KV_CONFLICT,       /* kv: the present value is not the expected one */
	VERDICT_NO_SPACE,          /* disk or map is full: nothing was written (507) */
	VERDICT_IO_ERROR,          /* the disk failed: nothing is promised (503) */
	VERDICT_STALLED,           /* the log stands still (store_refuse()), or is full and the
	                            * checkpoint gets nowhere: nothing is promised (503) */
	VERDICT_STOPPING,          /* the store is closing: nothing was written (503) */
	VERDICT_ELSEWHERE, /* this node follows another, which takes it: nothing was written (503)
	                    */
};

/* A constant name for logs: "created", "producer-gap", ... */
const char *verdict_name(enum verdict verdict);

/* Messages as they are stored: back to back in `bytes`, `sizes[i]` bytes each.
 * Content that is not JSON has one message per append. JSON has one per value, the raw text of the
 * value with a comma behind it, so that a read is '[' bytes-without-the-last-comma ']'. */
struct batch {
	const uint32_t *sizes; /* below 2^31 each */
	uint32_t count;        /* 0: no body */
	struct span bytes;
};

/* Forks of forks: reading walks the chain, deleting the last may drop all of it at once. */
enum { FORK_DEPTH_MAX = 256 };

struct producer_tag {
	bool present;
	struct span id;
	uint64_t epoch, seq;
};

struct command {
	enum command_kind kind;
	void (*done)(struct command *command); /* on the loop thread, exactly once */
	void *owner;                           /* the submitter's; the store never looks at it */
	uint64_t submitted_ns;                 /* monotonic; the store's */

	/* CREATE, APPEND, DELETE, TOUCH: the stream by path (raw, still percent-encoded, in any
	 * spelling, without query; CREATE makes it under the canonical one: stream_name.h). EXPIRE
	 * and TRIM name it by stream_id. */
	struct span path;
	uint64_t stream_id;
	/* CREATE, APPEND, DELETE: whoever wrote this may write what is the product's own
	 * (state_path_owned()). Set where the product speaks for itself, and never for what
	 * somebody asked for. */
	bool by_owner;

	struct span content_type; /* as sent; empty: none */
	struct batch body;
	const char *body_fault; /* not NULL: the body cannot be taken, for this constant reason */
	bool close;             /* CREATE: created closed. APPEND: Stream-Closed: true */

	/* CREATE */
	bool adopt; /* one of this media type that is there is as good, however it was made */
	bool ttl_present, expires_present;
	uint64_t ttl_s;
	int64_t expires_at_ms; /* Unix ms, may lie in the past */
	bool fork;
	struct span fork_source; /* path */
	bool fork_offset_present, fork_sub_present;
	uint64_t fork_offset;         /* position */
	uint64_t fork_offset_lineage; /* 0 with position 0; else must be the source's */
	uint64_t fork_sub_offset;

	/* APPEND */
	struct producer_tag producer;
	struct span stream_seq; /* empty: none */

	/* TRIM */
	uint64_t trim_to;

	/* KV: `value` NULL at = remove. */
	struct span key, value;
	bool expect_present; /* only if the present value equals `expect` (empty: is absent) */
	struct span expect;

	/* TXN: KV, APPEND without producer or Stream-Seq, CREATE without body or sub-offset, and
	 * DELETE, at most one of each for a key or path. Every condition is judged against the
	 * state before the transaction, except that an APPEND may follow the CREATE of its stream;
	 * a CREATE of a stream that is there with the same configuration is fine, and so is a
	 * DELETE of one that is not. OK: all are done, in one record of the log. Else nothing is,
	 * the verdict is that of parts[failed_part]. */
	struct command *parts;
	uint32_t part_count;

	/* ---- the answer; filled by state_decide(), valid in done() ---- */
	enum verdict verdict;
	uint64_t id;             /* the stream's */
	uint64_t lineage;        /* for printing offsets */
	uint64_t tail;           /* position after the command (or the present one) */
	bool closed;             /* the stream is closed now */
	bool json;               /* the stream is in JSON mode */
	bool closed_by_match;    /* CLOSED, but by this very producer tuple: idempotent success */
	uint64_t producer_epoch; /* the accepted state, for 200, 204 and 403 */
	uint64_t producer_seq;   /* highest accepted */
	uint64_t expected_seq;   /* PRODUCER_GAP */
	uint64_t lsn;            /* where its last entry ends; durable when done() is called */
	uint32_t failed_part;    /* TXN */

	/* What state_decide() had to make for its entries (a fork's prefix); freed with
	 * free() by the store when the entries are written. */
	void *scratch;
	struct command *next; /* the store's queue */
};
