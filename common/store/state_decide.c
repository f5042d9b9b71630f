/* Judging commands: every durable refusal and acceptance of Ringside is in this file. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/state.h"
#include "common/store/stream_name.h"

#include <stdlib.h>

/* Positions have sixteen decimal digits on the wire. */
static const uint64_t position_max = 9999999999999998u;

struct decision {
	struct state *state;
	struct command *command;
	uint64_t now_ms;
	const struct entry_sink *sink;
	/* Something could not be looked up: nothing may be made of its absence, nothing is emitted,
	 * and the verdict is VERDICT_IO_ERROR. */
	bool unreadable;
};

static void emit(struct decision *d, struct entry *entry)
{
	entry->at_ms = d->now_ms;
	uint64_t lsn = d->sink->put(d->sink->arg, entry);
	state_apply(d->state, entry, lsn);
	d->state->torn |= d->state->unreadable;
	d->command->lsn = lsn;
}

static struct stream *find_exact(struct decision *d, struct span path)
{
	struct stream *stream = state_find_exact(d->state, path);
	d->unreadable |= d->state->unreadable;
	return stream;
}

static struct stream *find_id(struct decision *d, uint64_t id)
{
	struct stream *stream = state_find_id(d->state, id);
	d->unreadable |= d->state->unreadable;
	return stream;
}

/* The stream, unless its time is over (the sweeper has only not come by yet). */
static struct stream *find_living(struct decision *d, struct span path)
{
	struct stream *stream = state_find_living(d->state, path, d->now_ms);
	d->unreadable |= d->state->unreadable;
	return stream;
}

static void answer_stream(struct command *command, const struct stream *stream)
{
	command->id = stream->id;
	command->lineage = stream->lineage;
	command->tail = stream->tail;
	command->closed = stream->closed;
	command->json = stream->json;
}

static struct span text_span(const char *text, uint16_t len)
{
	return span_of(text, len);
}

/* ---- delete, drop, expire, trim ---- */

/* Takes the stream away for good, and with it every soft-deleted source that it was the last fork
 * of. */
static void drop_chain(struct decision *d, struct stream *stream)
{
	while (stream != NULL) {
		uint64_t source_id = stream->source_id;
		struct entry drop = {.kind = ENTRY_DROP,
		                     .stream_id = stream->id,
		                     .path = text_span(stream->path, stream->path_len)};
		emit(d, &drop);
		if (source_id == 0)
			return;
		struct entry unref = {.kind = ENTRY_REFS, .stream_id = source_id, .refs_delta = -1};
		emit(d, &unref);
		struct stream *source = state_find_id(d->state, source_id);
		bool last = source != NULL && source->deleted && source->refs == 0;
		stream = last ? source : NULL;
	}
}

/* Can all that drop_chain() may look at be read? */
static bool chain_readable(struct decision *d, const struct stream *stream)
{
	while (stream != NULL && stream->source_id != 0)
		stream = find_id(d, stream->source_id);
	return !d->unreadable;
}

/* Forks still read from it: it stays, unreachable by its own path. Nothing when its sources cannot
 * be read. */
static void remove_stream(struct decision *d, struct stream *stream)
{
	if (!chain_readable(d, stream))
		return;
	if (stream->refs == 0) {
		drop_chain(d, stream);
		return;
	}
	struct entry entry = {.kind = ENTRY_DELETE, .stream_id = stream->id};
	emit(d, &entry);
}

/* ---- who may ---- */

bool state_path_owned(struct span path)
{
	static const struct span owned[] = {SPAN("/v1/stream/feeds/"), SPAN("/v1/stream/sessions/"),
	                                    SPAN("/v1/stream/conversations/"),
	                                    SPAN("/v1/stream/hub/")};
	uint8_t canonical[STREAM_NAME_ROOM];
	if (path.len > STREAM_NAME_MAX)
		return false;
	if (!stream_name_is_canonical(path))
		path = span_of(canonical, stream_name_canonical(path, canonical));
	for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
		if (path.len >= owned[i].len && memcmp(path.at, owned[i].at, owned[i].len) == 0)
			return true;
	return false;
}

