#include "supervisor/tokens_commands.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "supervisor/idle_rights.h"
#include "supervisor/supervisor.h"
#include "supervisor/tell.h"
#include "supervisor/tokens.h"

#include <stdlib.h>

enum { PAGE_BYTES = 256 << 10 }; /* of rows in one answer, about */

/* The workers know at once; the rest of the configuration stays as it was read. */
static void use(struct supervisor *s, char *rows)
{
	char reason[SETTINGS_REASON_MAX];
	check(settings_renew_key(&s->settings.newest, SPAN("auth.token_rows"), span_str(rows),
	                         reason));
	free(rows);
	tell_settings(&s->fleet);
}

static void audit(struct supervisor *s, const char *event, const json_t *row,
                  const struct admin_request *request)
{
	json_t *fields = json_deep_copy(row);
	json_object_set_new(fields, "uid", json_integer(request->uid));
	events_emit(&s->events, LOG_LEVEL_INFO, event, fields);
}

/* ---- add NAME DIGEST RIGHTS EXPIRES|never ---- */

/* NULL: fits. Its rights are to be released. */
static const char *read_row(const struct admin_request *request, struct token_row *row,
                            char why[RIGHTS_REASON_ROOM])
{
	int64_t expires_ms;
	bool ends = strcmp(request->argv[5], "never") != 0;
	*row = (struct token_row){.name = request->argv[2], .expires_ms = UINT64_MAX};
	if (!token_name_valid(span_str(row->name)))
		return "a name is letters, digits and ._@+-, a letter or digit first, and not "
		       "anonymous";
	if (!token_digest_read(span_str(request->argv[3]), row->digest))
		return "--sha256 is 64 hexadecimal digits";
	if (ends && !timestamp_parse(span_str(request->argv[5]), &expires_ms))
		return "--expires is a time such as 2026-12-31T00:00:00Z, or 12h or 30d from now";
	if (ends)
		row->expires_ms = (uint64_t)(expires_ms > 0 ? expires_ms : 0);
	if (token_row_ended(row, clock_wall_ms()))
		return "--expires lies in the past";
	row->rights = rights_of_text(span_str(request->argv[4]), why);
	return row->rights != NULL ? NULL : why;
}

static void add(struct supervisor *s, struct admin_request *request)
{
	char why[RIGHTS_REASON_ROOM], reason[SETTINGS_REASON_MAX];
	struct token_row row;
	const char *fault = read_row(request, &row, why);
	if (fault != NULL) {
		admin_refuse(request, ADMIN_USAGE, "%s", fault);
		return;
	}
	char *rows = tokens_add(&s->options, s->loaded, &row, reason);
	if (rows == NULL) {
		admin_refuse(request, ADMIN_FAILED, "%s", reason);
	} else {
		json_t *json = tokens_row_json(&row);
		use(s, rows);
		audit(s, "token-added", json, request);
		json_object_set_new(json, "file", json_string(s->loaded->auth_tokens));
		json_object_set_new(json, "doubts", idle_rights(row.rights));
		admin_answer(request, json);
	}
	rights_release(&row.rights);
}

/* ---- ls [FROM] ---- */

/* As many as fit one answer; "next": the first that did not. */
static void list(const struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	struct token_rows *rows = token_rows_create();
	uint64_t at = 0, now_ms = clock_wall_ms();
	size_t bytes = 0;
	const struct token_row *row = NULL;
	json_t *list = json_array();
	if (request->argc > 2)
		number_parse(span_str(request->argv[2]), TOKEN_ROWS_MAX, &at);
	check(token_rows_read(rows, "rows", span_str(s->settings.newest->auth_token_rows), reason));
	for (; bytes < PAGE_BYTES && (row = token_rows_at(rows, at)) != NULL; at++) {
		json_t *json = tokens_row_json(row);
		bytes += 128 + 2 * strlen(json_string_value(json_object_get(json, "rights")));
		json_object_set_new(json, "ended", json_boolean(token_row_ended(row, now_ms)));
		json_array_append_new(list, json);
	}
	json_t *body =
	        json_pack("{s:o, s:s}", "tokens", list, "public", s->settings.newest->auth_public);
	if (row != NULL)
		json_object_set_new(body, "next", json_integer((json_int_t)at));
	token_rows_destroy(&rows);
	admin_answer(request, body);
}

/* ---- revoke WHOSE; check WHO VERB PATH ---- */

static void end(struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	json_t *revoked, *row;
	size_t i;
	char *rows = tokens_revoke(&s->options, s->loaded, request->argv[2], &revoked, reason);
	if (rows == NULL) {
		admin_refuse(request, ADMIN_FAILED, "%s", reason);
		return;
	}
	use(s, rows);
	json_array_foreach (revoked, i, row)
		audit(s, "token-revoked", row, request);
	admin_answer(request, json_pack("{s:o}", "revoked", revoked));
}

static void ask(const struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	json_t *answer = tokens_may(s->settings.newest, request->argv[2], request->argv[3],
	                            request->argv[4], clock_wall_ms(), reason);
	if (answer != NULL)
		admin_answer(request, answer);
	else
		admin_refuse(request, ADMIN_FAILED, "%s", reason);
}

void tokens_command(struct supervisor *s, struct admin_request *request)
{
	const char *what = request->argv[1];
	if (strcmp(what, "add") == 0 && request->argc == 6)
		add(s, request);
	else if (strcmp(what, "ls") == 0 && request->argc <= 3)
		list(s, request);
	else if (strcmp(what, "revoke") == 0 && request->argc == 3)
		end(s, request);
	else if (strcmp(what, "check") == 0 && request->argc == 5)
		ask(s, request);
	else
		admin_refuse(request, ADMIN_USAGE, "add, ls, revoke or check is expected");
}
