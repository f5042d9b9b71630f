#include "supervisor/weak_token.h"

#include <ctype.h>

enum { PLAIN_ROOM = 64, DISTINCT_GOOD = 6, FILLER = 6 };

_Static_assert(TOKEN_LEN_MIN == 8 && TOKEN_LEN_GOOD == 16, "as the texts below say");

/* As they stand in documents and examples; compared without case, separators and digits behind. */
static const char *const placeholders[] = {
        "changeme",    "changemetoo", "changeit",     "changethis",
        "replaceme",   "replacethis", "secret",       "token",
        "password",    "passwd",      "pass",         "test",
        "testing",     "testtoken",   "example",      "sample",
        "demo",        "default",     "admin",        "administrator",
        "root",        "user",        "guest",        "letmein",
        "qwerty",      "foobar",      "dummy",        "todo",
        "fixme",       "none",        "null",         "undefined",
        "placeholder", "mytoken",     "mysecret",     "mypassword",
        "thetoken",    "sometoken",   "anytoken",     "supersecret",
        "topsecret",   "secrettoken", "publish",      "subscribe",
        "publisher",   "subscriber",  "reader",       "writer",
        "bearer",      "bearertoken", "apikey",       "accesstoken",
        "opensesame",  "sesame",      "abcdefgh",     "abcdefghijklmnop",
        "yourtoken",   "yoursecret",  "yourpassword",
};
static const char *const parts[] = {"changeme",    "changethis",  "replaceme",   "replacewith",
                                    "placeholder", "yourtoken",   "yoursecret",  "yourpassword",
                                    "your256bit",  "generateone", "inserttoken", "insertyour",
                                    "tokenhere",   "secrethere",  "passwordhere"};

const char *placeholder_token(size_t index)
{
	return index < sizeof placeholders / sizeof *placeholders ? placeholders[index] : NULL;
}

/* Letters and digits alone, in lower case; what is longer than room is no placeholder that we know.
 */
static size_t make_plain(struct span token, char plain[PLAIN_ROOM])
{
	size_t len = 0;
	for (size_t i = 0; i < token.len && len < PLAIN_ROOM - 1; i++)
		if (isalnum(token.at[i]))
			plain[len++] = (char)tolower(token.at[i]);
	plain[len] = '\0';
	return len;
}

static size_t distinct(struct span token)
{
	bool seen[256] = {false};
	size_t count = 0;
	for (size_t i = 0; i < token.len; i++) {
		count += !seen[token.at[i]];
		seen[token.at[i]] = true;
	}
	return count;
}

/* What somebody was to put something else for: <token>, ${TOKEN}, xxxxxxxx. */
static bool is_blank_form(struct span token)
{
	size_t filler = 0;
	if (token.len >= 2 && (token.at[0] == '<' || token.at[0] == '{' || token.at[0] == '$'))
		return true;
	for (size_t i = 0; i < token.len && filler < FILLER; i++)
		filler = token.at[i] == 'x' || token.at[i] == 'X' ? filler + 1 : 0;
	return filler == FILLER || distinct(token) <= 2;
}

static bool is_placeholder(struct span token)
{
	char plain[PLAIN_ROOM];
	size_t len = make_plain(token, plain);
	if (is_blank_form(token) || memmem(token.at, token.len, "your-", 5) == token.at)
		return true;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strstr(plain, parts[i]) != NULL)
			return true;
	while (len > 0 && isdigit((unsigned char)plain[len - 1]))
		plain[--len] = '\0';
	for (size_t i = 0; placeholder_token(i) != NULL; i++)
		if (strcmp(plain, placeholder_token(i)) == 0)
			return true;
	return len == 0 && token.len < TOKEN_LEN_GOOD; /* 12345678 */
}

const char *weak_token(struct span token)
{
	if (is_placeholder(token))
		return "is a placeholder";
	return token.len < TOKEN_LEN_MIN ? "is shorter than 8 characters" : NULL;
}

const char *doubtful_token(struct span token)
{
	if (token.len < TOKEN_LEN_GOOD)
		return "is shorter than 16 characters";
	return distinct(token) < DISTINCT_GOOD ? "consists of a few characters only" : NULL;
}