static bool may_write(const struct command *command)
{
	return command->by_owner || !state_path_owned(command->path);
}

static enum verdict decide_delete(struct decision *d)
{
	if (!may_write(d->command))
		return VERDICT_OWNED;
	struct stream *stream = find_living(d, d->command->path);
	if (stream == NULL)
		return VERDICT_NOT_FOUND;
	answer_stream(d->command, stream);
	if (stream->deleted)
		return VERDICT_GONE;
	remove_stream(d, stream);
	return VERDICT_OK;
}

/* Renewed at a time that has not come: the clock was set back since. Its TTL begins anew. */
static bool is_ahead(const struct stream *stream, uint64_t now_ms)
{
	return stream->ttl_present && stream->touched_ms > now_ms + CLOCK_STEP_MS;
}

static enum verdict decide_expire(struct decision *d)
{
	struct stream *stream = find_id(d, d->command->stream_id);
	if (stream != NULL && is_ahead(stream, d->now_ms)) {
		struct entry entry = {.kind = ENTRY_TOUCH, .stream_id = stream->id};
		emit(d, &entry);
		return VERDICT_OK;
	}
	if (stream == NULL || !stream_expired(stream, d->now_ms))
		return VERDICT_NOT_FOUND;
	/* One that is deleted already comes from an index of before: the entry takes it out. */
	remove_stream(d, stream);
	return VERDICT_OK;
}

static enum verdict decide_trim(struct decision *d)
{
	struct stream *stream = find_id(d, d->command->stream_id);
	if (stream == NULL || d->command->trim_to <= stream->first ||
	    d->command->trim_to > stream->tail)
		return VERDICT_NOT_FOUND;
	struct entry entry = {
	        .kind = ENTRY_TRIM, .stream_id = stream->id, .offset = d->command->trim_to};
	emit(d, &entry);
	return VERDICT_OK;
}

static enum verdict decide_touch(struct decision *d)
{
	struct stream *stream = find_living(d, d->command->path);
	if (stream == NULL || stream->deleted)
		return VERDICT_NOT_FOUND;
	answer_stream(d->command, stream);
	/* Another worker may have renewed it meanwhile. */
	if (!stream->ttl_present ||
	    (!is_ahead(stream, d->now_ms) &&
	     d->now_ms < stream->touched_ms + stream_touch_interval_ms(stream)))
		return VERDICT_OK;
	struct entry entry = {.kind = ENTRY_TOUCH, .stream_id = stream->id};
	emit(d, &entry);
	return VERDICT_OK;
}

static enum verdict judge_kv(struct decision *d, bool *exists)
{
	const struct command *command = d->command;
	struct span present = {0};
	*exists = state_kv_get(d->state, command->key, &present);
	d->unreadable |= d->state->unreadable;
	if (d->unreadable)
		return VERDICT_IO_ERROR;
	return command->expect_present && (*exists != (command->expect.at != NULL) ||
	                                   !span_equal(present, command->expect))
	               ? VERDICT_KV_CONFLICT
	               : VERDICT_OK;
}

static enum verdict decide_kv(struct decision *d)
{
	struct command *command = d->command;
	bool exists;
	enum verdict verdict = judge_kv(d, &exists);
	if (verdict != VERDICT_OK || (!exists && command->value.at == NULL))
		return verdict;
	struct entry entry = {.kind = ENTRY_KV, .key = command->key, .value = command->value};
	emit(d, &entry);
	return VERDICT_OK;
}

/* ---- append ---- */

static void forget_idlest_producer(struct decision *d, struct stream *stream,
                                   const struct stream_producer *idlest)
{
	struct entry entry = {.kind = ENTRY_PRODUCER_DROP,
	                      .stream_id = stream->id,
	                      .producer = {.present = true, .id = {idlest->id, idlest->id_len}}};
	emit(d, &entry);
}

