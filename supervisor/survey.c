#include "supervisor/survey.h"
#include "common/base/address.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/glob.h"
#include "common/domain/short_keys.h"
#include "common/domain/token_rows.h"
#include "supervisor/weak_token.h"

#include <stdarg.h>
#include <stdlib.h>

/* ---- tokens ---- */

struct judge {
	const struct settings *settings;
	const char *file;
	void (*say)(void *arg, bool certain, const char *text);
	void *arg;
};

static void say_of(const struct judge *judge, const struct setting_row *row, const char *which,
                   bool certain, const char *what)
{
	char place[SETTING_PLACE_ROOM], text[SETTINGS_REASON_MAX];
	settings_place_text(judge->settings, row, judge->file, place);
	snprintf(text, sizeof text, "%s: %s: %s%s", place, row->key, which, what);
	judge->say(judge->arg, certain, text);
}

static size_t commas(const char *text)
{
	size_t count = 0;
	for (; *text != '\0'; text++)
		count += *text == ',';
	return count;
}

static void judge_row(const struct judge *judge, const struct setting_row *row)
{
	const char *at = settings_text_of(judge->settings, row);
	size_t count = commas(at) + 1;
	for (size_t i = 1; *at != '\0'; i++) {
		char which[64] = "";
		struct span token = span_of(at, strcspn(at, ","));
		const char *weak = weak_token(token), *doubtful = doubtful_token(token);
		if (count > 1)
			snprintf(which, sizeof which, "token %zu of %zu ", i, count);
		if (weak != NULL || doubtful != NULL)
			say_of(judge, row, which, weak != NULL, weak != NULL ? weak : doubtful);
		at += token.len;
		at += *at == ',';
	}
}

/* What no visitor without a token needs, and what he could do with it. */
static const char *const not_for_all[VERB_COUNT] = {
        [VERB_APPEND] = "everybody may write into streams, and close them",
        [VERB_CREATE] = "everybody may make streams, and fill the store",
        [VERB_DELETE] = "everybody may delete streams",
        [VERB_RENDER] = "everybody may order browsers, which open what he says",
        [VERB_POST] = "everybody may post a game's facts, by which bets are decided",
        [VERB_OPERATE] = "everybody is the house, or manages outputs",
        [VERB_METRICS] = "everybody may read what Ringside is busy with",
        [VERB_SPAWN] = "everybody may start programs on this machine",
        [VERB_FRAMES] = "everybody may read what is for betting services alone",
};

static void judge_public(const struct judge *judge)
{
	const struct setting_row *row = setting_find(SPAN("auth.public"));
	char reason[RIGHTS_REASON_ROOM], which[16];
	struct rights *rights = rights_of_text(span_str(judge->settings->auth_public), reason);
	for (enum verb verb = 0; rights != NULL && verb < VERB_COUNT; verb++) {
		snprintf(which, sizeof which, "%s: ", verb_name(verb));
		if (not_for_all[verb] != NULL && rights_any(rights, verb))
			say_of(judge, row, which, false, not_for_all[verb]);
	}
	rights_release(&rights);
}

void survey_access(const struct settings *settings, const char *file,
                   void (*say)(void *arg, bool certain, const char *text), void *arg)
{
	const struct judge judge = {settings, file, say, arg};
	if (settings->dev)
		return;
	for (size_t i = 0; i < setting_rows_count; i++)
		if (setting_rows[i].type == SETTING_token || setting_rows[i].type == SETTING_tokens)
			judge_row(&judge, &setting_rows[i]);
	judge_public(&judge);
}

/* ---- who may do what ---- */

enum { OTHERS_MAX = 16, NAMES_SHOWN = 8, PATTERNS_SHOWN = 4 };

static const char by_claims[] = "whose JSON Web Token says so";

/* Somebody with rights: a setting's tokens, a row of tokens, whoever shows none. */
struct asker {
	const char *name;
	struct rights *rights;
};
struct askers {
	struct asker *list;
	size_t count;
	struct token_rows *rows; /* that the names are borrowed from */
};

