#include "common/store/entry.h"
#include "common/base/check.h"

/* The wire form: a fixed part, then what the kind and flags call for, in this order; every text is
 * a length in the fixed part and bytes in the tail, so that decoding needs one bounds check per
 * part. Appends, which are nearly all entries, have a short fixed part of their own. */

enum entry_flag {
	FLAG_CLOSE = 1 << 0,
	FLAG_PRODUCER = 1 << 1,
	FLAG_STREAM_SEQ = 1 << 2,
	FLAG_TTL = 1 << 3,
	FLAG_EXPIRES = 1 << 4,
	FLAG_FORK_OFFSET = 1 << 5,
	FLAG_VALUE = 1 << 6,
	FLAG_EXPIRY_INHERITED = 1 << 7,
	FLAG_ALL = (1 << 8) - 1,
};

/* Every entry begins with this. 32 bytes. */
struct common_part {
	uint32_t total_bytes; /* of the whole entry, a multiple of 8 */
	uint8_t kind;
	uint8_t flags;
	uint16_t head_bytes; /* of everything before the sizes table, a multiple of 4 */
	uint64_t stream_id;
	uint64_t at_ms;
	uint32_t count;      /* messages */
	uint32_t data_bytes; /* their bytes; KV: the value's */
};
_Static_assert(sizeof(struct common_part) == 32, "log format");

struct producer_part {
	uint64_t epoch, seq;
	uint16_t id_len, pad[3];
};
_Static_assert(sizeof(struct producer_part) == 24, "log format");

struct create_part {
	uint64_t offset, lineage, ttl_s;
	int64_t expires_at_ms;
	uint64_t source_id, fork_offset, fork_offset_asked, fork_sub_asked;
	uint16_t path_len, content_type_len, fork_source_len, pad;
};
_Static_assert(sizeof(struct create_part) == 72, "log format");

static size_t pad_to(size_t n, size_t unit)
{
	return (n + unit - 1) & ~(unit - 1);
}

static void put(uint8_t **at, const void *from, size_t len)
{
	if (len != 0)
		memcpy(*at, from, len);
	*at += len;
}

static void put_span(uint8_t **at, struct span s)
{
	put(at, s.at, s.len);
}

static uint8_t flags_of(const struct entry *entry)
{
	unsigned flags = 0;
	flags |= entry->close ? FLAG_CLOSE : 0;
	flags |= entry->producer.present ? FLAG_PRODUCER : 0;
	flags |= entry->stream_seq.len != 0 ? FLAG_STREAM_SEQ : 0;
	flags |= entry->ttl_present ? FLAG_TTL : 0;
	flags |= entry->expires_present ? FLAG_EXPIRES : 0;
	flags |= entry->fork_offset_present ? FLAG_FORK_OFFSET : 0;
	flags |= entry->value.at != NULL ? FLAG_VALUE : 0;
	flags |= entry->expiry_inherited ? FLAG_EXPIRY_INHERITED : 0;
	return (uint8_t)flags;
}

static void put_append(uint8_t **at, const struct entry *entry)
{
	put(at, &entry->offset, 8);
	if (entry->producer.present) {
		struct producer_part part = {.epoch = entry->producer.epoch,
		                             .seq = entry->producer.seq,
		                             .id_len = (uint16_t)entry->producer.id.len};
		put(at, &part, sizeof part);
		put_span(at, entry->producer.id);
	}
	if (entry->stream_seq.len != 0) {
		uint16_t len = (uint16_t)entry->stream_seq.len;
		put(at, &len, sizeof len);
		put_span(at, entry->stream_seq);
	}
}