/* A new producer needs a place: a free one, or that of one long silent. */
static enum verdict admit_producer(struct decision *d, struct stream *stream)
{
	uint32_t living = 0;
	const struct stream_producer *idlest = NULL;
	for (struct stream_producer *p = stream->producers; p != NULL; p = p->hh.next) {
		if (p->dropped)
			continue;
		living++;
		if (idlest == NULL || p->at_ms < idlest->at_ms ||
		    (p->at_ms == idlest->at_ms && p->lsn < idlest->lsn))
			idlest = p;
	}
	if (living < d->state->limits.producers_per_stream_max)
		return VERDICT_OK;
	if (idlest == NULL || d->now_ms < idlest->at_ms + d->state->limits.producer_idle_ms)
		return VERDICT_PRODUCER_LIMIT;
	forget_idlest_producer(d, stream, idlest);
	return VERDICT_OK;
}

static struct stream_producer *producer_find(struct decision *d, struct stream *stream,
                                             struct span id)
{
	if (!stream->producers_loaded) {
		stream->producers_loaded =
		        d->state->backing.producers == NULL ||
		        d->state->backing.producers(d->state->backing.arg, stream);
		d->unreadable |= !stream->producers_loaded;
	}
	struct stream_producer *producer;
	HASH_FIND(hh, stream->producers, id.at, id.len, producer);
	return producer != NULL && !producer->dropped ? producer : NULL;
}

/* Durable Streams, idempotent producers. OK: take it; anything else: the answer. A new producer is
 * not admitted here, because nothing may move when a later rule refuses. */
static enum verdict judge_producer(struct command *command, const struct stream_producer *known)
{
	const struct producer_tag *tag = &command->producer;
	command->producer_epoch = tag->epoch;
	command->producer_seq = tag->seq;
	if (known == NULL) {
		command->expected_seq = 0;
		return tag->seq == 0 ? VERDICT_OK : VERDICT_PRODUCER_GAP;
	}
	if (tag->epoch < known->epoch) {
		command->producer_epoch = known->epoch;
		return VERDICT_PRODUCER_STALE;
	}
	if (tag->epoch > known->epoch)
		return tag->seq == 0 ? VERDICT_OK : VERDICT_PRODUCER_EPOCH;
	if (tag->seq <= known->seq) {
		command->producer_seq = known->seq;
		return VERDICT_DUPLICATE;
	}
	command->expected_seq = known->seq + 1;
	return tag->seq == known->seq + 1 ? VERDICT_OK : VERDICT_PRODUCER_GAP;
}

/* A closed stream takes nothing more; saying again what closed it is not an error. */
static enum verdict judge_closed(struct command *command, const struct stream *stream)
{
	const struct producer_tag *tag = &command->producer;
	if (!tag->present)
		return command->close && command->body.count == 0 && command->body_fault == NULL
		               ? VERDICT_OK
		               : VERDICT_CLOSED;
	command->producer_epoch = tag->epoch;
	command->producer_seq = tag->seq;
	command->closed_by_match =
	        stream->closed_by_present && stream->closed_epoch == tag->epoch &&
	        stream->closed_seq == tag->seq &&
	        span_equal(text_span(stream->closed_producer, stream->closed_producer_len),
	                   tag->id);
	return VERDICT_CLOSED;
}

static enum verdict judge_append(struct decision *d, struct stream *stream, bool *new_producer)
{
	struct command *command = d->command;
	bool has_body = command->body.count != 0 || command->body_fault != NULL;
	if (has_body &&
	    !media_type_equal(command->content_type,
	                      text_span(stream->content_type, stream->content_type_len)))
		return VERDICT_CONTENT_TYPE;
	if (command->producer.present) {
		struct stream_producer *known = producer_find(d, stream, command->producer.id);
		if (d->unreadable)
			return VERDICT_IO_ERROR;
		enum verdict verdict = judge_producer(command, known);
		if (verdict != VERDICT_OK)
			return verdict;
		*new_producer = known == NULL;
	}
	if (command->stream_seq.len != 0 && stream->stream_seq_len != 0 &&
	    span_compare(command->stream_seq,
	                 span_of(stream->stream_seq, stream->stream_seq_len)) <= 0)
		return VERDICT_STREAM_SEQ;
	if (command->body_fault != NULL)
		return VERDICT_BAD_BODY;
	if (stream->tail + command->body.bytes.len > position_max)
		return VERDICT_OFFSET_LIMIT;
	return *new_producer ? admit_producer(d, stream) : VERDICT_OK;
}