static void add_asker(struct askers *askers, const char *name, struct rights *rights)
{
	check(rights != NULL);
	askers->list[askers->count++] = (struct asker){name, rights};
}

static void add_text(struct askers *askers, const char *name, const char *text)
{
	char reason[RIGHTS_REASON_ROOM];
	struct rights *rights = rights_of_text(span_str(text), reason);
	if (rights != NULL) /* what is none is not valid, and said elsewhere */
		add_asker(askers, name, rights);
}

static void add_keys(struct askers *askers, const struct settings *s)
{
	bool metrics = *s->auth_metrics_token != '\0';
#define ADD_KEY(setting, key, rights)                                                              \
	if (*s->setting != '\0')                                                                   \
		add_text(askers, key, rights);
	SHORT_KEYS(ADD_KEY)
#undef ADD_KEY
	/* Readers read metrics where nobody else is named. */
	if (!metrics && *s->auth_subscribe_tokens != '\0')
		add_text(askers, "auth.subscribe_tokens", "metrics=/**");
	if (!metrics && *s->auth_publish_tokens != '\0')
		add_text(askers, "auth.publish_tokens", "metrics=/**");
}

/* What they say is known when they come. */
static void add_claims(struct askers *askers, const struct settings *s)
{
	if (*s->auth_jwt_keys == '\0' && *s->auth_jwt_secret == '\0' &&
	    *s->auth_jwt_jwks_url == '\0')
		return;
	struct rights_draft *draft = rights_draft_create();
	rights_draft_add_all(draft);
	add_asker(askers, by_claims, rights_draft_finish(&draft));
}

static void collect(struct askers *askers, const struct settings *s)
{
	char reason[TOKEN_ROWS_REASON_ROOM];
	const struct token_row *row;
	size_t count = 0;
	uint64_t now_ms = clock_wall_ms();
	*askers = (struct askers){.rows = token_rows_create()};
	/* What cannot be read is not valid, and said elsewhere. */
	token_rows_read(askers->rows, "auth.token_rows", span_str(s->auth_token_rows), reason);
	while (token_rows_at(askers->rows, count) != NULL)
		count++;
	askers->list = xcalloc(count + OTHERS_MAX, sizeof *askers->list);
	add_text(askers, "everybody (auth.public)", s->auth_public);
	add_keys(askers, s);
	add_claims(askers, s);
	for (size_t i = 0; (row = token_rows_at(askers->rows, i)) != NULL; i++)
		if (!token_row_ended(row, now_ms))
			add_asker(askers, row->name, rights_hold(row->rights));
}

static void drop(struct askers *askers)
{
	for (size_t i = 0; i < askers->count; i++)
		rights_release(&askers->list[i].rights);
	free(askers->list);
	token_rows_destroy(&askers->rows);
}

/* ---- the lines that are printed ---- */

#define OUTPUTS "/v1/outputs/**"
#define HLS     "/v1/hls/**"

/* A verb, or some of its paths, which are another thing to have. */
struct line {
	enum verb verb;
	const char *about;    /* NULL: the verb's own */
	const char *apart;    /* pattern of the paths that have a line of their own; NULL: none */
	const char *in_apart; /* this is that line, and here is one of them; NULL: it is not */
	const char *all[4];   /* who may these may all of it */
};
static const struct line lines[] = {
        {.verb = VERB_READ,
         .all = {"/v1/stream/**", "/v1/markets/**", "/v1/duels/**", "/v1/feeds/**"}},
        {.verb = VERB_APPEND, .all = {"/v1/stream/**"}},
        {.verb = VERB_CREATE, .all = {"/v1/stream/**"}},
        {.verb = VERB_DELETE, .all = {"/v1/stream/**"}},
        {.verb = VERB_RENDER, .all = {"/stream/**"}},
        {.verb = VERB_VIEW, .apart = HLS, .all = {"/stream/**"}},
        {VERB_VIEW, "watch by HLS", HLS, "/v1/hls/x", {HLS}},
        {.verb = VERB_POST, .all = {"/v1/source/**"}},
        {.verb = VERB_BET, .all = {"/v1/ledger/accounts"}},
        {VERB_OPERATE,
         "the house, aborting duels, deciding markets",
         OUTPUTS,
         NULL,
         {"/v1/ledger/**", "/v1/duels/**", "/v1/markets/**"}},
        {VERB_OPERATE, "outputs", OUTPUTS, "/v1/outputs/x", {OUTPUTS}},
        {.verb = VERB_METRICS, .all = {"/metrics"}},
        {.verb = VERB_SPAWN, .all = {"/v1/hub/**"}},
        {.verb = VERB_FRAMES, .all = {"/v1/feeds/**"}},
};

