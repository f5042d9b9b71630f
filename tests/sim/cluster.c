#include "tests/sim/cluster.h"
#include "common/base/base58.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "tests/doubles/solana_made.h"
#include "tests/sim/world.h"
#include "worker-bridge/solana_rpc.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOT_MS = 400,
	CONFIRMED_SLOTS = 2,
	FINAL_SLOTS = 32,
	HASH_SLOTS = 60, /* a blockhash is good for so many (150 on the chain) */
	WINDOW_S = 20,
	DUELS_MAX = 64,
	LANDED_MAX = 512,
	ANSWER_MS = 40,
	ANSWER_MS_MAX = 8000,
	DROPPED = 250,
	LOST = 60,
	LATER = 40,
	FORKED = 60,
};

/* Their bytes do not matter. */
const char cluster_oracle[] = "6tpRuUvTMtLyVaJfa9F2EPQFuVM5TEHSQXdVmKtiDAUg";
const char cluster_market[] = "ARVJNJP49akvnqgfoB1TFJmQRCxrnUyqcoS6QsThYqMM";
/* RFC 8032, 7.1, test 1. */
const char cluster_key[] =
        "[157,97,177,157,239,253,90,96,186,132,74,244,146,236,44,196,68,73,197,105,123,50,105,25,"
        "112,59,172,3,28,174,127,96,215,90,152,1,130,177,10,183,213,75,254,211,201,100,7,58,14,225,"
        "114,243,218,166,35,37,175,2,26,104,247,7,81,26]";

struct instruction {
	struct solana_address program, accounts[SOLANA_ACCOUNTS_MAX];
	uint8_t data[SOLANA_DATA_MAX];
	size_t data_len;
};
struct transaction {
	char signature[BASE58_TEXT_ROOM];
	uint64_t slot, last_slot; /* it landed in; the last that may have it */
	bool failed;
	unsigned at;
	uint32_t code;
	size_t count;
	struct instruction instructions[SOLANA_INSTRUCTIONS_MAX];
	int64_t clock_s; /* when it landed, by the chain's clock */
};
struct place {
	char key[65];
	struct solana_places places;
	bool there, market_there;
	struct solana_duel duel;
	struct solana_market market;
};

static struct transaction landed[LANDED_MAX];
static size_t landed_count;
/* What was sent, each once: what it does last, to which duel. */
static struct sent {
	char signature[BASE58_TEXT_ROOM], key[65];
	uint8_t deed[8];
	uint64_t last_slot;
} sent[LANDED_MAX];
static size_t sent_count;
static bool strict;
static struct place places[DUELS_MAX];
static size_t places_count;
static struct solana_address oracle, market_program, who;
static bool calm;

struct solana_rpc {
	unsigned process;
};

void cluster_begin(bool finalized)
{
	strict = finalized;
	landed_count = places_count = sent_count = 0;
	calm = false;
	check(base58_read(cluster_oracle, oracle.bytes, 32) &&
	      base58_read(cluster_market, market_program.bytes, 32));
}

void cluster_calm(void)
{
	calm = true;
}

/* ---- time ---- */

static uint64_t slot_now(void)
{
	return 1000 + world_ms() / SLOT_MS;
}

/* The chain's clock is its own. */
static int64_t clock_s(void)
{
	return 1790000000 + (int64_t)(world_ms() / 1000);
}

static uint64_t slot_at(enum solana_level level)
{
	return slot_now() - (level == SOLANA_PROCESSED   ? 0
	                     : level == SOLANA_CONFIRMED ? CONFIRMED_SLOTS
	                                                 : FINAL_SLOTS);
}

/* ---- the programs ---- */

static uint64_t number(const uint8_t *at, size_t width)
{
	uint64_t value = 0;
	while (width-- > 0)
		value = value << 8 | at[width];
	return value;
}

static bool is_call(const struct instruction *i, const char *name)
{
	uint8_t digest[32];
	char text[64];
	snprintf(text, sizeof text, "global:%s", name);
	SHA256((const uint8_t *)text, strlen(text), digest);
	return i->data_len >= 8 && memcmp(digest, i->data, 8) == 0;
}

static struct place *place_of_key(const uint8_t key[32])
{
	char text[65];
	hex_print(key, 32, text);
	for (size_t i = 0; i < places_count; i++)
		if (strcmp(places[i].key, text) == 0)
			return &places[i];
	check(places_count < DUELS_MAX);
	struct place *p = &places[places_count++];
	*p = (struct place){0};
	memcpy(p->key, text, sizeof text);
	solana_places_find(&oracle, &market_program, key, &p->places);
	return p;
}