static enum verdict decide_append(struct decision *d)
{
	struct command *command = d->command;
	if (!may_write(command))
		return VERDICT_OWNED;
	struct stream *stream = find_living(d, command->path);
	if (stream == NULL)
		return VERDICT_NOT_FOUND;
	answer_stream(command, stream);
	if (stream->deleted)
		return VERDICT_GONE;
	if (stream->closed)
		return judge_closed(command, stream);
	bool new_producer = false;
	enum verdict verdict = judge_append(d, stream, &new_producer);
	if (verdict != VERDICT_OK)
		return verdict;
	struct entry entry = {.kind = ENTRY_APPEND,
	                      .stream_id = stream->id,
	                      .offset = stream->tail,
	                      .data = command->body,
	                      .close = command->close,
	                      .producer = command->producer,
	                      .stream_seq = command->stream_seq};
	emit(d, &entry);
	answer_stream(command, stream);
	return VERDICT_OK;
}

/* ---- create and fork ---- */

/* A repeated PUT is the same when it asks for the same; the body does not count. */
static bool same_config(const struct command *command, const struct stream *stream)
{
	struct span type = text_span(stream->content_type, stream->content_type_len);
	struct span asked = command->content_type;
	if (asked.len == 0 && !command->fork)
		asked = SPAN("application/octet-stream");
	if (asked.len != 0 && !media_type_equal(asked, type))
		return false;
	if (command->adopt)
		return true;
	bool expiry_asked = command->ttl_present || command->expires_present;
	if (expiry_asked || !stream->expiry_inherited) {
		if (command->ttl_present != stream->ttl_present ||
		    command->expires_present != stream->expires_present ||
		    (command->ttl_present && command->ttl_s != stream->ttl_s) ||
		    (command->expires_present && command->expires_at_ms != stream->expires_at_ms))
			return false;
	}
	if (command->close != stream->closed)
		return false;
	if (command->fork != (stream->source_id != 0))
		return false;
	if (!command->fork)
		return true;
	return stream_name_equal(command->fork_source,
	                         text_span(stream->fork_source, stream->fork_source_len)) &&
	       (!command->fork_offset_present ||
	        command->fork_offset == (stream->fork_offset_present ? stream->fork_offset_asked
	                                                             : stream->fork_offset)) &&
	       command->fork_sub_offset == stream->fork_sub_asked;
}

static enum verdict judge_existing(struct command *command, const struct stream *stream)
{
	answer_stream(command, stream);
	if (stream->deleted)
		return VERDICT_PATH_SOFT_DELETED;
	return same_config(command, stream) ? VERDICT_EXISTS : VERDICT_CONFIG_DIFFERS;
}

/* Which stream of the fork chain holds position `at` as its own. It counts up to *to only: a fork
 * between may have begun within what comes next. */
static struct stream *holder_of(struct decision *d, struct stream *stream, uint64_t at,
                                uint64_t *to)
{
	*to = UINT64_MAX;
	while (stream != NULL && stream->source_id != 0 && at < stream->fork_offset) {
		if (*to > stream->fork_offset)
			*to = stream->fork_offset;
		stream = find_id(d, stream->source_id);
	}
	return stream;
}

/* The append that the source's readers see: not beyond `to`. */
static void cut_append(struct batch *append, uint64_t begins_at, uint64_t to)
{
	uint64_t len = 0;
	uint32_t count = 0;
	if (to - begins_at >= append->bytes.len)
		return;
	while (count < append->count && len < to - begins_at)
		len += append->sizes[count++];
	append->count = count;
	append->bytes.len = (size_t)(to - begins_at);
}

/* Index of the message that begins at `at`, or count when none does. */
static uint32_t message_at(const struct batch *append, uint64_t begins_at, uint64_t at)
{
	uint32_t i = 0;
	while (i < append->count && begins_at < at)
		begins_at += append->sizes[i++];
	return begins_at == at ? i : append->count;
}