/* `pattern`: as it is printed. */
static bool belongs(const struct line *line, const char *pattern)
{
	char whole[2 * RIGHTS_PATTERN_MAX];
	if (line->apart == NULL)
		return true;
	snprintf(whole, sizeof whole, "%s%s", *pattern == '/' ? "" : verb_root(line->verb),
	         pattern);
	bool inside = glob_covers(span_str(line->apart + 1), span_str(whole + 1));
	return line->in_apart == NULL
	               ? !inside
	               : inside || glob_matches(span_str(whole + 1), span_str(line->in_apart + 1));
}

/* As keys, in their order, those that belong to the line. */
static void gather(json_t *found, const struct line *line, const struct rights *rights)
{
	size_t i;
	const json_t *one;
	json_t *all = rights_json(rights);
	json_array_foreach (json_object_get(all, verb_name(line->verb)), i, one)
		if (belongs(line, json_string_value(one)))
			json_object_set_new(found, json_string_value(one), json_null());
	json_decref(all);
}

static bool has_some(const struct line *line, const struct rights *rights)
{
	if (!rights_any(rights, line->verb) || line->apart == NULL)
		return rights_any(rights, line->verb);
	json_t *found = json_object();
	gather(found, line, rights);
	bool some = json_object_size(found) > 0;
	json_decref(found);
	return some;
}

static bool has_all(const struct line *line, const struct rights *rights)
{
	for (size_t i = 0; i < sizeof line->all / sizeof *line->all && line->all[i] != NULL; i++)
		if (!rights_covers(rights, line->verb, span_str(line->all[i])))
			return false;
	return true;
}

static void print_patterns(json_t *found, FILE *out)
{
	size_t printed = 0, count = json_object_size(found);
	const char *text;
	json_t *nothing;
	json_object_foreach (found, text, nothing) {
		if (printed == PATTERNS_SHOWN)
			break;
		fprintf(out, "%s%s", printed++ > 0 ? "," : " ", text);
	}
	if (count > printed)
		fprintf(out, " and %zu more", count - printed);
}

/* All rows of the name of the one at `first`: together, unless one of them has all. */
static void print_asker(const struct askers *askers, size_t first, const struct line *line,
                        FILE *out)
{
	const char *name = askers->list[first].name;
	json_t *found = json_object();
	bool all = false;
	for (size_t i = first; i < askers->count && !all; i++) {
		if (strcmp(askers->list[i].name, name) != 0)
			continue;
		all = has_all(line, askers->list[i].rights);
		gather(found, line, askers->list[i].rights);
	}
	fputs(name, out);
	if (!all)
		print_patterns(found, out);
	json_decref(found);
}