static struct place *place_of_address(const struct solana_address *address)
{
	for (size_t i = 0; i < places_count; i++)
		if (solana_address_equal(&places[i].places.duel, address) ||
		    solana_address_equal(&places[i].places.market, address))
			return &places[i];
	return NULL;
}

static uint32_t upsert(struct place *p, const uint8_t *at)
{
	struct solana_duel d = p->duel;
	uint64_t uri = number(at + 120, 4);
	enum solana_duel_status status = at[124 + uri];
	memcpy(d.key, at, 32);
	memcpy(d.participant, at + 32, 64);
	d.open_s = (int64_t)number(at + 96, 8);
	d.close_s = (int64_t)number(at + 104, 8);
	d.start_s = (int64_t)number(at + 112, 8);
	if (status > SOLANA_DUEL_LOCKED || d.start_s < d.close_s)
		return SOLANA_ORACLE_TRANSITION;
	if (d.open_s <= 0 || d.close_s <= d.open_s)
		return 6007;
	if (p->there && p->duel.status >= SOLANA_DUEL_RESOLVED)
		return SOLANA_ORACLE_FINALIZED;
	if (p->there && status < p->duel.status)
		return SOLANA_ORACLE_TRANSITION;
	d.status = status;
	p->duel = d;
	p->there = true;
	return UINT32_MAX;
}

static uint32_t propose(struct place *p, const uint8_t *at, int64_t now_s)
{
	struct solana_result *r = &p->duel.proposed;
	if (at[32] != 1 && at[32] != 2)
		return 6013;
	if (p->duel.status == SOLANA_DUEL_CANCELLED)
		return SOLANA_ORACLE_CANCELLED;
	if (p->duel.status != SOLANA_DUEL_LOCKED || (int64_t)number(at + 105, 8) < p->duel.close_s)
		return SOLANA_ORACLE_TRANSITION;
	*r = (struct solana_result){.winner = at[32],
	                            .seed = number(at + 33, 8),
	                            .end_s = (int64_t)number(at + 105, 8)};
	memcpy(r->replay_hash, at + 41, 32);
	memcpy(r->result_hash, at + 73, 32);
	p->duel.proposed_s = now_s;
	p->duel.status = SOLANA_DUEL_PROPOSED;
	return UINT32_MAX;
}

static uint32_t finalize(struct place *p, int64_t now_s)
{
	if (p->duel.status != SOLANA_DUEL_PROPOSED)
		return SOLANA_ORACLE_NOT_PROPOSED;
	if (now_s < p->duel.proposed_s + WINDOW_S)
		return SOLANA_ORACLE_WINDOW;
	p->duel.result = p->duel.proposed;
	p->duel.status = SOLANA_DUEL_RESOLVED;
	return UINT32_MAX;
}

static uint32_t cancel(struct place *p)
{
	if (p->duel.status >= SOLANA_DUEL_RESOLVED)
		return SOLANA_ORACLE_FINALIZED;
	p->duel.status = SOLANA_DUEL_CANCELLED;
	return UINT32_MAX;
}

static void follow(struct place *p)
{
	enum solana_duel_status s = p->duel.status;
	p->market.duel = p->places.duel;
	p->market.status = s <= SOLANA_DUEL_OPEN       ? SOLANA_MARKET_OPEN
	                   : s < SOLANA_DUEL_RESOLVED  ? SOLANA_MARKET_LOCKED
	                   : s == SOLANA_DUEL_RESOLVED ? SOLANA_MARKET_RESOLVED
	                                               : SOLANA_MARKET_CANCELLED;
	p->market.winner = s == SOLANA_DUEL_RESOLVED ? p->duel.result.winner : SOLANA_SIDE_NONE;
}

/* UINT32_MAX: it was carried out. */
static uint32_t carry_out(const struct instruction *i, int64_t now_s)
{
	const uint8_t *at = i->data + 8;
	bool initializes = is_call(i, "initialize_market");
	if (is_call(i, "sync_market_from_duel")) {
		struct place *p = place_of_address(&i->accounts[0]);
		if (p == NULL || !p->market_there)
			return 3012;
		follow(p);
		return UINT32_MAX;
	}
	if (!solana_address_equal(&i->program, &oracle) && !initializes)
		return UINT32_MAX; /* what a transaction may cost */
	struct place *p = place_of_key(at);
	if (initializes) {
		if (p->market_there)
			return 0;
		if (!p->there || p->duel.status > SOLANA_DUEL_LOCKED)
			return 6009;
		p->market_there = true;
		follow(p);
		return UINT32_MAX;
	}
	if (is_call(i, "upsert_duel"))
		return upsert(p, at);
	if (!p->there)
		return 3012;
	return is_call(i, "propose_result")    ? propose(p, at, now_s)
	       : is_call(i, "finalize_result") ? finalize(p, now_s)
	       : is_call(i, "cancel_duel")     ? cancel(p)
	                                       : 101;
}

