#include "worker-capture/output_target.h"
#include "common/base/check.h"
#include "common/domain/output_row.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECRET_URL_MAX = 900 }; /* ffmpeg reads presets in lines of 1000 */

/* ---- reading one ---- */

static const struct {
	const char *prefix;
	enum output_kind kind;
	bool path; /* the prefix is no part of it */
} schemes[] = {
        {"rtmp://", OUTPUT_RTMP, false},  {"rtmps://", OUTPUT_RTMP, false},
        {"srt://", OUTPUT_MPEGTS, false}, {"udp://", OUTPUT_MPEGTS, false},
        {"hls:/", OUTPUT_HLS, true},      {"file:/", OUTPUT_FILE, true},
};

static bool bad(char reason[256], const char *why)
{
	snprintf(reason, 256, "%s", why);
	return false;
}

static bool take_name(struct output_target *target, struct span name)
{
	if (name.len == 0 || name.len > OUTPUT_NAME_MAX || name.at[0] == '-')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!islower(name.at[i]) && !isdigit(name.at[i]) && name.at[i] != '-')
			return false;
	memcpy(target->name, name.at, name.len);
	target->name[name.len] = '\0';
	return true;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_recording(const char *path)
{
	return ends_with(path, ".mkv") || ends_with(path, ".mp4") || ends_with(path, ".ts");
}

/* "rtmp://NAME:PASSWORD@HOST"; "udp://@GROUP" names nobody. */
static bool names_a_user(const char *url)
{
	const char *from = strstr(url, "://") + 3;
	const char *user = memchr(from, '@', strcspn(from, "/?#"));
	return user != NULL && user != from;
}

bool output_target_parse(struct output_target *target, struct span text, char reason[256])
{
	const uint8_t *equals = text.len != 0 ? memchr(text.at, '=', text.len) : NULL;
	*target = (struct output_target){0};
	if (equals == NULL || !take_name(target, span_of(text.at, (size_t)(equals - text.at))))
		return bad(reason, "an output is NAME=URL, the name 1 to 32 of a-z, 0-9 and -");
	struct span url = span_of(equals + 1, (size_t)(text.at + text.len - equals - 1));
	for (size_t i = 0; i < url.len; i++)
		if (url.at[i] <= ' ' || url.at[i] == 0x7f)
			return bad(reason, "an output's url has no spaces or control characters");
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		size_t len = strlen(schemes[i].prefix), from = schemes[i].path ? len - 1 : 0;
		if (url.len <= len || memcmp(url.at, schemes[i].prefix, len) != 0)
			continue;
		if (url.len - from > OUTPUT_URL_MAX)
			return bad(reason, "an output's url has at most 1024 characters");
		memcpy(target->url, url.at + from, url.len - from);
		target->kind = schemes[i].kind;
		if (!schemes[i].path && strlen(target->url) > SECRET_URL_MAX)
			return bad(reason, "the url of a live output has at most 900 characters");
		if (!schemes[i].path && names_a_user(target->url))
			return bad(reason,
			           "an output's url has no name and password before the host: "
			           "ffmpeg takes "
			           "them in its command line alone, which everybody may read");
		if (target->kind == OUTPUT_HLS && strchr(target->url, '%') != NULL)
			return bad(reason, "an HLS directory has no % in its name");
		return target->kind != OUTPUT_FILE || is_recording(target->url) ||
		       bad(reason, "a recording's name ends in .mkv, .mp4 or .ts");
	}
	return bad(
	        reason,
	        "an output's url begins with rtmp://, rtmps://, srt://, udp://, hls:/ or file:/");
}

bool output_target_sends(const struct output_target *target)
{
	return target->kind == OUTPUT_RTMP || target->kind == OUTPUT_MPEGTS;
}

/* HOST[:PORT] of a url, without the '@' of "udp://@GROUP". */
static struct span authority_of(const char *url)
{
	const char *from = strstr(url, "://") + 3;
	from += *from == '@';
	return span_of(from, strcspn(from, "/?#"));
}

bool output_target_host(const struct output_target *target, struct address_host *host)
{
	if (!output_target_sends(target) || !address_parse_host(authority_of(target->url), host))
		return false;
	if (host->port == 0 && target->kind == OUTPUT_RTMP)
		host->port = strncmp(target->url, "rtmps:", 6) == 0 ? 443 : 1935;
	return true;
}

bool output_target_next(const char **list, struct span *item)
{
	while (**list == ',' || **list == ' ')
		(*list)++;
	size_t len = strcspn(*list, ", ");
	*item = span_of(*list, len);
	*list += len;
	return len > 0;
}

