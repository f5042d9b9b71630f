/* Settings from hostile text: the lines of the bus, YAML files, and files that hold a secret. What
 * is taken over survives being written and read again. */
#include "common/base/settings.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *arg, const struct setting_row *row)
{
	(void)row;
	++*(size_t *)arg;
}

static void round_trip(const struct settings *settings)
{
	char reason[SETTINGS_REASON_MAX];
	struct settings again;
	size_t differences = 0;
	settings_init(&again);
	char *text = settings_text(settings);
	if (!settings_from_text(&again, span_str(text), reason))
		abort();
	settings_diff(settings, &again, count, &differences);
	if (differences != 0)
		abort();
	settings_validate(settings, reason);
	free(text);
	settings_finish(&again);
}

static void from_file(struct settings *settings, const uint8_t *data, size_t size)
{
	char path[64], reason[SETTINGS_REASON_MAX];
	int fd = memfd_create("settings", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*reason = '\0';
	if (!settings_load_file(settings, path, reason) && *reason == '\0')
		abort();
	close(fd);
}

/* The first byte says whose file it is, the rest is what it holds. */
static void from_secret_file(struct settings *settings, const uint8_t *data, size_t size)
{
	char path[64], reason[SETTINGS_REASON_MAX] = "";
	const struct setting_row *row = &setting_rows[size > 0 ? data[0] % setting_rows_count : 0];
	int fd = memfd_create("secret", MFD_CLOEXEC);
	if (!setting_is_secret(row->type) || size == 0) {
		close(fd);
		return;
	}
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	const struct setting_given given = {
	        .row = row, .value = span_str(path), .by_file = true, .giver = GIVEN_BY_FILE};
	if (!settings_give(settings, &given, reason) && *reason == '\0')
		abort();
	close(fd);
}

/* The lowest and the highest bit of the first byte say which of the three it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char reason[SETTINGS_REASON_MAX];
	struct settings settings;
	settings_init(&settings);
	uint8_t *copy = malloc(size);
	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	if (copy[0] & 0x80)
		from_secret_file(&settings, copy + 1, size - 1);
	else if (copy[0] & 1)
		from_file(&settings, copy + 1, size - 1);
	else
		settings_from_text(&settings, span_of(copy + 1, size - 1), reason);
	free(copy);
	round_trip(&settings);
	settings_finish(&settings);
	return 0;
}