static void put_create(uint8_t **at, const struct entry *entry)
{
	struct create_part part = {.offset = entry->offset,
	                           .lineage = entry->lineage,
	                           .ttl_s = entry->ttl_s,
	                           .expires_at_ms = entry->expires_at_ms,
	                           .source_id = entry->source_id,
	                           .fork_offset = entry->fork_offset,
	                           .fork_offset_asked = entry->fork_offset_asked,
	                           .fork_sub_asked = entry->fork_sub_asked,
	                           .path_len = (uint16_t)entry->path.len,
	                           .content_type_len = (uint16_t)entry->content_type.len,
	                           .fork_source_len = (uint16_t)entry->fork_source.len};
	put(at, &part, sizeof part);
	put_span(at, entry->path);
	put_span(at, entry->content_type);
	put_span(at, entry->fork_source);
}

static void put_kind(uint8_t **at, const struct entry *entry)
{
	uint16_t len;
	switch (entry->kind) {
	case ENTRY_APPEND:
		put_append(at, entry);
		break;
	case ENTRY_CREATE:
		put_create(at, entry);
		break;
	case ENTRY_DROP:
		len = (uint16_t)entry->path.len;
		put(at, &len, sizeof len);
		put_span(at, entry->path);
		break;
	case ENTRY_REFS:
		put(at, &entry->refs_delta, 4);
		break;
	case ENTRY_TRIM:
		put(at, &entry->offset, 8);
		break;
	case ENTRY_KV:
		len = (uint16_t)entry->key.len;
		put(at, &len, sizeof len);
		put_span(at, entry->key);
		break;
	case ENTRY_PRODUCER_DROP:
		len = (uint16_t)entry->producer.id.len;
		put(at, &len, sizeof len);
		put_span(at, entry->producer.id);
		break;
	case ENTRY_DELETE:
	case ENTRY_TOUCH:
		break;
	}
}

/* Texts are bounded by limits.* long before; this is the format's own bound. */
static bool texts_fit(const struct entry *entry)
{
	return entry->path.len + entry->content_type.len + entry->fork_source.len +
	               entry->producer.id.len + entry->stream_seq.len + entry->key.len <=
	       ENTRY_HEAD_MAX - 256;
}

size_t entry_size_max(const struct entry *entry)
{
	return 256 + entry->path.len + entry->content_type.len + entry->fork_source.len +
	       entry->producer.id.len + entry->stream_seq.len + entry->key.len + entry->value.len +
	       4 * (size_t)entry->data.count + entry->data.bytes.len;
}

size_t entry_encode_head(const struct entry *entry, uint8_t *head, size_t *total_bytes)
{
	check(texts_fit(entry));
	uint8_t *at = head + sizeof(struct common_part);
	put_kind(&at, entry);
	while ((size_t)(at - head) % 4 != 0)
		*at++ = 0;
	size_t head_bytes = (size_t)(at - head);
	bool kv = entry->kind == ENTRY_KV;
	size_t data_bytes = kv ? entry->value.len : entry->data.bytes.len;
	size_t total = pad_to(head_bytes + 4 * (size_t)entry->data.count + data_bytes, 8);
	check(total <= UINT32_MAX);
	struct common_part part = {.total_bytes = (uint32_t)total,
	                           .kind = (uint8_t)entry->kind,
	                           .flags = flags_of(entry),
	                           .head_bytes = (uint16_t)head_bytes,
	                           .stream_id = entry->stream_id,
	                           .at_ms = entry->at_ms,
	                           .count = entry->data.count,
	                           .data_bytes = (uint32_t)data_bytes};
	memcpy(head, &part, sizeof part);
	*total_bytes = total;
	return head_bytes;
}

static void get(struct reader *r, void *into, size_t len)
{
	struct span s = reader_bytes(r, len);
	if (r->ok)
		memcpy(into, s.at, len);
}

static struct span get_text(struct reader *r)
{
	uint16_t len = 0;
	get(r, &len, sizeof len);
	return reader_bytes(r, len);
}

static void get_append(struct reader *r, struct entry *entry, unsigned flags)
{
	get(r, &entry->offset, 8);
	entry->close = flags & FLAG_CLOSE;
	if (flags & FLAG_PRODUCER) {
		struct producer_part part = {0};
		get(r, &part, sizeof part);
		entry->producer = (struct producer_tag){
		        .present = true, .epoch = part.epoch, .seq = part.seq};
		entry->producer.id = reader_bytes(r, part.id_len);
	}
	if (flags & FLAG_STREAM_SEQ)
		entry->stream_seq = get_text(r);
}

