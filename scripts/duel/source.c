#include "scripts/duel/source.h"
#include "scripts/duel/wait.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ANSWER_MAX = 1 << 18,
	TOKEN_MAX = 512,
	PAUSE_MS_MIN = 50,
	PAUSE_MS_MAX = 1000,
	LAST_MS = 2000
};

struct source {
	CURL *curl;
	char base[512]; /* http://host:port/v1/source/FEED */
	const char *token_file;
	uint64_t epoch, seq;
	uint64_t silence_ms, said_ms; /* monotonic: the last post */
	bool saying;
	bool complained; /* since the last answer */
	char *answer;
	size_t len;
};

struct source *source_create(const char *url, const char *feed, const char *token_file)
{
	struct source *source = calloc(1, sizeof *source);
	if (source == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort();
	size_t len = strlen(url);
	while (len > 0 && url[len - 1] == '/')
		len--;
	snprintf(source->base, sizeof source->base, "%.*s/v1/source/%s", (int)len, url, feed);
	source->token_file = token_file;
	source->curl = curl_easy_init();
	source->answer = malloc(ANSWER_MAX + 1);
	if (source->curl == NULL || source->answer == NULL)
		abort();
	return source;
}

void source_destroy(struct source **source)
{
	if (*source == NULL)
		return;
	curl_easy_cleanup((*source)->curl);
	free((*source)->answer);
	free(*source);
	*source = NULL;
}

uint64_t source_epoch(const struct source *source)
{
	return source->epoch;
}

/* ---- one request ---- */

static bool read_token(const struct source *source, char token[TOKEN_MAX])
{
	char text[4096];
	FILE *file = source->token_file != NULL ? fopen(source->token_file, "r") : NULL;
	if (file == NULL)
		return false;
	size_t len = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[len] = '\0';
	json_t *tokens = *text == '{' ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *member = json_string_value(json_object_get(tokens, "source"));
	const char *found = tokens != NULL ? member : text;
	if (found != NULL)
		snprintf(token, TOKEN_MAX, "%.*s", (int)strcspn(found, " \r\n"), found);
	json_decref(tokens);
	return found != NULL && *token != '\0';
}

static size_t take(char *at, size_t size, size_t count, void *arg)
{
	struct source *source = arg;
	size_t len = size * count;
	if (len > ANSWER_MAX - source->len)
		return 0;
	memcpy(source->answer + source->len, at, len);
	source->len += len;
	return len;
}

/* Its status; 0: there was no answer. `text` NULL: GET. */
static long ask(struct source *source, const char *url, const char *text)
{
	char token[TOKEN_MAX], header[TOKEN_MAX + 32];
	long status = 0;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (read_token(source, token)) {
		snprintf(header, sizeof header, "Authorization: Bearer %s", token);
		headers = curl_slist_append(headers, header);
	}
	curl_easy_reset(source->curl);
	curl_easy_setopt(source->curl, CURLOPT_URL, url);
	curl_easy_setopt(source->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(source->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(source->curl, CURLOPT_CONNECTTIMEOUT_MS, 1000L);
	curl_easy_setopt(source->curl, CURLOPT_TIMEOUT_MS, 5000L);
	curl_easy_setopt(source->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(source->curl, CURLOPT_WRITEDATA, source);
	if (text != NULL)
		curl_easy_setopt(source->curl, CURLOPT_POSTFIELDS, text);
	source->len = 0;
	if (curl_easy_perform(source->curl) == CURLE_OK)
		curl_easy_getinfo(source->curl, CURLINFO_RESPONSE_CODE, &status);
	source->answer[source->len] = '\0';
	curl_slist_free_all(headers);
	return status;
}

/* ---- until it is answered ---- */

static void complain(struct source *source, long status)
{
	if (source->complained)
		return;
	source->complained = true;
	if (status == 0)
		fprintf(stderr,
		        "ringside-duel: no answer from %s; trying again until there is one\n",
		        source->base);
	else
		fprintf(stderr, "ringside-duel: %ld from %s: %s", status, source->base,
		        source->answer);
}

/* No answer, "not now" and a token that is out of date may all be better in a moment. */
static bool passing(long status)
{
	return status == 0 || status >= 500 || status == 429 || status == 401 || status == 408;
}

static enum source_result ask_until_answered(struct source *source, const char *url,
                                             const char *text, json_t **answer)
{
	uint64_t pause_ms = PAUSE_MS_MIN, last_ms = 0;
	for (;;) {
		long status = ask(source, url, text);
		if (status == 200) {
			source->complained = false;
			if (answer != NULL)
				*answer = json_loadb(source->answer, source->len,
				                     JSON_REJECT_DUPLICATES, NULL);
			return answer == NULL || *answer != NULL ? SOURCE_OK : SOURCE_REFUSED;
		}
		if (!passing(status)) {
			fprintf(stderr, "ringside-duel: %ld from %s: %s", status, url,
			        source->answer);
			return SOURCE_REFUSED;
		}
		complain(source, status);
		if (wait_stopped()) {
			last_ms = last_ms != 0 ? last_ms : wait_now_ms() + LAST_MS;
			if (text == NULL || wait_now_ms() >= last_ms)
				return SOURCE_STOPPED;
			struct timespec moment = {.tv_nsec = PAUSE_MS_MIN * 1000000};
			nanosleep(&moment, NULL);
			continue;
		}
		wait_for_ms(pause_ms);
		pause_ms = pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
	}
}

enum source_result source_state(struct source *source, json_t **state)
{
	*state = NULL;
	return ask_until_answered(source, source->base, NULL, state);
}

enum source_result source_begin(struct source *source, json_t **state)
{
	json_t *found;
	enum source_result result = source_state(source, &found);
	if (result != SOURCE_OK)
		return result;
	uint64_t before = (uint64_t)json_integer_value(json_object_get(found, "sourceEpoch"));
	uint64_t now = wait_wall_ms();
	source->epoch = now > before ? now : before + 1;
	source->seq = 0;
	source->silence_ms =
	        (uint64_t)json_integer_value(json_object_get(found, "sourceSilenceMs"));
	if (state != NULL)
		*state = json_incref(found);
	json_decref(found);
	return SOURCE_OK;
}

enum source_result source_post(struct source *source, const char *kind, json_t *body,
                               json_t **answer)
{
	char url[600];
	json_object_set_new(body, "sourceEpoch", json_integer((json_int_t)source->epoch));
	json_object_set_new(body, "sourceSeq", json_integer((json_int_t)source->seq + 1));
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (text == NULL)
		abort();
	snprintf(url, sizeof url, "%s/%s", source->base, kind);
	source->saying = true;
	enum source_result result = ask_until_answered(source, url, text, answer);
	source->saying = false;
	source->said_ms = wait_now_ms();
	if (result == SOURCE_OK)
		source->seq++; /* a refused post uses up no number */
	free(text);
	return result;
}

uint64_t source_silence_ms(const struct source *source)
{
	return source->silence_ms;
}

void source_alive(struct source *source, uint64_t quiet_ms)
{
	if (!source->saying && !wait_stopped() && wait_now_ms() >= source->said_ms + quiet_ms)
		source_post(source, "alive", json_object(), NULL);
}