/* `count` messages, or one message of `count` bytes, from index `i` on; copied into scratch. */
static bool cut_prefix(struct command *command, bool json, const struct batch *append,
                       uint64_t begins_at, uint64_t at, size_t prefix_bytes_max,
                       struct batch *prefix)
{
	uint64_t wanted = command->fork_sub_offset;
	uint32_t i = json ? message_at(append, begins_at, at) : 0;
	uint64_t left = begins_at + append->bytes.len - at;
	if (json ? wanted > append->count - i : wanted > left)
		return false;
	uint32_t count = json ? (uint32_t)wanted : 1;
	uint64_t len = json ? 0 : wanted;
	for (uint32_t k = 0; json && k < count; k++)
		len += append->sizes[i + k];
	if (prefix_bytes_max != 0 && len + 4 * (uint64_t)count > prefix_bytes_max)
		return false;
	uint8_t *copy = xmalloc(4 * (size_t)count + len);
	uint32_t *sizes = (uint32_t *)(void *)copy;
	if (json)
		memcpy(sizes, append->sizes + i, 4 * (size_t)count);
	else
		sizes[0] = (uint32_t)len;
	memcpy(copy + 4 * (size_t)count, append->bytes.at + (at - begins_at), len);
	command->scratch = copy;
	*prefix = (struct batch){sizes, count, {copy + 4 * (size_t)count, len}};
	return true;
}

/* Where the fork begins and what it takes beyond that (Stream-Fork-Sub-Offset: within the one next
 * append). */
static enum verdict judge_fork_point(struct decision *d, struct stream *source, uint64_t *at,
                                     struct batch *prefix)
{
	struct command *command = d->command;
	*at = command->fork_offset_present ? command->fork_offset : source->tail;
	bool other_lineage = command->fork_offset_present && *at != 0 &&
	                     command->fork_offset_lineage != 0 &&
	                     command->fork_offset_lineage != source->lineage;
	if (*at > source->tail || other_lineage)
		return VERDICT_FORK_OFFSET;
	uint64_t first = stream_first(d->state, source);
	d->unreadable |= d->state->unreadable;
	if (*at < first || d->unreadable)
		return VERDICT_FORK_TRIMMED;
	if (*at == source->tail)
		return command->fork_sub_offset != 0 ? VERDICT_FORK_SUB_OFFSET : VERDICT_OK;
	if (command->fork_sub_offset == 0 && !source->json)
		return VERDICT_OK;
	struct batch append;
	uint64_t begins_at, to;
	struct stream *holder = holder_of(d, source, *at, &to);
	if (holder == NULL || d->state->backing.append_at == NULL)
		return VERDICT_FORK_TRIMMED;
	enum row_found found = d->state->backing.append_at(d->state->backing.arg, holder, *at,
	                                                   &append, &begins_at);
	d->unreadable |= found == ROW_UNREADABLE;
	if (found != ROW_PRESENT)
		return VERDICT_FORK_TRIMMED;
	cut_append(&append, begins_at, to);
	if (source->json && message_at(&append, begins_at, *at) == append.count)
		return VERDICT_FORK_OFFSET;
	if (command->fork_sub_offset == 0)
		return VERDICT_OK;
	return cut_prefix(command, source->json, &append, begins_at, *at,
	                  d->state->limits.fork_prefix_bytes_max, prefix)
	               ? VERDICT_OK
	               : VERDICT_FORK_SUB_OFFSET;
}

static enum verdict judge_fork_source(struct decision *d, struct stream **source)
{
	struct command *command = d->command;
	*source = find_living(d, command->fork_source);
	if (*source == NULL)
		return VERDICT_SOURCE_NOT_FOUND;
	if ((*source)->deleted)
		return VERDICT_SOURCE_GONE;
	if (command->content_type.len != 0 &&
	    !media_type_equal(command->content_type,
	                      text_span((*source)->content_type, (*source)->content_type_len)))
		return VERDICT_SOURCE_TYPE;
	unsigned depth = 1;
	for (struct stream *s = *source; s != NULL && s->source_id != 0; depth++)
		s = find_id(d, s->source_id);
	return depth < FORK_DEPTH_MAX ? VERDICT_OK : VERDICT_FORK_DEPTH;
}

