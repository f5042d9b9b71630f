/* Kept states (kept.h): tar and xz do the work. */
#include "tests/crash/kept.h"
#include "tests/crash/owed.h"
#include "common/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_ROOM = 600, ARGUMENTS_MAX = 16 };

void kept_command(const char *program, ...)
{
	const char *arguments[ARGUMENTS_MAX] = {program};
	va_list args;
	int n = 1, status;
	va_start(args, program);
	while ((arguments[n] = va_arg(args, const char *)) != NULL)
		check(++n < ARGUMENTS_MAX);
	va_end(args);
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		execvp(program, (char **)(uintptr_t)arguments);
		_exit(127);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

static FILE *open_in(const char *dir, const char *name, const char *mode)
{
	char path[2 * PATH_ROOM];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *file = fopen(path, mode);
	check(file != NULL);
	return file;
}

void kept_write(const char *keep, const char *name, const char *dir, const struct mark *marks,
                size_t count, const struct judge_options *options, const char *about)
{
	char path[PATH_ROOM];
	mkdir(keep, 0700);
	FILE *file = open_in(dir, "marks", "w");
	check(fwrite(options, sizeof *options, 1, file) == 1);
	check(fwrite(&owed.served, sizeof owed.served, 1, file) == 1);
	check(fwrite(marks, sizeof *marks, count, file) == count);
	fclose(file);
	file = open_in(dir, "about", "w");
	fprintf(file, "%s\n", about);
	fclose(file);
	snprintf(path, sizeof path, "%s/%s.tar.xz", keep, name);
	kept_command("tar", "-cJf", path, "-C", dir, ".", NULL);
	printf("    kept: %s\n", path);
}

unsigned kept_judge(const char *file, const char *tmp)
{
	char dir[PATH_ROOM];
	struct judge_options options;
	struct mark mark;
	bool served;
	snprintf(dir, sizeof dir, "%s/crash-kept-%d", tmp, getpid());
	check(mkdir(dir, 0700) == 0);
	kept_command("tar", "-xJf", file, "-C", dir, NULL);
	FILE *marks = open_in(dir, "marks", "r");
	check(fread(&options, sizeof options, 1, marks) == 1);
	check(fread(&served, sizeof served, 1, marks) == 1);
	owed_clear();
	while (fread(&mark, sizeof mark, 1, marks) == 1)
		owed_take(&mark);
	owed.served = served;
	fclose(marks);
	kept_command("sh", "-c", "cat \"$0/about\"; rm \"$0/about\" \"$0/marks\"", dir, NULL);
	unsigned faults = judge(dir, &options);
	kept_command("rm", "-r", dir, NULL);
	return faults;
}
