/* ringside: the commands of the supervisor's program. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "proto/roles.h"
#include "supervisor/handover.h"
#include "supervisor/run.h"
#include "supervisor/tls_files.h"
#include "supervisor/survey.h"
#include "supervisor/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage_error(const char *reason)
{
	fprintf(stderr, "ringside: %s (see 'ringside --help')\n", reason);
	return EXIT_USAGE;
}

/* Where the settings are listed. */
static int setting_error(const char *reason)
{
	fprintf(stderr, "ringside: %s (see 'ringside run --help')\n", reason);
	return EXIT_USAGE;
}

static void print_run_help(void)
{
	puts("usage: ringside run [--config FILE] [SETTING...]\n\n"
	     "Runs Ringside in the foreground and logs to standard error. SIGTERM or SIGINT: "
	     "finish\n"
	     "what runs, then end; a second one hurries. SIGHUP: read the configuration again.\n"
	     "SIGUSR1: reopen the log file.\n\n"
	     "Settings come from their defaults, the file given with --config (or "
	     "RINGSIDE_CONFIG),\n"
	     "RINGSIDE_* variables and flags; the later wins. In the file a key is spelled with\n"
	     "dots (log.level), as a variable RINGSIDE_LOG_LEVEL, as a flag --log-level.\n"
	     "Sizes take k, M, G, T; times take ms, s, m, h, d.\n");
	settings_print_help(stdout);
}

static int run(int argc, char **argv)
{
	struct options options;
	char reason[SETTINGS_REASON_MAX];
	if (!options_parse(&options, argc, argv, reason))
		return setting_error(reason);
	if (options.help) {
		print_run_help();
		return EXIT_DONE;
	}
	options_hide_secrets(&options);
	return run_supervisor(&options);
}

struct verdict {
	size_t refused, doubtful;
};

static void print_doubt(void *arg, const char *doubt)
{
	struct verdict *verdict = arg;
	fprintf(stderr, "doubtful: %s\n", doubt);
	verdict->doubtful++;
}

static void print_token(void *arg, bool certain, const char *text)
{
	struct verdict *verdict = arg;
	if (!certain) {
		print_doubt(verdict, text);
		return;
	}
	fprintf(stderr, "%s\n", text);
	verdict->refused++;
}

/* Takes it out of the arguments. */
static bool take_strict(int *argc, char **argv)
{
	for (int i = 0; i < *argc; i++)
		if (strcmp(argv[i], "--strict") == 0) {
			memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
			--*argc;
			return true;
		}
	return false;
}

static void print_check_help(void)
{
	puts("usage: ringside check-config [--strict] [--config FILE] [SETTING...]\n\n"
	     "Says whether 'ringside run' with the same arguments would accept its\n"
	     "configuration: exit 0, or exit 2 and one line FILE:LINE: REASON. Refuses\n"
	     "tokens that somebody could guess as well (run starts with them, and logs it):\n"
	     "placeholders and those below 8 characters. Says what is doubtful, who may do\n"
	     "what, and what a game and a market lack; with --strict, exit 1 if any of it is.");
}

static int check_config(int argc, char **argv)
{
	struct options options;
	struct settings settings;
	struct verdict verdict = {0};
	char reason[SETTINGS_REASON_MAX];
	bool strict = take_strict(&argc, argv);
	if (!options_parse(&options, argc, argv, reason))
		return setting_error(reason);
	if (options.help) {
		print_check_help();
		return EXIT_DONE;
	}
	if (!options_load(&options, &settings, reason)) {
		fprintf(stderr, "%s\n", reason);
		return EXIT_USAGE;
	}
	char *rows = tls_files_fit(&settings, clock_wall_ms(), reason)
	                     ? tokens_in_effect(&options, &settings, reason)
	                     : NULL;
	if (rows == NULL) {
		fprintf(stderr, "%s\n", reason);
		settings_finish(&settings);
		return EXIT_USAGE;
	}
	survey_access(&settings, options.config, print_token, &verdict);
	tokens_judge(&settings, print_token, &verdict);
	options_doubts(&options, &settings, print_doubt, &verdict);
	size_t lacking = 0;
	if (verdict.refused == 0) {
		puts("the configuration is valid");
		check(settings_set(&settings, SPAN("auth.token_rows"), span_str(rows), reason));
		lacking = survey_print(&settings, stdout);
	}
	free(rows);
	settings_finish(&settings);
	if (verdict.refused != 0)
		return EXIT_USAGE;
	return strict && lacking + verdict.doubtful != 0 ? EXIT_FAILED : EXIT_DONE;
}

