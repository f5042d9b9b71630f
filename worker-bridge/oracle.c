#include "worker-bridge/oracle.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/signing.h"
#include "common/store/record.h"
#include "common/base/js_text.h"

#include <stdio.h>
#include <stdlib.h>

static const char key_row[] = "oracle/key", attestation_prefix[] = "oracle/attestation/";
enum { SEED_BYTES = 32, ROW_ROOM = 128, PATH_ROOM = 128 };

struct attestation {
	char duel_id[64];
	uint64_t at_ms;
};

static const struct record_field fields[] = {
        {RECORD_MEMBER("duelId", struct attestation, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("at", struct attestation, at_ms)},
        {.name = "jws", .kind = RECORD_STRING, RECORD_NEEDED},
};
static const struct record record = {RECORD_FIELDS(fields)};

static bool row_of(const char *duel_id, char key[ROW_ROOM])
{
	return (size_t)snprintf(key, ROW_ROOM, "%s%s", attestation_prefix, duel_id) < ROW_ROOM;
}

/* What is attested: only members that never change, in this order. */
static const char *const members[] = {
        "feed",           "sourceEpoch", "seq",         "cycleId",
        "duelId",         "duelKey",     "outcome",     "cancellationReason",
        "winnerId",       "loserId",     "winReason",   "detail",
        "seed",           "replayHash",  "betOpenTime", "betCloseTime",
        "fightStartTime", "duelEndTime"};

/* at NULL: there is a key that this release does not know, and no other may take its place. */
static struct span seed_of(struct rows *rows)
{
	struct span seed = rows_get(rows, key_row);
	if (seed.len == SEED_BYTES)
		return seed;
	if (seed.at != NULL) {
		rows_mark(rows, key_row);
		return (struct span){0};
	}
	uint8_t bytes[SEED_BYTES];
	clock_random(bytes, sizeof bytes);
	rows_put(rows, key_row, span_of(bytes, sizeof bytes));
	return rows_get(rows, key_row);
}

static char *payload_of(const json_t *frame, uint64_t now_ms)
{
	json_t *payload = json_pack("{s:i,s:I}", "v", 1, "iat", (json_int_t)(now_ms / 1000));
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		json_object_set(payload, members[i], json_object_get(frame, members[i]));
	const char *names[] = {"agent1", "agent2"};
	for (size_t i = 0; i < 2; i++) {
		json_t *id = json_object_get(json_object_get(frame, names[i]), "id");
		json_object_set(payload, i == 0 ? "agent1Id" : "agent2Id",
		                id != NULL ? id : json_null());
	}
	char *text = js_text(payload);
	json_decref(payload);
	return text;
}

/* header.payload.signature */
static char *jws(struct span seed, const char *payload)
{
	char x[64], kid[64], header[160], *token = NULL;
	check(signing_public(seed, x, kid));
	int len = snprintf(header, sizeof header,
	                   "{\"alg\":\"EdDSA\",\"typ\":\"ringside-attestation\",\"kid\":\"%s\"}",
	                   kid);
	char *first = base64url_text(span_of(header, (size_t)len)),
	     *second = base64url_text(span_str(payload));
	check(asprintf(&token, "%s.%s", first, second) > 0);
	char *signature = signing_sign(seed, span_str(token)), *whole = NULL;
	check(signature != NULL && asprintf(&whole, "%s.%s", token, signature) > 0);
	free(first);
	free(second);
	free(token);
	free(signature);
	return whole;
}

void oracle_attest(struct rows *rows, struct txn *txn, const char *feed, const json_t *frame,
                   uint64_t now_ms)
{
	const char *duel_id = json_string_value(json_object_get(frame, "duelId"));
	char key[ROW_ROOM], path[PATH_ROOM];
	if (duel_id == NULL || strlen(duel_id) >= sizeof((struct attestation *)0)->duel_id ||
	    !row_of(duel_id, key) || rows_get(rows, key).at != NULL)
		return;
	struct span seed = seed_of(rows);
	if (seed.at == NULL)
		return;
	char *payload = payload_of(frame, now_ms), *token = jws(seed, payload);
	struct attestation made = {.at_ms = now_ms};
	json_t *row = json_object();
	strcpy(made.duel_id, duel_id);
	record_write(&record, &made, row);
	json_object_set_new(row, "jws", json_string(token));
	char *text = json_dumps(row, JSON_COMPACT);
	check(text != NULL);
	snprintf(path, sizeof path, "/v1/stream/feeds/%s/attestations", feed);
	txn_publish(txn, path, span_str(text));
	rows_put(rows, key, span_str(text));
	json_decref(row);
	free(text);
	free(token);
	free(payload);
}

enum row_found oracle_attestation(struct state *view, const char *duel_id, json_t **attestation)
{
	char key[ROW_ROOM];
	*attestation = NULL;
	if (!row_of(duel_id, key))
		return ROW_ABSENT;
	enum row_found found = row_json(view, key, attestation);
	if (found != ROW_PRESENT || record_read(&record, *attestation, NULL) == ROW_PRESENT)
		return found;
	json_decref(*attestation);
	*attestation = NULL;
	return ROW_UNREADABLE;
}

uint64_t oracle_attested_ms(const json_t *attestation)
{
	struct attestation made = {0};
	record_read(&record, attestation, &made);
	return made.at_ms;
}

void oracle_forget(struct rows *rows, const char *duel_id)
{
	char key[ROW_ROOM];
	if (row_of(duel_id, key) && rows_get(rows, key).at != NULL)
		rows_put(rows, key, (struct span){0});
}

struct walk {
	void (*visit)(void *arg, const char *duel_id, uint64_t at_ms);
	void *arg;
};

static bool walk_row(void *arg, struct span key, struct span value)
{
	const struct walk *walk = arg;
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	struct attestation found;
	(void)key;
	if (record_read(&record, row, &found) == ROW_PRESENT)
		walk->visit(walk->arg, found.duel_id, found.at_ms);
	json_decref(row);
	return true;
}

void oracle_each(struct state *view, void (*visit)(void *arg, const char *duel_id, uint64_t at_ms),
                 void *arg)
{
	struct walk walk = {visit, arg};
	state_kv_each(view, span_str(attestation_prefix), walk_row, &walk);
}

json_t *oracle_keys(struct state *view)
{
	struct span seed;
	char x[64], kid[64];
	if (!state_kv_get(view, span_of(key_row, sizeof key_row - 1), &seed) ||
	    !signing_public(seed, x, kid))
		return json_pack("{s:[]}", "keys");
	return json_pack("{s:[{s:s,s:s,s:s,s:s,s:s,s:s}]}", "keys", "kty", "OKP", "crv", "Ed25519",
	                 "x", x, "kid", kid, "use", "sig", "alg", "EdDSA");
}