/* Everything or nothing. */
static void execute(struct transaction *t)
{
	static struct place before[DUELS_MAX];
	memcpy(before, places, sizeof before);
	size_t count = places_count;
	for (size_t i = 0; i < t->count; i++) {
		uint32_t code = carry_out(&t->instructions[i], t->clock_s);
		if (code == UINT32_MAX)
			continue;
		memcpy(places, before, sizeof before);
		places_count = count > places_count ? count : places_count;
		t->failed = true;
		t->at = (unsigned)i;
		t->code = code;
		return;
	}
}

/* The accounts as they were behind the last slot that counts at this level. */
static void replay(uint64_t slot)
{
	for (size_t i = 0; i < places_count; i++) {
		places[i].there = places[i].market_there = false;
		places[i].duel = (struct solana_duel){0};
	}
	for (size_t i = 0; i < landed_count; i++)
		if (landed[i].slot <= slot && !landed[i].failed)
			execute(&landed[i]);
}

/* A transaction that did again what another had done. What a duel is to be may be said again with
 * the next step, where the one before was not final yet. */
static void check_once(const char *duel_key)
{
	static const char *const names[] = {"initialize_market", "propose_result",
	                                    "finalize_result", "cancel_duel"};
	unsigned done[4] = {0};
	for (size_t i = 0; i < landed_count; i++) {
		for (size_t j = 0; !landed[i].failed && j < landed[i].count; j++) {
			const struct instruction *one = &landed[i].instructions[j];
			char key[65];
			if (one->data_len < 8 + 32)
				continue;
			hex_print(one->data + 8, 32, key);
			if (strcmp(key, duel_key) != 0)
				continue;
			for (size_t n = 0; n < 4; n++)
				if (is_call(one, names[n]) && done[n]++ != 0)
					world_broken("%.16s: %s took effect twice", duel_key,
					             names[n]);
		}
	}
}

bool cluster_duel(const char *duel_key, struct solana_duel *duel, struct solana_market *market)
{
	replay(UINT64_MAX);
	check_once(duel_key);
	for (size_t i = 0; i < places_count; i++) {
		if (strcmp(places[i].key, duel_key) != 0)
			continue;
		*duel = places[i].duel;
		*market = places[i].market;
		return places[i].there && places[i].market_there;
	}
	return false;
}

/* ---- transactions ---- */

static size_t read_length(const uint8_t **at)
{
	size_t length = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = *(*at)++;
		length |= (size_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return length;
	}
}

static void read_transaction(const char *text, struct transaction *t)
{
	uint8_t bytes[SOLANA_TRANSACTION_MAX + 8];
	*t = (struct transaction){0};
	check(strlen(text) <= sizeof bytes / 3 * 4);
	int64_t len = base64_decode(span_str(text), bytes);
	const uint8_t *at = bytes;
	check(read_length(&at) == 1);
	base58_print(at, 64, t->signature);
	at += 64 + 3;
	size_t keys = read_length(&at);
	const uint8_t *key = at;
	memcpy(who.bytes, key, 32);
	at += 32 * keys;
	t->last_slot = number(at, 8) + HASH_SLOTS; /* see ask_blockhash() */
	at += 32;
	t->count = read_length(&at);
	check(t->count <= SOLANA_INSTRUCTIONS_MAX);
	for (size_t i = 0; i < t->count; i++) {
		struct instruction *one = &t->instructions[i];
		memcpy(one->program.bytes, key + 32 * *at++, 32);
		size_t accounts = read_length(&at);
		for (size_t a = 0; a < accounts; a++)
			memcpy(one->accounts[a].bytes, key + 32 * *at++, 32);
		one->data_len = read_length(&at);
		memcpy(one->data, at, one->data_len);
		at += one->data_len;
	}
	check(at == bytes + len);
}

static struct transaction *landed_of(const char *signature)
{
	for (size_t i = 0; i < landed_count; i++)
		if (strcmp(landed[i].signature, signature) == 0)
			return &landed[i];
	return NULL;
}

