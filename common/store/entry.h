/* An entry: one decided change, as it stands in the log.
 *
 * state_decide() turns a command into zero or more entries; state_apply() carries one out. An entry
 * says what to set, never what to ask, so that applying it again, or onto a state that is already
 * past it, changes nothing (every object remembers the LSN of its last change). The form is
 * native-endian and belongs to this machine's ring; it never leaves it. */
#pragma once

#include "common/store/command.h"

enum entry_kind {
	ENTRY_CREATE = 1, /* stream, with its first data if any */
	ENTRY_APPEND,     /* data and/or close */
	ENTRY_DELETE,     /* soft: the stream stays for its forks */
	ENTRY_DROP,       /* really gone; frees the path if it still points here */
	ENTRY_REFS,       /* forks of this stream: plus or minus one */
	ENTRY_TOUCH,
	ENTRY_TRIM,
	ENTRY_KV,            /* value.at NULL: removed */
	ENTRY_PRODUCER_DROP, /* producer.id is forgotten (idle, and the stream at its limit) */
};

struct entry {
	enum entry_kind kind;
	uint64_t stream_id;
	uint64_t at_ms;  /* wall clock of the decision */
	uint64_t offset; /* APPEND, CREATE: where the data begins. TRIM: new first position */
	struct batch data;
	bool close;
	struct producer_tag producer; /* APPEND */
	struct span stream_seq;       /* APPEND */

	struct span path;         /* CREATE, DROP */
	struct span content_type; /* CREATE */
	bool ttl_present, expires_present;
	bool expiry_inherited; /* fork: taken from the source, not asked for */
	uint64_t ttl_s;
	int64_t expires_at_ms;
	uint64_t lineage;        /* CREATE */
	uint64_t source_id;      /* CREATE: 0 = not a fork */
	uint64_t fork_offset;    /* CREATE: where own data begins */
	struct span fork_source; /* CREATE: as requested, for idempotent PUT */
	bool fork_offset_present;
	uint64_t fork_offset_asked, fork_sub_asked;
	int32_t refs_delta; /* REFS */

	struct span key, value; /* KV */
};

/* Everything of the wire form but data.sizes and data.bytes, which follow it in that order.
 * `head` must have room for ENTRY_HEAD_MAX bytes. Returns the head's length, a multiple of 4;
 * *total_bytes is the whole entry's, a multiple of 8 (zeros fill up). */
enum { ENTRY_HEAD_MAX = 40960 };
size_t entry_encode_head(const struct entry *entry, uint8_t *head, size_t *total_bytes);

/* Upper bound of the whole encoded size. */
size_t entry_size_max(const struct entry *entry);

/* Decodes the entry that begins at `bytes.at`, which must be 8-aligned; spans borrow from it.
 * Returns its total size, 0 when malformed. Never reads past `bytes`. */
size_t entry_decode(struct span bytes, struct entry *entry);