static void print_line(const struct askers *askers, const struct line *line, FILE *out)
{
	const char *shown[NAMES_SHOWN], *about = line->about;
	size_t names = 0, more = 0;
	fprintf(out, "  %-8s %s: ", verb_name(line->verb),
	        about != NULL ? about : verb_about(line->verb));
	for (size_t i = 0; i < askers->count; i++) {
		const char *name = askers->list[i].name;
		bool again = false;
		for (size_t n = 0; n < names; n++)
			again = again || strcmp(shown[n], name) == 0;
		if (again || !has_some(line, askers->list[i].rights))
			continue;
		if (names == NAMES_SHOWN) {
			more++;
			continue;
		}
		fputs(names > 0 ? ", " : "", out);
		print_asker(askers, i, line, out);
		shown[names++] = name;
	}
	if (more > 0)
		fprintf(out, ", and %zu more rows", more);
	fputs(names > 0 ? "\n" : "nobody\n", out);
}

/* Does what an issuer says stand alone? */
static bool only_claims(const struct askers *askers)
{
	bool claims = false;
	for (size_t i = 0; i < askers->count; i++) {
		bool any = false;
		for (enum verb verb = 0; verb < VERB_COUNT; verb++)
			any = any || rights_any(askers->list[i].rights, verb);
		claims = claims || askers->list[i].name == by_claims;
		if (any && askers->list[i].name != by_claims)
			return false;
	}
	return claims;
}

static void print_who(const struct askers *askers, const struct settings *s, FILE *out)
{
	fputs("who may do what:\n", out);
	if (only_claims(askers)) {
		fprintf(out,
		        "  whoever shows a JSON Web Token of the issuer: what its claim %s says, "
		        "which is not known here\n"
		        "  no setting and no row gives anybody a right\n",
		        s->auth_jwt_rights_claim);
		return;
	}
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		print_line(askers, &lines[i], out);
}

/* ---- what is lacking ---- */

struct lack {
	const struct settings *settings;
	const struct askers *askers;
	FILE *out;
	size_t count;
};

static void __attribute__((format(printf, 2, 3))) lacks(struct lack *lack, const char *format, ...)
{
	va_list arguments;
	fputs(lack->count++ == 0 ? "lacking for a game and a market:\n  - " : "  - ", lack->out);
	va_start(arguments, format);
	vfprintf(lack->out, format, arguments);
	va_end(arguments);
	fputc('\n', lack->out);
}

static bool somebody_may(const struct lack *lack, enum verb verb, const char *path)
{
	for (size_t i = 0; i < lack->askers->count; i++)
		if (rights_may(lack->askers->list[i].rights, verb, span_str(path)))
			return true;
	return false;
}

static void look_at_feed(struct lack *lack, struct span feed)
{
	char path[128];
	int len = (int)feed.len;
	snprintf(path, sizeof path, "/v1/source/%.*s", len, feed.at);
	if (!somebody_may(lack, VERB_POST, path))
		lacks(lack,
		      "nobody may post the facts of %.*s: set auth.source_token, or give a token "
		      "row post=%.*s",
		      len, feed.at, len, feed.at);
	snprintf(path, sizeof path, "/v1/feeds/%.*s", len, feed.at);
	if (!somebody_may(lack, VERB_READ, path))
		lacks(lack,
		      "nobody may follow %.*s: set auth.subscribe_tokens, or give a token row "
		      "read=/v1/feeds/%.*s,feeds/%.*s/**",
		      len, feed.at, len, feed.at, len, feed.at);
	if (!somebody_may(lack, VERB_FRAMES, path))
		lacks(lack,
		      "no betting service may have the frames of %.*s: set bet_sync.token, or give "
		      "a token row frames=%.*s",
		      len, feed.at, len, feed.at);
}

static size_t look_at_feeds(struct lack *lack, const char *list)
{
	size_t count = 0;
	while (*list != '\0') {
		struct span feed = span_of(list, strcspn(list, ","));
		if (feed.len > 0 && feed.len <= 64) {
			look_at_feed(lack, feed);
			count++;
		}
		list += feed.len;
		list += *list == ',';
	}
	return count;
}

