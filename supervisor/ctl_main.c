/* ringsidectl: arguments, help, and the table of commands. */
#include "common/base/process.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <stdarg.h>
#include <stdlib.h>

#define OWN_ROW(ident, name, least, most, synopsis, help, more)                                    \
	{name, help, &(const struct ctl_text){synopsis, more}, ctl_##ident},
#define WORKER_ROW(ident, name, worker, help) {name, help, &ctl_text_##ident, ctl_##ident},
static const struct ctl_command commands[] = {
        ADMIN_COMMANDS(OWN_ROW, WORKER_ROW){"feed", "Print the frames of a feed.", &ctl_text_feed,
                                            ctl_feed},
        {"streams", "Look at the streams in the store.", &ctl_text_streams, ctl_streams},
        {"store", "Verify the store, or copy it while it is in use.", &ctl_text_store, ctl_store},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

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

static int print_help(void)
{
	puts("usage: ringsidectl [--run-dir DIR] [--data-dir DIR] COMMAND [ARGUMENT...]\n\n"
	     "Controls a running Ringside through RUN_DIR/admin.sock.\n\nCommands:");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	puts("\nOptions:\n"
	     "  --run-dir DIR   run directory of the supervisor [/run/ringside, or "
	     "RINGSIDE_RUN_DIR]\n"
	     "  --data-dir DIR  store to look at when no supervisor runs\n"
	     "  --help          this, or the help of a COMMAND\n"
	     "  --version       print the version\n\n"
	     "Exit status: 0 done, 1 failed, 2 wrong usage.");
	return EXIT_DONE;
}

static int print_command_help(const struct ctl_command *command)
{
	const struct ctl_text *text = command->text;
	printf("usage: ringsidectl %s%s%s\n\n%s\n", command->name, *text->synopsis ? " " : "",
	       text->synopsis, command->help);
	if (*text->more)
		printf("\n%s", text->more);
	return EXIT_DONE;
}

static const struct ctl_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* --run-dir and --data-dir may stand anywhere. */
static bool take_globals(struct ctl *ctl, int *argc, char **argv)
{
	if (!ctl_take_option(argc, argv, "--run-dir", &ctl->run_dir)) {
		ctl_usage(ctl, "--run-dir needs a value");
		return false;
	}
	if (!ctl_take_option(argc, argv, "--data-dir", &ctl->data_dir)) {
		ctl_usage(ctl, "--data-dir needs a value");
		return false;
	}
	return true;
}

static int run_command(struct ctl *ctl, const char *name, int argc, char **argv)
{
	ctl->command = find_command(name);
	if (ctl->command == NULL)
		return ctl_usage(ctl, "unknown %s '%s'", *name == '-' ? "option" : "command", name);
	if (ctl_take_flag(&argc, argv, "--help") || ctl_take_flag(&argc, argv, "-h"))
		return print_command_help(ctl->command);
	return ctl->command->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
	const char *run_dir = getenv("RINGSIDE_RUN_DIR");
	struct ctl ctl = {.run_dir = run_dir != NULL ? run_dir : "/run/ringside"};
	char help_flag[] = "--help", *help_arguments[] = {help_flag};
	process_fill_standard_fds();
	argc--;
	argv++;
	if (!take_globals(&ctl, &argc, argv))
		return EXIT_USAGE;
	if (argc == 0)
		return ctl_usage(&ctl, "a command is missing");
	bool help = strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
	            strcmp(argv[0], "help") == 0;
	if (help && argc > 1)
		return run_command(&ctl, argv[1], 1, help_arguments);
	if (help)
		return print_help();
	if (strcmp(argv[0], "--version") == 0) {
		puts("ringsidectl " RINGSIDE_VERSION);
		return EXIT_DONE;
	}
	return run_command(&ctl, argv[0], argc - 1, argv + 1);
}
