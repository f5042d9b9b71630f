/* Which programs the hub starts, and where (hub.commands, hub.roots): the settings as they are
 * read, and what a client may say. Pure.
 *
 *     hub.roots     /home/agents, /srv/work
 *     hub.commands  pi=/usr/local/bin/pi --quiet, shell=/opt/agent.sh */
#pragma once

#include "proto/bytes.h"

enum {
	AGENT_DIRECTORY_ROOM = 4097,
	AGENT_FOLDER_MAX = 1024,
	AGENT_COMMAND_MAX = 64, /* bytes of a name */
	AGENT_ARGUMENTS_MAX = 32,
	AGENT_COMMANDS_ROOM = 4097, /* of the whole setting */
};

/* Paths of clients' requests; what their rights are about. */
#define AGENT_SPAWN_RIGHT       "/v1/hub/spawn"
#define AGENT_DIRECTORIES_RIGHT "/v1/hub/directories"

struct agent_place {
	char root[AGENT_DIRECTORY_ROOM]; /* as configured, without a last slash but that of "/" */
	char rest[AGENT_DIRECTORY_ROOM]; /* of the path, below it; "": the root itself */
};

/* The root that `path` begins with, segment by segment, the longest if several do; at NULL: the
 * first one. False: none does, there is none, or it is no absolute path. It may still lead out
 * again, by ".." or a link: that is beneath.h's to see. */
bool agent_place_find(struct span roots, struct span path, struct agent_place *place);

/* Directories to be made: relative, of segments that are neither "." nor ".." nor empty, without
 * control characters, AGENT_FOLDER_MAX bytes at most. */
bool agent_folder_good(struct span folder);

/* A program with its arguments, for execve(). */
struct agent_command {
	char *argv[AGENT_ARGUMENTS_MAX + 1]; /* into `text`; argv[0] is an absolute path */
	char name[AGENT_COMMAND_MAX + 1];
	char text[AGENT_COMMANDS_ROOM];
};

/* The one of this name; "": the first. False: there is none, or its row is none (no name, no
 * absolute path, too many arguments). */
bool agent_command_find(struct span commands, struct span name, struct agent_command *command);