static void get_create(struct reader *r, struct entry *entry, unsigned flags)
{
	struct create_part part = {0};
	get(r, &part, sizeof part);
	entry->offset = part.offset;
	entry->lineage = part.lineage;
	entry->ttl_s = part.ttl_s;
	entry->expires_at_ms = part.expires_at_ms;
	entry->source_id = part.source_id;
	entry->fork_offset = part.fork_offset;
	entry->fork_offset_asked = part.fork_offset_asked;
	entry->fork_sub_asked = part.fork_sub_asked;
	entry->path = reader_bytes(r, part.path_len);
	entry->content_type = reader_bytes(r, part.content_type_len);
	entry->fork_source = reader_bytes(r, part.fork_source_len);
	entry->close = flags & FLAG_CLOSE;
	entry->ttl_present = flags & FLAG_TTL;
	entry->expires_present = flags & FLAG_EXPIRES;
	entry->fork_offset_present = flags & FLAG_FORK_OFFSET;
	entry->expiry_inherited = flags & FLAG_EXPIRY_INHERITED;
}

static void get_kind(struct reader *r, struct entry *entry, unsigned flags)
{
	switch (entry->kind) {
	case ENTRY_APPEND:
		get_append(r, entry, flags);
		break;
	case ENTRY_CREATE:
		get_create(r, entry, flags);
		break;
	case ENTRY_DROP:
		entry->path = get_text(r);
		break;
	case ENTRY_REFS:
		get(r, &entry->refs_delta, 4);
		break;
	case ENTRY_TRIM:
		get(r, &entry->offset, 8);
		break;
	case ENTRY_KV:
		entry->key = get_text(r);
		break;
	case ENTRY_PRODUCER_DROP:
		entry->producer.id = get_text(r);
		break;
	case ENTRY_DELETE:
	case ENTRY_TOUCH:
		break;
	}
}

/* The table says how the bytes divide; a table that says otherwise is malformed. */
static bool sizes_match(const struct batch *data)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < data->count; i++)
		sum += data->sizes[i];
	return sum == data->bytes.len;
}

size_t entry_decode(struct span bytes, struct entry *entry)
{
	struct common_part part;
	if (bytes.len < sizeof part)
		return 0;
	memcpy(&part, bytes.at, sizeof part);
	size_t table_bytes = 4 * (size_t)part.count;
	if (part.total_bytes > bytes.len || part.total_bytes % 8 != 0 || part.head_bytes % 4 != 0 ||
	    part.head_bytes < sizeof part || part.flags & ~FLAG_ALL || part.kind < ENTRY_CREATE ||
	    part.kind > ENTRY_PRODUCER_DROP ||
	    pad_to(part.head_bytes + table_bytes + part.data_bytes, 8) != part.total_bytes)
		return 0;
	*entry = (struct entry){.kind = (enum entry_kind)part.kind,
	                        .stream_id = part.stream_id,
	                        .at_ms = part.at_ms};
	struct reader r = {bytes.at + sizeof part, bytes.at + part.head_bytes, true};
	get_kind(&r, entry, part.flags);
	if (!r.ok || reader_left(&r) >= 4)
		return 0;
	const uint8_t *table = bytes.at + part.head_bytes;
	struct span data = {table + table_bytes, part.data_bytes};
	if (entry->kind == ENTRY_KV) {
		if (part.count != 0 || (!(part.flags & FLAG_VALUE) && data.len != 0))
			return 0;
		if (part.flags & FLAG_VALUE)
			entry->value = data;
		return part.total_bytes;
	}
	entry->data = (struct batch){(const uint32_t *)(const void *)table, part.count, data};
	return sizes_match(&entry->data) ? part.total_bytes : 0;
}