static bool is_over(const struct sent *s)
{
	const struct transaction *t = landed_of(s->signature);
	uint64_t final = slot_at(SOLANA_FINALIZED);
	return final > s->last_slot || (t != NULL && t->slot <= final);
}

static void note_sent(const struct transaction *t)
{
	struct sent *s = &sent[sent_count];
	check(sent_count < LANDED_MAX);
	*s = (struct sent){.last_slot = t->last_slot};
	memcpy(s->signature, t->signature, sizeof s->signature);
	for (size_t i = 0; i < t->count; i++) {
		const struct instruction *one = &t->instructions[i];
		if (one->data_len < 8 + 32)
			continue;
		hex_print(one->data + 8, 32, s->key);
		memcpy(s->deed, one->data, 8);
	}
	for (size_t i = 0; i < sent_count; i++) {
		if (strcmp(sent[i].signature, s->signature) == 0)
			return;
		if (strict && strcmp(sent[i].key, s->key) == 0 &&
		    memcmp(sent[i].deed, s->deed, 8) == 0 && !is_over(&sent[i]))
			world_broken("%.16s: %.8s was sent while %.8s may land", s->key,
			             s->signature, sent[i].signature);
	}
	sent_count++;
}

static void trace_sent(const struct transaction *t)
{
	static const char *const names[] = {"upsert_duel", "initialize_market", "propose_result",
	                                    "finalize_result", "cancel_duel"};
	char text[128] = "";
	for (size_t i = 0; i < t->count; i++)
		for (size_t n = 0; n < sizeof names / sizeof *names; n++)
			if (is_call(&t->instructions[i], names[n]))
				snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
				         names[n]);
	world_trace("cluster: %.8s is sent:%s", t->signature, text);
}

/* A block takes it, if one may. */
static void on_block(void *arg)
{
	struct transaction *t = arg;
	if (landed_of(t->signature) == NULL && slot_now() <= t->last_slot) {
		check(landed_count < LANDED_MAX);
		t->slot = slot_now();
		t->clock_s = clock_s();
		replay(UINT64_MAX);
		execute(t);
		landed[landed_count++] = *t;
		world_trace("cluster: %.8s in slot %llu%s", t->signature,
		            (unsigned long long)t->slot, t->failed ? " failed" : "");
	}
	free(t);
}

/* What was not final yet is taken back: nobody knows of it any more. */
static void fork_now(void)
{
	uint64_t from = slot_now() - world_below(FINAL_SLOTS - 2);
	size_t kept = 0;
	for (size_t i = 0; i < landed_count; i++)
		if (landed[i].slot < from)
			landed[kept++] = landed[i];
	if (kept != landed_count)
		world_trace("cluster: a fork takes back %zu transactions", landed_count - kept);
	landed_count = kept;
}

/* ---- questions ---- */

struct question {
	struct solana_rpc *rpc;
	struct solana_rpc_done done;
	struct solana_reply reply;
	uint8_t account[SOLANA_MADE_ROOM];
};

struct solana_rpc *solana_rpc_create(uv_loop_t *loop, const struct settings_source *settings,
                                     struct counters_slot *counters)
{
	struct solana_rpc *rpc = xcalloc(1, sizeof *rpc);
	(void)settings;
	(void)counters;
	rpc->process = (unsigned)(uintptr_t)loop->data;
	return rpc;
}

static void on_reply(void *arg)
{
	struct question *q = arg;
	q->done.call(q->done.arg, &q->reply);
	free(q);
}

static struct question *question(struct solana_rpc *rpc, struct solana_rpc_done done)
{
	struct question *q = xcalloc(1, sizeof *q);
	q->rpc = rpc;
	q->done = done;
	uint64_t ms = world_wait(ANSWER_MS, calm ? ANSWER_MS : ANSWER_MS_MAX);
	if (!calm && world_chance(FORKED))
		fork_now();
	world_after(rpc->process, ms, on_reply, q);
	return q;
}

/* True: it says nothing else. */
static bool bad_day(struct question *q)
{
	if (calm)
		return false;
	q->reply.fault = world_chance(LOST)    ? SOLANA_SILENT
	                 : world_chance(LATER) ? SOLANA_LATER
	                                       : SOLANA_OK;
	snprintf(q->reply.text, sizeof q->reply.text, "a bad day");
	if (q->reply.fault == SOLANA_LATER && world_chance(300))
		q->reply.retry_after_ms = world_below(5000);
	return q->reply.fault != SOLANA_OK;
}

