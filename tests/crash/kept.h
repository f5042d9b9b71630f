/* A state that failed, as a file: what the directory held, and the marks up to there. */
#pragma once

#include "tests/crash/judge.h"
#include "tests/crash/trace.h"

/* Writes NAME.tar.xz into `keep`, of the state in `dir`. `about`: a line for people. */
void kept_write(const char *keep, const char *name, const char *dir, const struct mark *marks,
                size_t count, const struct judge_options *options, const char *about);
/* Unpacks it below `tmp`, takes the marks, judges. How many faults. */
unsigned kept_judge(const char *file, const char *tmp);

/* Runs a program and waits; aborts when it fails. The list ends with NULL. */
void kept_command(const char *program, ...);