/* Request's TTL, else request's expires-at, else what the source has. */
static void inherit_expiry(struct entry *entry, const struct stream *source)
{
	if (entry->ttl_present || entry->expires_present)
		return;
	entry->expiry_inherited = true;
	entry->ttl_present = source->ttl_present;
	entry->ttl_s = source->ttl_s;
	entry->expires_present = source->expires_present;
	entry->expires_at_ms = source->expires_at_ms;
}

/* The path is held by a stream whose time is over: it goes, or moves out of the way of its forks.
 */
static void make_way(struct decision *d, struct span path)
{
	struct stream *expired = find_exact(d, path);
	if (expired != NULL && !expired->deleted)
		remove_stream(d, expired);
}

static void emit_create(struct decision *d, struct span path, struct stream *source, uint64_t at,
                        const struct batch *prefix)
{
	struct command *command = d->command;
	uint64_t id = d->state->next_id;
	bool two = prefix->count != 0 && command->body.count != 0;
	struct entry create = {.kind = ENTRY_CREATE,
	                       .stream_id = id,
	                       .lineage = id,
	                       .path = path,
	                       .content_type = command->content_type,
	                       .ttl_present = command->ttl_present,
	                       .ttl_s = command->ttl_s,
	                       .expires_present = command->expires_present,
	                       .expires_at_ms = command->expires_at_ms,
	                       .close = command->close && !two,
	                       .data = prefix->count != 0 ? *prefix : command->body};
	if (create.content_type.len == 0)
		create.content_type = SPAN("application/octet-stream");
	if (source != NULL) {
		struct entry ref = {.kind = ENTRY_REFS, .stream_id = source->id, .refs_delta = 1};
		if (command->content_type.len == 0)
			create.content_type =
			        text_span(source->content_type, source->content_type_len);
		inherit_expiry(&create, source);
		create.lineage = source->lineage;
		create.offset = create.fork_offset = at;
		create.source_id = source->id;
		create.fork_source = command->fork_source;
		create.fork_offset_present = command->fork_offset_present;
		create.fork_offset_asked = command->fork_offset;
		create.fork_sub_asked = command->fork_sub_offset;
		emit(d, &ref);
	}
	emit(d, &create);
	if (two) {
		struct entry append = {.kind = ENTRY_APPEND,
		                       .stream_id = id,
		                       .offset = at + prefix->bytes.len,
		                       .data = command->body,
		                       .close = command->close};
		emit(d, &append);
	}
}

static enum verdict decide_create(struct decision *d)
{
	struct command *command = d->command;
	if (!may_write(command))
		return VERDICT_OWNED;
	struct stream *existing = find_living(d, command->path);
	if (existing != NULL)
		return judge_existing(command, existing);
	if (d->unreadable)
		return VERDICT_IO_ERROR;
	struct stream *source = NULL;
	struct batch prefix = {0};
	uint64_t at = 0;
	uint8_t canonical[STREAM_NAME_ROOM];
	if (command->path.len > STREAM_NAME_MAX)
		return VERDICT_NOT_FOUND; /* no surface lets one through */
	struct span path = span_of(canonical, stream_name_canonical(command->path, canonical));
	if (command->fork) {
		enum verdict verdict = judge_fork_source(d, &source);
		if (verdict == VERDICT_OK && command->body_fault == NULL)
			verdict = judge_fork_point(d, source, &at, &prefix);
		if (verdict != VERDICT_OK)
			return verdict;
	}
	if (command->body_fault != NULL)
		return VERDICT_BAD_BODY;
	if (d->state->streams_count >= d->state->limits.streams_max)
		return VERDICT_STREAM_LIMIT;
	if (at + prefix.bytes.len + command->body.bytes.len > position_max)
		return VERDICT_OFFSET_LIMIT;
	make_way(d, path);
	if (d->unreadable)
		return VERDICT_IO_ERROR;
	emit_create(d, path, source, at, &prefix);
	struct stream *stream = find_exact(d, path);
	if (d->unreadable)
		return VERDICT_IO_ERROR;
	check(stream != NULL);
	answer_stream(command, stream);
	return VERDICT_CREATED;
}

/* ---- all or nothing ---- */

static void decide(struct state *state, struct command *command, uint64_t now_ms,
                   const struct entry_sink *sink);

