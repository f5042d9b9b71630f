/* How ringsidectl reads its arguments, and how it says things. */
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <stdarg.h>

int ctl_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("ringsidectl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILED;
}

int ctl_usage(const struct ctl *ctl, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("ringsidectl: ", stderr);
	vfprintf(stderr, format, args);
	va_end(args);
	const struct ctl_text *text = ctl->command != NULL ? ctl->command->text : NULL;
	if (text != NULL)
		fprintf(stderr, " (usage: ringsidectl %s%s%s)\n", ctl->command->name,
		        *text->synopsis ? " " : "", text->synopsis);
	else
		fputs(" (see 'ringsidectl --help')\n", stderr);
	return EXIT_USAGE;
}

static void take_out(int *argc, char **argv, int at, int count)
{
	memmove(argv + at, argv + at + count, (size_t)(*argc - at - count) * sizeof *argv);
	*argc -= count;
}

bool ctl_take_flag(int *argc, char **argv, const char *name)
{
	for (int i = 0; i < *argc; i++)
		if (strcmp(argv[i], name) == 0) {
			take_out(argc, argv, i, 1);
			return true;
		}
	return false;
}

bool ctl_take_option(int *argc, char **argv, const char *name, const char **value)
{
	size_t len = strlen(name);
	for (int i = 0; i < *argc;) {
		bool same = strncmp(argv[i], name, len) == 0;
		if (same && argv[i][len] == '=') {
			*value = argv[i] + len + 1;
			take_out(argc, argv, i, 1);
		} else if (same && argv[i][len] == '\0') {
			if (i + 1 >= *argc)
				return false;
			*value = argv[i + 1];
			take_out(argc, argv, i, 2);
		} else {
			i++;
		}
	}
	return true;
}

const char *ctl_duration(uint64_t ms, char text[32])
{
	unsigned long long s = ms / 1000;
	if (s < 60)
		snprintf(text, 32, "%llu.%llus", s, (unsigned long long)ms / 100 % 10);
	else if (s < 3600)
		snprintf(text, 32, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, 32, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(text, 32, "%llud%02lluh", s / 86400, s / 3600 % 24);
	return text;
}

const char *ctl_size(uint64_t bytes, char text[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double n = (double)bytes;
	unsigned unit = 0;
	for (; n >= 1000 && unit < 4; unit++)
		n /= 1000;
	snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
	return text;
}
