/* ringsidectl: help and the table of commands. */
#include "common/base/process.h"
#include "common/base/version.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <stdlib.h>

#define OWN_ROW(ident, name, least, most, synopsis, help, more)                                    \
	{name, help, &(const struct ctl_text){synopsis, more}, ctl_##ident},
#define WORKER_ROW(ident, name, worker, help) {name, help, &ctl_text_##ident, ctl_##ident},
static const struct ctl_command commands[] = {
        ADMIN_COMMANDS(OWN_ROW, WORKER_ROW){"top", "Status, again and again.", &ctl_text_top,
                                            ctl_top},
        {"feed", "Print the frames of a feed.", &ctl_text_feed, ctl_feed},
        {"agents", "Look at the agents of the hub, or evict one.", &ctl_text_agents, ctl_agents},
        {"streams", "Look at the streams in the store.", &ctl_text_streams, ctl_streams},
        {"store", "Verify the store, or copy it while it is in use.", &ctl_text_store, ctl_store},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

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
		printf("ringsidectl %s\n", ringside_version);
		return EXIT_DONE;
	}
	return run_command(&ctl, argv[0], argc - 1, argv + 1);
}