/* The CREATE among parts[0..i) that makes the stream of parts[i]. */
static const struct command *created_before(const struct command *whole, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (whole->parts[k].kind == COMMAND_CREATE &&
		    span_equal(whole->parts[k].path, whole->parts[i].path))
			return &whole->parts[k];
	return NULL;
}

static enum verdict judge_part_create(struct decision *d, uint64_t created)
{
	struct command *part = d->command;
	check(part->fork_sub_offset == 0 && part->body.count == 0 && part->body_fault == NULL);
	struct stream *existing = find_living(d, part->path), *source;
	struct batch prefix = {0};
	uint64_t at;
	if (existing != NULL) {
		enum verdict verdict = judge_existing(part, existing);
		return verdict == VERDICT_EXISTS ? VERDICT_OK : verdict;
	}
	if (part->fork) {
		enum verdict verdict = judge_fork_source(d, &source);
		if (verdict == VERDICT_OK)
			verdict = judge_fork_point(d, source, &at, &prefix);
		if (verdict != VERDICT_OK)
			return verdict;
	}
	return d->state->streams_count + created < d->state->limits.streams_max
	               ? VERDICT_OK
	               : VERDICT_STREAM_LIMIT;
}

/* One that is not there is as good as deleted. */
static enum verdict judge_part_delete(struct decision *d)
{
	const struct stream *stream = find_living(d, d->command->path);
	if (stream != NULL)
		chain_readable(d, stream);
	return VERDICT_OK;
}

static enum verdict judge_part_append(struct decision *d, const struct command *create)
{
	struct command *part = d->command;
	check(!part->producer.present && part->stream_seq.len == 0);
	struct stream *stream = find_living(d, part->path);
	bool new_producer = false;
	if (stream == NULL) {
		if (create == NULL)
			return VERDICT_NOT_FOUND;
		if (part->body_fault != NULL)
			return VERDICT_BAD_BODY;
		if (create->fork && create->fork_offset + part->body.bytes.len > position_max)
			return VERDICT_OFFSET_LIMIT; /* a fork in a transaction says its offset */
		return media_type_equal(part->content_type, create->content_type)
		               ? VERDICT_OK
		               : VERDICT_CONTENT_TYPE;
	}
	if (stream->deleted)
		return VERDICT_GONE;
	return stream->closed ? judge_closed(part, stream) : judge_append(d, stream, &new_producer);
}

static enum verdict judge_part(struct decision *whole, uint32_t i, uint64_t *created)
{
	struct decision d = *whole;
	bool exists;
	d.command = &whole->command->parts[i];
	enum verdict verdict = VERDICT_BAD_BODY;
	if (d.command->kind != COMMAND_KV && !may_write(d.command))
		return VERDICT_OWNED;
	switch (d.command->kind) {
	case COMMAND_KV:
		verdict = judge_kv(&d, &exists);
		break;
	case COMMAND_CREATE:
		verdict = judge_part_create(&d, (*created)++);
		break;
	case COMMAND_APPEND:
		verdict = judge_part_append(&d, created_before(whole->command, i));
		break;
	case COMMAND_DELETE:
		verdict = judge_part_delete(&d);
		break;
	case COMMAND_TOUCH:
	case COMMAND_EXPIRE:
	case COMMAND_TRIM:
	case COMMAND_TXN:
		check(false); /* not allowed in a transaction */
	}
	return d.unreadable ? VERDICT_IO_ERROR : verdict;
}

static enum verdict decide_txn(struct decision *d)
{
	struct command *whole = d->command;
	uint64_t created = 0;
	for (uint32_t i = 0; i < whole->part_count; i++) {
		enum verdict verdict = judge_part(d, i, &created);
		if (verdict != VERDICT_OK) {
			whole->failed_part = i;
			return verdict;
		}
	}
	for (uint32_t i = 0; i < whole->part_count; i++) {
		struct command *part = &whole->parts[i];
		decide(d->state, part, d->now_ms, d->sink);
		if (part->verdict == VERDICT_IO_ERROR) { /* could be read a moment ago */
			d->state->torn = true;
			return VERDICT_IO_ERROR;
		}
		bool absent = part->verdict == VERDICT_NOT_FOUND || part->verdict == VERDICT_GONE;
		check(part->verdict == VERDICT_OK || part->verdict == VERDICT_CREATED ||
		      part->verdict == VERDICT_EXISTS || (absent && part->kind == COMMAND_DELETE));
		if (part->lsn > whole->lsn)
			whole->lsn = part->lsn;
	}
	return VERDICT_OK;
}