bool output_target_within(const struct output_target *target, const char *dir)
{
	size_t len = strlen(dir);
	if (target->kind != OUTPUT_HLS && target->kind != OUTPUT_FILE)
		return true;
	while (len > 0 && dir[len - 1] == '/')
		len--;
	return *dir == '/' && strncmp(target->url, dir, len) == 0 && target->url[len] == '/' &&
	       target->url[len + 1] != '\0' && strstr(target->url, "/../") == NULL &&
	       !ends_with(target->url, "/..");
}

void output_target_public(const struct output_target *target, char text[256])
{
	const char *host = strstr(target->url, "://");
	if (target->kind == OUTPUT_HLS || target->kind == OUTPUT_FILE) {
		snprintf(text, 256, "%s%.240s",
		         target->kind == OUTPUT_HLS ? "hls:" : "file:", target->url);
		return;
	}
	host = host != NULL ? host + 3 : target->url;
	const char *end = host + strcspn(host, "/?#");
	snprintf(text, 256, "%.*s/…", (int)(end - target->url < 200 ? end - target->url : 200),
	         target->url);
}

/* ---- ffmpeg ---- */

static void add(struct output_command *c, const char *text)
{
	check(c->count + 1 < OUTPUT_ARGUMENTS_MAX);
	c->argv[c->count++] = (char *)text;
}

static void add_all(struct output_command *c, const char *const *texts)
{
	for (; *texts != NULL; texts++)
		add(c, *texts);
}