void solana_rpc_account(struct solana_rpc *rpc, const struct solana_address *address,
                        const struct solana_address *owner, enum solana_level level,
                        struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	const struct place *p;
	size_t len = 0;
	if (bad_day(q))
		return;
	replay(slot_at(level));
	if (owner == NULL) { /* the clock */
		uint64_t now_s = (uint64_t)clock_s();
		for (len = 32; len < 40; len++)
			q->account[len] = (uint8_t)(now_s >> (8 * (len - 32)));
	} else if ((p = place_of_address(address)) == NULL) {
		const struct solana_oracle_config config = {
		        .reporter = who, .finalizer = who, .window_s = WINDOW_S};
		static struct solana_places any;
		if (any.oracle_config.bytes[0] == 0)
			solana_places_find(&oracle, &market_program, (const uint8_t[32]){0}, &any);
		if (solana_address_equal(address, &any.oracle_config))
			len = solana_made_config(&config, q->account);
	} else if (solana_address_equal(&p->places.duel, address)) {
		len = p->there ? solana_made_duel(&p->duel, q->account) : 0;
	} else {
		len = p->market_there ? solana_made_market(&p->market, q->account) : 0;
	}
	q->reply.there = len != 0;
	q->reply.bytes = span_of(q->account, len);
}

/* The slot is the hash: the first eight bytes are its number. */
void solana_rpc_blockhash(struct solana_rpc *rpc, struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	uint64_t slot = slot_at(SOLANA_CONFIRMED);
	if (bad_day(q))
		return;
	for (size_t i = 0; i < 8; i++)
		q->reply.blockhash[i] = (uint8_t)(slot >> (8 * i));
	for (size_t i = 8; i < 32; i++)
		q->reply.blockhash[i] = (uint8_t)world_below(256);
	q->reply.last_height = slot + HASH_SLOTS;
}

void solana_rpc_height(struct solana_rpc *rpc, struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	if (!bad_day(q))
		q->reply.height = slot_at(SOLANA_FINALIZED);
}

void solana_rpc_send(struct solana_rpc *rpc, const char *text, struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	struct transaction *t = xcalloc(1, sizeof *t);
	bool silent = bad_day(q), arrives = q->reply.fault != SOLANA_LATER;
	read_transaction(text, t);
	trace_sent(t);
	note_sent(t);
	if (!silent && slot_now() > t->last_slot) {
		q->reply.fault = SOLANA_NO_HASH;
		arrives = false;
	} else if (!silent && landed_of(t->signature) != NULL) {
		q->reply.fault = SOLANA_KNOWN;
		arrives = false;
	} else if (!silent && world_chance(700)) { /* the node tries it first */
		struct transaction tried = *t;
		replay(slot_at(SOLANA_CONFIRMED));
		tried.clock_s = clock_s();
		execute(&tried);
		if (tried.failed) {
			q->reply.fault = SOLANA_PROGRAM;
			q->reply.custom = true;
			q->reply.instruction = tried.at;
			q->reply.code = tried.code;
			snprintf(q->reply.text, sizeof q->reply.text, "custom %u", tried.code);
			arrives = false;
		}
	}
	if (arrives && (calm || !world_chance(DROPPED)))
		world_after(0, world_wait(2 * SLOT_MS, calm ? 2 * SLOT_MS : HASH_SLOTS * SLOT_MS),
		            on_block, t);
	else
		free(t);
}

void solana_rpc_status(struct solana_rpc *rpc, const char *signature, struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	const struct transaction *t = landed_of(signature);
	if (bad_day(q) || t == NULL)
		return;
	q->reply.known = true;
	q->reply.slot = t->slot;
	q->reply.level = t->slot <= slot_at(SOLANA_FINALIZED)   ? SOLANA_FINALIZED
	                 : t->slot <= slot_at(SOLANA_CONFIRMED) ? SOLANA_CONFIRMED
	                                                        : SOLANA_PROCESSED;
	q->reply.failed = t->failed;
	if (t->failed) {
		q->reply.how = SOLANA_PROGRAM;
		q->reply.custom = true;
		q->reply.instruction = t->at;
		q->reply.code = t->code;
		snprintf(q->reply.text, sizeof q->reply.text, "custom %u", t->code);
	}
}

void solana_rpc_balance(struct solana_rpc *rpc, const struct solana_address *address,
                        struct solana_rpc_done done)
{
	struct question *q = question(rpc, done);
	(void)address;
	q->reply.height = 5000000000;
}