static void decide(struct state *state, struct command *command, uint64_t now_ms,
                   const struct entry_sink *sink)
{
	struct decision d = {.state = state, .command = command, .now_ms = now_ms, .sink = sink};
	switch (command->kind) {
	case COMMAND_CREATE:
		command->verdict = decide_create(&d);
		break;
	case COMMAND_APPEND:
		command->verdict = decide_append(&d);
		break;
	case COMMAND_DELETE:
		command->verdict = decide_delete(&d);
		break;
	case COMMAND_TOUCH:
		command->verdict = decide_touch(&d);
		break;
	case COMMAND_EXPIRE:
		command->verdict = decide_expire(&d);
		break;
	case COMMAND_TRIM:
		command->verdict = decide_trim(&d);
		break;
	case COMMAND_KV:
		command->verdict = decide_kv(&d);
		break;
	case COMMAND_TXN:
		command->verdict = decide_txn(&d);
		break;
	}
	if (d.unreadable)
		command->verdict = VERDICT_IO_ERROR;
}

void state_decide(struct state *state, struct command *command, uint64_t now_ms,
                  const struct entry_sink *sink)
{
	/* The log's clock does not run back by what the clocks of two workers' looks differ by.
	 * When the machine's was set back it follows: what lives for a time would else live until
	 * the old time is reached again. */
	bool slips = now_ms < state->now_ms && state->now_ms - now_ms < CLOCK_STEP_MS;
	decide(state, command, slips ? state->now_ms : now_ms, sink);
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
	        [VERDICT_PENDING] = "pending",
	        [VERDICT_OK] = "ok",
	        [VERDICT_CREATED] = "created",
	        [VERDICT_EXISTS] = "exists",
	        [VERDICT_DUPLICATE] = "duplicate",
	        [VERDICT_NOT_FOUND] = "not-found",
	        [VERDICT_GONE] = "gone",
	        [VERDICT_OWNED] = "owned",
	        [VERDICT_CONFIG_DIFFERS] = "config-differs",
	        [VERDICT_PATH_SOFT_DELETED] = "path-soft-deleted",
	        [VERDICT_SOURCE_NOT_FOUND] = "source-not-found",
	        [VERDICT_SOURCE_GONE] = "source-gone",
	        [VERDICT_SOURCE_TYPE] = "source-type",
	        [VERDICT_FORK_OFFSET] = "fork-offset",
	        [VERDICT_FORK_SUB_OFFSET] = "fork-sub-offset",
	        [VERDICT_FORK_DEPTH] = "fork-depth",
	        [VERDICT_FORK_TRIMMED] = "fork-trimmed",
	        [VERDICT_CLOSED] = "closed",
	        [VERDICT_CONTENT_TYPE] = "content-type",
	        [VERDICT_BAD_BODY] = "bad-body",
	        [VERDICT_PRODUCER_STALE] = "producer-stale",
	        [VERDICT_PRODUCER_EPOCH] = "producer-epoch",
	        [VERDICT_PRODUCER_GAP] = "producer-gap",
	        [VERDICT_PRODUCER_LIMIT] = "producer-limit",
	        [VERDICT_STREAM_SEQ] = "stream-seq",
	        [VERDICT_STREAM_LIMIT] = "stream-limit",
	        [VERDICT_OFFSET_LIMIT] = "offset-limit",
	        [VERDICT_KV_CONFLICT] = "kv-conflict",
	        [VERDICT_NO_SPACE] = "no-space",
	        [VERDICT_IO_ERROR] = "io-error",
	        [VERDICT_STALLED] = "stalled",
	        [VERDICT_STOPPING] = "stopping",
	        [VERDICT_ELSEWHERE] = "elsewhere",
	};
	return names[verdict];
}