static void look_at_market(struct lack *lack)
{
	const struct settings *s = lack->settings;
	if (s->bridge_workers == 0)
		lacks(lack, "no worker runs duels and markets: set bridge.workers to 1");
	if (*s->market_operator == '\0')
		lacks(lack, "there are no markets: set market.operator");
	if (!somebody_may(lack, VERB_READ, "/v1/markets"))
		lacks(lack, "nobody may see markets: set auth.subscribe_tokens, or give a token "
		            "row read=/v1/markets,/v1/markets/**");
	if (!somebody_may(lack, VERB_OPERATE, "/v1/markets/x/resolve"))
		lacks(lack, "nobody is the house, which decides markets in manual_review: set "
		            "auth.ledger_token, or give a token row "
		            "operate=/v1/markets/**,/v1/ledger/**,/v1/duels/**");
	if (strcmp(s->market_operator, "ledger") == 0 &&
	    !somebody_may(lack, VERB_OPERATE, "/v1/ledger/accounts") &&
	    !somebody_may(lack, VERB_BET, "/v1/ledger/accounts"))
		lacks(lack, "nobody may open an account, so nobody bets: set auth.ledger_token, or "
		            "give a token row bet=accounts");
}

static bool leaves_the_machine(const struct settings_listen *one)
{
	struct address_host host;
	char text[sizeof one->host + 2];
	bool v6 = strchr(one->host, ':') != NULL;
	snprintf(text, sizeof text, v6 ? "[%s]" : "%s", one->host);
	return !address_parse_host(span_str(text), &host) || !address_host_is_loopback(&host);
}

static void look_at_addresses(struct lack *lack, const char *rest, bool *tls, bool *clear)
{
	struct settings_listen one;
	while (settings_next_listen(&rest, &one) == SETTINGS_LISTEN_ONE) {
		*tls |= one.tls;
		*clear |= !one.tls;
		if (!one.tls && lack->settings->http_redirect_port == 0 && leaves_the_machine(&one))
			lacks(lack,
			      "tokens go in the clear to %s:%s: begin it with https:// "
			      "(tls.certificates),"
			      " or listen on loopback behind a TLS proxy",
			      one.host, one.port);
	}
}

/* On loopback a proxy is meant, which is told by what it is called. */
static void look_at_the_clear(struct lack *lack)
{
	const struct settings *s = lack->settings;
	bool tls = false, clear = false;
	look_at_addresses(lack, s->listen, &tls, &clear);
	look_at_addresses(lack, s->hub_listen, &tls, &clear);
	if (strncmp(s->http_public_url, "http://", 7) == 0)
		lacks(lack, "http.public_url is no https:// address: tokens go in the clear");
	else if (clear && !tls && *s->http_public_url == '\0' && !s->http_trust_forwarded)
		lacks(lack, "how the TLS proxy in front is called is not known: set "
		            "http.public_url to https://HOST, or http.trust_forwarded");
}

static void look_at_the_way(struct lack *lack)
{
	if (!somebody_may(lack, VERB_METRICS, "/metrics"))
		lacks(lack, "nobody may read metrics: set auth.metrics_token, or give a token row "
		            "metrics=metrics");
	look_at_the_clear(lack);
}

size_t survey_print(const struct settings *settings, FILE *out)
{
	struct askers askers;
	if (settings->dev) {
		fputs("development: whoever is on this machine may do everything\n", out);
		return 0;
	}
	collect(&askers, settings);
	print_who(&askers, settings, out);
	if (*settings->auth_public == '\0')
		fputs("whoever has no token gets health, the pages' own files and signed results; "
		      "auth.public opens more\n",
		      out);
	struct lack lack = {.settings = settings, .askers = &askers, .out = out};
	size_t feeds = look_at_feeds(&lack, settings->feeds_scheduled) +
	               look_at_feeds(&lack, settings->feeds_source_driven);
	if (feeds == 0)
		lacks(&lack, "there is no feed: set feeds.scheduled or feeds.source_driven");
	look_at_market(&lack);
	look_at_the_way(&lack);
	drop(&askers);
	return lack.count;
}
