#include "common/domain/agent_start.h"

#include <string.h>

static struct span trim(struct span text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
		text = span_of(text.at + 1, text.len - 1);
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* The next piece up to a comma, without blanks around it. False: there is none. */
static bool next_piece(struct span *list, struct span *piece)
{
	if (list->at == NULL)
		return false;
	const uint8_t *comma = memchr(list->at, ',', list->len);
	size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;
	*piece = trim(span_of(list->at, len));
	*list = comma != NULL ? span_of(comma + 1, list->len - len - 1) : (struct span){0};
	return true;
}

static void copy(char *out, struct span text)
{
	memcpy(out, text.at, text.len);
	out[text.len] = '\0';
}

/* ---- places ---- */

static bool begins(struct span path, struct span root)
{
	if (root.len == 1)
		return true; /* "/" */
	return path.len >= root.len && memcmp(path.at, root.at, root.len) == 0 &&
	       (path.len == root.len || path.at[root.len] == '/');
}

bool agent_place_find(struct span roots, struct span path, struct agent_place *place)
{
	struct span root, best = {0};
	if (path.at != NULL &&
	    (path.len == 0 || path.at[0] != '/' || path.len >= AGENT_DIRECTORY_ROOM ||
	     memchr(path.at, 0, path.len) != NULL))
		return false;
	while (next_piece(&roots, &root)) {
		while (root.len > 1 && root.at[root.len - 1] == '/')
			root.len--;
		if (root.len == 0 || root.at[0] != '/' || root.len >= AGENT_DIRECTORY_ROOM)
			continue;
		if (path.at == NULL ? best.at == NULL : begins(path, root) && root.len > best.len)
			best = root;
	}
	if (best.at == NULL)
		return false;
	copy(place->root, best);
	struct span rest =
	        path.at != NULL ? span_of(path.at + best.len, path.len - best.len) : span_of("", 0);
	while (rest.len > 0 && rest.at[0] == '/')
		rest = span_of(rest.at + 1, rest.len - 1);
	copy(place->rest, rest);
	return true;
}

static bool segment_good(struct span segment)
{
	for (size_t i = 0; i < segment.len; i++)
		if (segment.at[i] < 0x20 || segment.at[i] == 0x7f)
			return false;
	return segment.len > 0 && segment.len <= 255 && !span_equal(segment, SPAN(".")) &&
	       !span_equal(segment, SPAN(".."));
}

bool agent_folder_good(struct span folder)
{
	if (folder.len > AGENT_FOLDER_MAX)
		return false;
	for (;;) {
		const uint8_t *slash = folder.len > 0 ? memchr(folder.at, '/', folder.len) : NULL;
		size_t len = slash != NULL ? (size_t)(slash - folder.at) : folder.len;
		if (!segment_good(span_of(folder.at, len)))
			return false;
		if (slash == NULL)
			return true;
		folder = span_of(slash + 1, folder.len - len - 1);
	}
}

/* ---- commands ---- */

/* Parted by blanks. False: there is nothing, or too much. */
static bool split(struct agent_command *command)
{
	char *at = command->text;
	size_t count = 0;
	for (;;) {
		at += strspn(at, " \t");
		if (*at == '\0')
			break;
		if (count == AGENT_ARGUMENTS_MAX)
			return false;
		command->argv[count++] = at;
		at += strcspn(at, " \t");
		if (*at != '\0')
			*at++ = '\0';
	}
	command->argv[count] = NULL;
	return count > 0 && command->argv[0][0] == '/';
}

bool agent_command_find(struct span commands, struct span name, struct agent_command *command)
{
	struct span row;
	while (next_piece(&commands, &row)) {
		const uint8_t *equals = row.len > 0 ? memchr(row.at, '=', row.len) : NULL;
		if (equals == NULL)
			continue;
		struct span its = trim(span_of(row.at, (size_t)(equals - row.at)));
		if (name.len > 0 && !span_equal(its, name))
			continue;
		struct span text = span_of(equals + 1, row.len - (size_t)(equals - row.at) - 1);
		if (its.len == 0 || its.len > AGENT_COMMAND_MAX || text.len >= AGENT_COMMANDS_ROOM)
			return false;
		copy(command->name, its);
		copy(command->text, text);
		return split(command);
	}
	return false;
}
