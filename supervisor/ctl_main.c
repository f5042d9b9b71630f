/* ringsidectl: arguments, help, and the table of commands. */
#include "proto/roles.h"
#include "supervisor/commands.h"
#include "supervisor/ctl.h"

#include <stdarg.h>
#include <stdlib.h>

/* What a command's own help says beyond its line in the table. */
#define MORE_status "  --json   everything the supervisor knows, as JSON\n"
#define MORE_scale                                                                                 \
	"Returns when the workers are there, or the surplus ones have finished what they served.\n" \
	"No connection is refused or reset. It lasts until sse_workers changes in the\n"           \
	"configuration, or until the next start.\n"
#define MORE_restart                                                                               \
	"A worker finishes what it serves (at most worker.drain_timeout) and is replaced; with\n"  \
	"all, the next one follows when the former is ready again. A failed worker gets another\n" \
	"chance.\n"
#define MORE_reload                                                                                \
	"Prints what changed. Changes that concern the workers restart them one by one; others\n"  \
	"that take effect only at the next start of ringside are named. On any error the former\n" \
	"configuration stays.\n"
#define MORE_drain "Returns when ringside has ended.\n"
#define MORE_stop  "Returns when ringside has ended.\n"
#define MORE_log_level ""
#define MORE_events "One JSON object per line.\n"
#define MORE_settings "  --json   as JSON\n"

#define COMMAND_ROW(ident, name, least, most, synopsis, help)                                      \
	{name, synopsis, help, MORE_##ident, ctl_##ident},
static const struct ctl_command commands[] = {
        ADMIN_COMMANDS(COMMAND_ROW)
        {"streams", "ls [--prefix P] [--json] | stat PATH [--json] | tail PATH [--follow] [--offset O]",
         "Look at the streams in the store.",
         "A PATH that does not begin with / is below /v1/stream/. tail prints the last ten\n"
         "messages, or everything from --offset on: an offset as the protocol gives it, a byte\n"
         "position, -1 (the beginning) or now. JSON streams print one message per line.\n"
         "Works without a supervisor when --data-dir says where the store is.\n",
         ctl_streams},
        {"store", "check | backup FILE", "Verify the store, or copy it while it is in use.",
         "check looks at every invariant and prints what is violated. backup writes a consistent\n"
         "copy of everything acknowledged so far; to restore, put it as data.mdb into an empty\n"
         "data directory. Both work while ringside runs; when it does not, say --data-dir.\n",
         ctl_store},
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
	if (ctl->command != NULL)
		fprintf(stderr, " (usage: ringsidectl %s%s%s)\n", ctl->command->name,
		        *ctl->command->synopsis ? " " : "", ctl->command->synopsis);
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
	for (int i = 0; i < *argc; i++) {
		if (strncmp(argv[i], name, len) != 0)
			continue;
		if (argv[i][len] == '=') {
			*value = argv[i] + len + 1;
			take_out(argc, argv, i, 1);
			return true;
		}
		if (argv[i][len] == '\0') {
			if (i + 1 >= *argc)
				return false;
			*value = argv[i + 1];
			take_out(argc, argv, i, 2);
			return true;
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
	     "  --run-dir DIR   run directory of the supervisor [/run/ringside, or RINGSIDE_RUN_DIR]\n"
	     "  --data-dir DIR  store to look at when no supervisor runs\n"
	     "  --help          this, or the help of a COMMAND\n"
	     "  --version       print the version\n\n"
	     "Exit status: 0 done, 1 failed, 2 wrong usage.");
	return EXIT_DONE;
}

static int print_command_help(const struct ctl_command *command)
{
	printf("usage: ringsidectl %s%s%s\n\n%s\n", command->name, *command->synopsis ? " " : "",
	       command->synopsis, command->help);
	if (*command->more)
		printf("\n%s", command->more);
	return EXIT_DONE;
}

static const struct ctl_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Options before the command; the index of the command, or an exit code below zero, negated - 1. */
static int take_globals(struct ctl *ctl, int argc, char **argv)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		const char **value = NULL;
		const char *equals = strchr(argv[i], '=');
		size_t len = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return -1 - print_help();
		if (strcmp(argv[i], "--version") == 0)
			return -1 - (puts("ringsidectl " RINGSIDE_VERSION) < 0);
		if (len == 9 && strncmp(argv[i], "--run-dir", 9) == 0)
			value = &ctl->run_dir;
		else if (len == 10 && strncmp(argv[i], "--data-dir", 10) == 0)
			value = &ctl->data_dir;
		else
			return -1 - ctl_usage(ctl, "unknown option '%s'", argv[i]);
		if (equals == NULL && i + 1 >= argc)
			return -1 - ctl_usage(ctl, "%s needs a value", argv[i]);
		*value = equals != NULL ? equals + 1 : argv[++i];
	}
	return i;
}

int main(int argc, char **argv)
{
	const char *run_dir = getenv("RINGSIDE_RUN_DIR");
	struct ctl ctl = {.run_dir = run_dir != NULL ? run_dir : "/run/ringside"};
	int at = take_globals(&ctl, argc, argv);
	if (at < 0)
		return -1 - at;
	if (at >= argc)
		return ctl_usage(&ctl, "a command is missing");
	if (strcmp(argv[at], "help") == 0 && at + 1 >= argc)
		return print_help();
	bool help = strcmp(argv[at], "help") == 0;
	const struct ctl_command *command = find_command(argv[at + help]);
	if (command == NULL)
		return ctl_usage(&ctl, "unknown command '%s'", argv[at + help]);
	argc -= at + 1;
	argv += at + 1;
	if (help || ctl_take_flag(&argc, argv, "--help") || ctl_take_flag(&argc, argv, "-h"))
		return print_command_help(command);
	ctl.command = command;
	return command->run(&ctl, argc, argv);
}