/* Workers that the configuration wants, beside this program. */
static bool workers_are_there(const struct settings *settings)
{
	static struct life life;
	char path[4400];
	const struct plan plan = plan_make(settings, 1, false, true);
	ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
	path[len > 0 ? len : 0] = '\0';
	snprintf(life.program_dir, sizeof life.program_dir, "%s", dirname(path));
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		life_find_program(&life, &roles[i], path, sizeof path);
		if (plan.counts[i] == 0 || access(path, X_OK) == 0)
			continue;
		fprintf(stderr, "cannot execute %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

/* The directories are those that are in use. */
static bool same_directories(const struct settings *settings, const char *run_dir,
                             const char *data_dir)
{
	if (strcmp(settings->run_dir, run_dir) == 0 && strcmp(settings->data_dir, data_dir) == 0)
		return true;
	fputs("run_dir and data_dir can be changed by stop and start only\n", stderr);
	return false;
}

static bool log_fits(const char *path)
{
	int fd = *path == '\0'
	                 ? -1
	                 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
	if (*path != '\0' && fd < 0)
		fprintf(stderr, "log.file: cannot open %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return *path == '\0' || fd >= 0;
}

static bool files_fit(const struct options *options, const struct settings *settings)
{
	char reason[SETTINGS_REASON_MAX];
	char *rows = tls_files_fit(settings, clock_wall_ms(), reason)
	                     ? tokens_in_effect(options, settings, reason)
	                     : NULL;
	bool fit = rows != NULL;
	if (!fit)
		fprintf(stderr, "%s\n", reason);
	free(rows);
	return fit && log_fits(settings->log_file);
}

/* FORMAT RUN_DIR DATA_DIR and what `run` has: asked by the one that runs (upgrade.h). */
static int check_upgrade(int argc, char **argv)
{
	struct options options;
	struct settings settings;
	char reason[SETTINGS_REASON_MAX];
	if (argc < 3)
		return usage_error("check-upgrade is for 'ringsidectl upgrade --check' to ask");
	long format = strtol(argv[0], NULL, 10);
	if (format > HANDOVER_FORMAT || format < 1) {
		fprintf(stderr, "%s cannot take over from the running one: stop and start\n",
		        ringside_version);
		return EXIT_USAGE;
	}
	if (!options_parse(&options, argc - 3, argv + 3, reason) ||
	    !options_load(&options, &settings, reason)) {
		fprintf(stderr, "%s\n", reason);
		return EXIT_USAGE;
	}
	bool ok = same_directories(&settings, argv[1], argv[2]) && files_fit(&options, &settings) &&
	          workers_are_there(&settings);
	settings_finish(&settings);
	if (ok)
		puts(ringside_version);
	return ok ? EXIT_DONE : EXIT_USAGE;
}

static int version(int argc, char **argv)
{
	(void)argv;
	if (argc > 0)
		return usage_error("version takes no arguments");
	printf("ringside %s\n", ringside_version);
	return EXIT_DONE;
}

static int reference(int argc, char **argv)
{
	(void)argv;
	if (argc > 0)
		return usage_error("reference takes no arguments");
	settings_print_reference(stdout);
	return EXIT_DONE;
}

static int help(int argc, char **argv);

struct command {
	const char *name, *alias, *help;
	int (*run)(int argc, char **argv); /* arguments after the name */
};
static const struct command commands[] = {
        {"run", NULL, "run Ringside in the foreground", run},
        {"check-config", NULL, "check a configuration without starting", check_config},
        {"check-upgrade", NULL, "say whether this program could replace the running one",
         check_upgrade},
        {"reference", NULL, "print the configuration reference (Markdown)", reference},
        {"version", "--version", "print the version", version},
        {"help", "--help", "print this", help},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("usage: ringside COMMAND [ARGUMENT...]\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-14s %s\n", commands[i].name, commands[i].help);
	puts("\n'ringside run --help' lists all settings. ringsidectl controls what runs.");
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	char reason[256];
	process_fill_standard_fds();
	if (handover_waits())
		process_reset_held();
	else
		process_reset();
	if (argc < 2)
		return usage_error("a command is missing");
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0 ||
		    (commands[i].alias != NULL && strcmp(argv[1], commands[i].alias) == 0))
			return commands[i].run(argc - 2, argv + 2);
	snprintf(reason, sizeof reason, "unknown command '%.100s'", argv[1]);
	return usage_error(reason);
}
