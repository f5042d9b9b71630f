/* Where a picture goes: one destination, as it is written in the configuration, and the ffmpeg
 * command line that gets it there. Pure.
 *
 *     NAME=rtmp://HOST/APP/KEY      NAME=rtmps://...     live, H.264 and AAC in FLV
 *     NAME=srt://HOST:PORT?...      NAME=udp://...       live, in MPEG-TS
 *     NAME=hls:/DIRECTORY                                 index.m3u8 and its segments
 *     NAME=file:/PATH.mkv           (.mkv .mp4 .ts)       recorded */
#pragma once

#include "common/base/address.h"
#include "proto/bytes.h"

enum {
	OUTPUT_NAME_MAX = 32,
	OUTPUT_URL_MAX = 1024,
	OUTPUT_ARGUMENTS_MAX = 96,
	OUTPUT_TEXTS_MAX = 16,
};

enum output_kind { OUTPUT_RTMP, OUTPUT_MPEGTS, OUTPUT_HLS, OUTPUT_FILE };

struct output_target {
	char name[OUTPUT_NAME_MAX + 1]; /* a-z, 0-9 and - */
	char url[OUTPUT_URL_MAX + 1];   /* secret; what follows "hls:" and "file:" for those */
	enum output_kind kind;
	bool own; /* named by whoever runs the suite: in the settings, by ringsidectl; the caller's
	             to set */
};

/* False: the reason says what is wrong, without the url. */
bool output_target_parse(struct output_target *target, struct span text, char reason[256]);

/* The next item of a comma-separated list; a comma within an item is not possible. False: no more.
 */
bool output_target_next(const char **list, struct span *item);

/* Does it write into this directory, or below it, or no file at all? */
bool output_target_within(const struct output_target *target, const char *dir);

/* Does it send over the network? */
bool output_target_sends(const struct output_target *target);
/* Whom one that sends sends to, the port filled in by its scheme where it has one. False: its url
 * names nobody in the usual form, for instance because it waits to be called. */
bool output_target_host(const struct output_target *target, struct address_host *host);

/* What may be shown: scheme and host, nothing that a stream key could hide in. */
void output_target_public(const struct output_target *target, char text[256]);

struct output_quality {
	unsigned fps, kbps;
	const char *sound; /* address of the sound server that is recorded; NULL: silence */
	uint64_t late_ms;  /* so much of HLS is kept beyond what is listed, for who sees it later */
};

struct output_command {
	char *argv[OUTPUT_ARGUMENTS_MAX]; /* as kept_options has it */
	char *texts[OUTPUT_TEXTS_MAX];    /* those of them that were made */
	unsigned count, texts_count;
	char *preset; /* NULL: nothing is secret. Else what ffmpeg is to read from descriptor 5 */
};

/* `address`: where its host was found and judged, which goes into the command in place of its name,
 * so that nobody asks again and is told otherwise; "": as it is written. A server of rtmp:// is
 * told the name all the same. Of rtmps:// the name stays: the server has to vouch for it by its
 * certificate. JPEGs are read from descriptor 3, progress is written to descriptor 4. Of an RTMP
 * destination only scheme and host stand in argv, the rest in the preset; of an SRT one all but
 * passphrase and stream id do. `ca_file`: whose certificates rtmps:// believes. */
void output_command_init(struct output_command *command, const char *ffmpeg, const char *ca_file,
                         const struct output_target *target, const char *address,
                         const struct output_quality *quality);
void output_command_finish(struct output_command *command);
