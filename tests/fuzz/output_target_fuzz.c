/* NAME=URL as it comes over HTTP: what is taken makes a command line within its bounds, and what
 * may be shown of it holds nothing from behind its host. */
#include "common/base/check.h"
#include "worker-capture/output_target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(const struct output_target *target, const char *sound, const char *address)
{
	const struct output_quality quality = {.fps = 60, .kbps = 50000, .sound = sound};
	struct output_command command;
	output_command_init(&command, "/usr/bin/ffmpeg", "/ca", target, address, &quality);
	check(command.count < OUTPUT_ARGUMENTS_MAX && command.argv[command.count] == NULL);
	for (const char *c = command.preset; c != NULL && *c != '\0'; c++)
		check((unsigned char)*c >= ' ' || *c == '\n');
	output_command_finish(&command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct output_target target;
	char reason[256], shown[256];
	uint8_t *copy = malloc(size + 1);
	memcpy(copy, data, size);
	if (output_target_parse(&target, span_of(copy, size), reason)) {
		build(&target, NULL, "");
		build(&target, "unix:/s", "");
		build(&target, "unix:/s", "fd00::1");
		output_target_public(&target, shown);
		check(strchr(shown, '?') == NULL || target.kind == OUTPUT_HLS ||
		      target.kind == OUTPUT_FILE);
		if (output_target_within(&target, "/srv/video"))
			check(strstr(target.url, "/../") == NULL || target.kind == OUTPUT_RTMP ||
			      target.kind == OUTPUT_MPEGTS);
	}
	free(copy);
	return 0;
}