static void add_format(struct output_command *c, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void add_format(struct output_command *c, const char *format, ...)
{
	va_list args;
	char *text;
	va_start(args, format);
	check(vasprintf(&text, format, args) >= 0);
	va_end(args);
	check(c->texts_count < OUTPUT_TEXTS_MAX);
	c->texts[c->texts_count++] = text;
	add(c, text);
}

static void add_input(struct output_command *c, const struct output_quality *q)
{
	static const char *const before[] = {"-hide_banner",
	                                     "-nostdin",
	                                     "-loglevel",
	                                     "error",
	                                     "-progress",
	                                     "pipe:4",
	                                     "-stats_period",
	                                     "0.5",
	                                     "-probesize",
	                                     "32",
	                                     "-analyzeduration",
	                                     "0",
	                                     "-fflags",
	                                     "nobuffer",
	                                     "-f",
	                                     "image2pipe",
	                                     "-c:v",
	                                     "mjpeg",
	                                     "-framerate",
	                                     NULL};
	static const char *const silence[] = {"-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo",
	                                      NULL};
	static const char *const recorder[] = {
	        "-f", "pulse", "-name", "ringside", "-sample_rate", "44100",
	        /* 40 ms: what is heard must not wait for what is seen */
	        "-fragment_size", "7056", "-thread_queue_size", "64", "-server", NULL};
	static const char *const maps[] = {"-map", "0:v", "-map", "1:a", NULL};
	add_all(c, before);
	add_format(c, "%u", q->fps);
	add(c, "-i");
	add(c, "pipe:3");
	if (q->sound != NULL) {
		add_all(c, recorder);
		add_format(c, "%s", q->sound);
		add(c, "-i");
		add(c, "page.monitor");
	} else {
		add_all(c, silence);
	}
	add_all(c, maps);
}

static void add_codecs(struct output_command *c, const struct output_quality *q)
{
	static const char *const video[] = {
	        "-c:v",     "libx264",     "-preset", "ultrafast",
	        "-tune",    "zerolatency", "-vf",     "scale=in_range=pc:out_range=tv",
	        "-pix_fmt", "yuv420p",     NULL};
	static const char *const audio[] = {"-c:a", "aac", "-b:a", "96k", "-shortest", NULL};
	static const char *const steady[] = {"-af", "aresample=async=1000:first_pts=0", NULL};
	add_all(c, video);
	add(c, "-b:v");
	add_format(c, "%uk", q->kbps);
	add(c, "-maxrate");
	add_format(c, "%uk", q->kbps);
	add(c, "-bufsize");
	add_format(c, "%uk", q->kbps);
	add(c, "-g");
	add_format(c, "%u", q->fps * 2);
	add(c, "-r");
	add_format(c, "%u", q->fps);
	if (q->sound != NULL)
		add_all(c, steady);
	add_all(c, audio);
}

/* Where the key begins in "/APP/KEY" or "/APP/INSTANCE/KEY". 0: there is none. A slash in the query
 * belongs to the key. */
static size_t key_at(const char *path)
{
	size_t query = strcspn(path, "?");
	const char *app = path + 1, *end = path + query;
	const char *second = query > 1 ? memchr(app, '/', (size_t)(end - app)) : NULL;
	if (second == NULL)
		return 0;
	const char *third = memchr(second + 1, '/', (size_t)(end - second - 1));
	const char *colon = memchr(second + 1, ':', (size_t)(end - second - 1)); /* "mp4:name" */
	const char *key =
	        third != NULL && (colon == NULL || third < colon) ? third + 1 : second + 1;
	return *key != '\0' ? (size_t)(key - path) : 0;
}

/* As ffmpeg makes it of a name. */
static void add_tc_url(struct output_command *c, const struct output_target *target,
                       struct span app)
{
	struct address_host host;
	char *more = c->preset;
	check(output_target_host(target, &host));
	check(asprintf(&c->preset, "%srtmp_tcurl=rtmp://%s:%u/%.*s\n", more != NULL ? more : "",
	               host.name, host.port, (int)app.len, app.at) > 0);
	free(more);
}

static void add_rtmp(struct output_command *c, const struct output_target *target,
                     const char *place, bool pinned, const char *ca_file)
{
	static const char *const preset[] = {"-fpre", "/proc/self/fd/5", NULL};
	static const char *const verify[] = {"-tls_verify", "1", "-ca_file", NULL};
	const char *host = strstr(target->url, "://") + 3, *path = host + strcspn(host, "/?#");
	size_t key = *path == '/' ? key_at(path) : 0, app = *path != '\0' ? strlen(path + 1) : 0;
	if (strncmp(target->url, "rtmps:", 6) == 0) {
		add_all(c, verify);
		add(c, ca_file);
	}
	/* Without a key all of the path: it may be the key. */
	struct span name =
	        span_of(app > 0 ? path + 1 : path, app == 0   ? 0
	                                           : key != 0 ? key - 2
	                                                      : app - (path[app] == '/'));
	if (app > 0)
		check(asprintf(&c->preset, "rtmp_app=%.*s\n%s%s%s", (int)name.len, name.at,
		               key != 0 ? "rtmp_playpath=" : "", key != 0 ? path + key : "",
		               key != 0 ? "\n" : "") > 0);
	if (pinned)
		add_tc_url(c, target, name);
	if (c->preset != NULL)
		add_all(c, preset);
	const char *place_host = strstr(place, "://") + 3;
	add_format(c, "%.*s/", (int)(place_host - place) + (int)strcspn(place_host, "/?#"), place);
}

/* ---- srt ---- */

static int hex(char c)
{
	return isdigit((unsigned char)c)                 ? c - '0'
	       : isxdigit((unsigned char)c) && c != '\0' ? tolower((unsigned char)c) - 'a' + 10
	                                                 : -1;
}

/* A value of a query as ffmpeg would read it there: '+' is a space, and in a stream id %xx a byte;
 * one that would end the preset's line stays as it is. Never longer than it was. */
static void put_value(FILE *out, const char *at, size_t len, bool encoded)
{
	for (size_t i = 0; i < len; i++) {
		int high = encoded && at[i] == '%' && i + 2 < len ? hex(at[i + 1]) : -1;
		int low = high >= 0 ? hex(at[i + 2]) : -1;
		if (low >= 0 && high * 16 + low >= ' ') {
			fputc(high * 16 + low, out);
			i += 2;
		} else {
			fputc(at[i] == '+' ? ' ' : at[i], out);
		}
	}
}

/* Of "srt://HOST:PORT?NAME=VALUE&..." passphrase and stream id are secret. */
static void add_srt(struct output_command *c, const char *url)
{
	static const char *const preset[] = {"-fpre", "/proc/self/fd/5", NULL};
	static const char *const secret[] = {"passphrase=", "streamid="};
	size_t base = strcspn(url, "?"), preset_len, rest_len;
	char *rest_text;
	FILE *hidden = open_memstream(&c->preset, &preset_len),
	     *rest = open_memstream(&rest_text, &rest_len);
	check(hidden != NULL && rest != NULL);
	fwrite(url, 1, base, rest);
	char between = '?';
	for (const char *at = url + base; *at != '\0';) {
		at++; /* '?' or '&' */
		size_t len = strcspn(at, "&"), name = strcspn(at, "=&");
		bool is_stream = strncmp(at, secret[1], strlen(secret[1])) == 0;
		if (is_stream || strncmp(at, secret[0], strlen(secret[0])) == 0) {
			fwrite(at, 1, name + 1, hidden);
			put_value(hidden, at + name + 1, len - name - 1, is_stream);
			fputc('\n', hidden);
		} else if (len > 0) {
			fputc(between, rest);
			fwrite(at, 1, len, rest);
			between = '&';
		}
		at += len;
	}
	check(fclose(hidden) == 0 && fclose(rest) == 0);
	if (preset_len > 0) {
		add_all(c, preset);
	} else {
		free(c->preset);
		c->preset = NULL;
	}
	add_format(c, "%s", rest_text);
	free(rest_text);
}

/* The url with an address in place of the host's name; to be freed. */
static char *url_at(const char *url, const struct address_host *host, const char *address)
{
	struct span authority = authority_of(url);
	const char *from = (const char *)authority.at, *rest = from + strlen(host->name);
	bool ipv6 = strchr(address, ':') != NULL;
	char *text;
	check(asprintf(&text, "%.*s%s%s%s%s", (int)(from - url), url, ipv6 ? "[" : "", address,
	               ipv6 ? "]" : "", rest) > 0);
	return text;
}

/* What is listed is kept, and one more that is under way. */
static void add_hls_list(struct output_command *c, uint64_t late_ms)
{
	uint64_t segment_ms = OUTPUT_ROW_HLS_SEGMENT_S * 1000;
	uint64_t late = late_ms != 0 ? (late_ms + segment_ms - 1) / segment_ms + 1 : 0;
	add(c, "-hls_time");
	add_format(c, "%d", OUTPUT_ROW_HLS_SEGMENT_S);
	add(c, "-hls_list_size");
	add_format(c, "%llu", (unsigned long long)(OUTPUT_ROW_HLS_LISTED + late));
}

static void add_destination(struct output_command *c, const struct output_target *target,
                            const char *address, const char *ca_file,
                            const struct output_quality *quality)
{
	static const char *const flv[] = {
	        "-flvflags", "no_duration_filesize", "-rw_timeout", "3000000", "-f", "flv", NULL};
	static const char *const ts[] = {"-f", "mpegts", NULL};
	static const char *const hls[] = {
	        "-f", "hls", "-hls_flags",
	        /* append_list: numbers go on after a restart */
	        "delete_segments+independent_segments+temp_file+append_list",
	        "-hls_segment_filename", NULL};
	struct address_host host;
	bool pinned = *address != '\0' && output_target_host(target, &host) && !host.literal &&
	              strncmp(target->url, "rtmps:", 6) != 0;
	char *place = pinned ? url_at(target->url, &host, address)
	                     : xmemdup_text(target->url, strlen(target->url));
	switch (target->kind) {
	case OUTPUT_RTMP:
		add_all(c, flv);
		add_rtmp(c, target, place, pinned, ca_file);
		break;
	case OUTPUT_MPEGTS:
		add_all(c, ts);
		if (strncmp(target->url, "srt:", 4) == 0)
			add_srt(c, place);
		else
			add_format(c, "%s", place);
		break;
	case OUTPUT_HLS:
		add_all(c, hls);
		add_format(c, "%s/%%09d.ts", target->url);
		add_hls_list(c, quality->late_ms);
		add_format(c, "%s/index.m3u8", target->url);
		break;
	case OUTPUT_FILE: /* what is there can be played, however it ends; ffmpeg itself would keep
	                     256 KB back */
		if (ends_with(target->url, ".mp4")) {
			add(c, "-movflags");
			add(c, "frag_keyframe+empty_moov");
		}
		add(c, "-flush_packets");
		add(c, "1");
		add_format(c, "file:%s", target->url);
		break;
	}
	free(place);
}

void output_command_init(struct output_command *command, const char *ffmpeg, const char *ca_file,
                         const struct output_target *target, const char *address,
                         const struct output_quality *quality)
{
	*command = (struct output_command){0};
	if (quality->sound != NULL)
		add(command, "PULSE_COOKIE=/dev/zero"); /* else the library writes one somewhere */
	add(command, ffmpeg);
	add_input(command, quality);
	add_codecs(command, quality);
	add_destination(command, target, address, ca_file, quality);
}

void output_command_finish(struct output_command *command)
{
	for (unsigned i = 0; i < command->texts_count; i++)
		free(command->texts[i]);
	free(command->preset);
	*command = (struct output_command){0};
}
