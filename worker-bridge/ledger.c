#include "worker-bridge/ledger_rows.h"
#include "common/base/check.h"

#include <stdio.h>

enum ledger_result ledger_issued(struct rows *rows, uint64_t *issued)
{
	json_t *issue;
	enum row_found found = ledger_account(rows, "@issue", &issue);
	*issued = (uint64_t)-json_integer_value(json_object_get(issue, "balance"));
	json_decref(issue);
	return found != ROW_UNREADABLE ? LEDGER_OK : LEDGER_UNREADABLE;
}

enum ledger_result ledger_open(struct rows *rows, const char *id, const char *name,
                               const char *owner, uint64_t grant, uint64_t now_ms)
{
	char key[LEDGER_KEY_ROOM];
	uint64_t issued;
	ledger_account_key(id, key);
	if (rows_get(rows, key).at != NULL)
		return LEDGER_CLOSED;
	if (ledger_issued(rows, &issued) != LEDGER_OK)
		return LEDGER_UNREADABLE;
	check(grant <= LEDGER_AMOUNT_MAX && issued <= LEDGER_AMOUNT_MAX - grant);
	struct ledger_account_row account = {.granted = grant, .opened_ms = now_ms};
	snprintf(account.id, sizeof account.id, "%s", id);
	snprintf(account.name, sizeof account.name, "%s", name);
	snprintf(account.owner, sizeof account.owner, "%s", owner);
	rows_put_json(rows, key, ledger_row_written(&ledger_account_record, &account));
	ledger_post(rows, "@issue", -(int64_t)grant);
	ledger_post(rows, id, (int64_t)grant);
	return LEDGER_OK;
}

/* ---- what becomes of an account ---- */

/* The same top-up again, or another with its key? LEDGER_OK: neither. */
static enum ledger_result earlier_top_up(const json_t *account, const struct ledger_top_up *top_up)
{
	char hash[LEDGER_HASH_ROOM];
	size_t i;
	json_t *one;
	if (top_up->key.len == 0)
		return LEDGER_OK;
	ledger_key_hash(top_up->key, hash);
	json_array_foreach (json_object_get(account, "topUps"), i, one) {
		const char *its = json_string_value(json_object_get(one, "keyHash"));
		if (its == NULL || strcmp(its, hash) != 0)
			continue;
		return (uint64_t)json_integer_value(json_object_get(one, "amount")) ==
		                       top_up->amount
		               ? LEDGER_REPEATED
		               : LEDGER_KEY_REUSED;
	}
	return LEDGER_OK;
}

static void note_top_up(json_t *account, const struct ledger_top_up *top_up, uint64_t now_ms)
{
	char hash[LEDGER_HASH_ROOM];
	json_t *kept = json_object_get(account, "topUps");
	json_t *one = json_pack("{s:I,s:I,s:s,s:s}", "at", (json_int_t)now_ms, "amount",
	                        (json_int_t)top_up->amount, "actor", top_up->actor, "reason",
	                        top_up->reason);
	if (top_up->key.len != 0) {
		ledger_key_hash(top_up->key, hash);
		json_object_set_new(one, "keyHash", json_string(hash));
	}
	if (kept == NULL) {
		kept = json_array();
		json_object_set_new(account, "topUps", kept);
	}
	if (json_array_size(kept) >= LEDGER_TOP_UPS_KEPT)
		json_array_remove(kept, 0);
	json_array_append_new(kept, one);
}

enum ledger_result ledger_top_up(struct rows *rows, const char *id,
                                 const struct ledger_top_up *top_up, uint64_t now_ms)
{
	json_t *account;
	uint64_t issued;
	enum ledger_result result = ledger_find_open_account(rows, id, &account);
	if (result == LEDGER_OK)
		result = earlier_top_up(account, top_up);
	if (result == LEDGER_OK)
		result = ledger_issued(rows, &issued);
	if (result == LEDGER_OK && issued > LEDGER_AMOUNT_MAX - top_up->amount)
		result = LEDGER_FULL;
	if (result != LEDGER_OK) {
		json_decref(account);
		return result;
	}
	json_int_t before = json_integer_value(json_object_get(account, "toppedUp"));
	json_object_set_new(account, "toppedUp", json_integer(before + (json_int_t)top_up->amount));
	note_top_up(account, top_up, now_ms);
	ledger_put_account(rows, id, account);
	ledger_post(rows, "@issue", -(int64_t)top_up->amount);
	ledger_post(rows, id, (int64_t)top_up->amount);
	return LEDGER_OK;
}

enum ledger_result ledger_end(struct rows *rows, const char *id, uint64_t now_ms)
{
	json_t *account;
	enum ledger_result result = ledger_find_open_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	int64_t balance = json_integer_value(json_object_get(account, "balance"));
	if (balance > 0 && !ledger_postable(rows, "@closed")) {
		json_decref(account);
		return LEDGER_UNREADABLE;
	}
	json_object_set_new(account, "closedAt", json_integer((json_int_t)now_ms));
	ledger_put_account(rows, id, account);
	if (balance > 0) {
		ledger_post(rows, id, -balance);
		ledger_post(rows, "@closed", balance);
	}
	return LEDGER_OK;
}

enum ledger_result ledger_begin_again(struct rows *rows, const char *id)
{
	json_t *account;
	enum ledger_result result = ledger_find_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	json_object_del(account, "closedAt");
	ledger_put_account(rows, id, account);
	return LEDGER_OK;
}

bool ledger_display_name_valid(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > LEDGER_DISPLAY_NAME_MAX || *name == ' ' || name[len - 1] == ' ' ||
	    strncmp(name, "acc_", 4) == 0)
		return false;
	for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
			return false;
	return true;
}

enum ledger_result ledger_name(struct rows *rows, const char *id, const char *name)
{
	json_t *account;
	enum ledger_result result = ledger_find_open_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	if (*name != '\0')
		json_object_set_new(account, "displayName", json_string(name));
	else
		json_object_del(account, "displayName");
	ledger_put_account(rows, id, account);
	return LEDGER_OK;
}
