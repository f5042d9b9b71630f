#include "supervisor/options.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <unistd.h>

/* How many arguments "--config FILE" or "--config=FILE" takes at argv[0]; 0: it is none. */
static int config_flag(int argc, char **argv, const char **config)
{
	if (strncmp(argv[0], "--config=", 9) == 0) {
		*config = argv[0] + 9;
		return 1;
	}
	if (strcmp(argv[0], "--config") != 0)
		return 0;
	*config = argc > 1 ? argv[1] : NULL;
	return 2;
}

/* A secret that follows a mistyped name is for no log. */
static void unknown(const char *argument, char reason[SETTINGS_REASON_MAX])
{
	char near[SETTING_NEAR_ROOM] = "";
	size_t len = strcspn(argument, "=");
	if (strncmp(argument, "--", 2) == 0 && len > 2)
		setting_near(span_of(argument + 2, len - 2), near);
	snprintf(reason, SETTINGS_REASON_MAX, "unknown argument '%.*s'%s", (int)len, argument,
	         near);
}

bool options_parse(struct options *options, int argc, char **argv, char reason[SETTINGS_REASON_MAX])
{
	*options =
	        (struct options){.config = getenv("RINGSIDE_CONFIG"), .argc = argc, .argv = argv};
	struct settings scratch;
	bool ok = true;
	settings_init(&scratch);
	for (int i = 0; ok && i < argc && !options->help;) {
		int used = config_flag(argc - i, argv + i, &options->config);
		if (used == 2 && i + 1 >= argc) {
			snprintf(reason, SETTINGS_REASON_MAX, "--config needs a value");
			ok = false;
			break;
		}
		if (used == 0)
			used = settings_load_flag(&scratch, argc - i, argv + i, reason);
		options->help =
		        used == 0 && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0);
		if (used == 0 && !options->help)
			unknown(argv[i], reason);
		ok = used > 0 || options->help;
		i += used;
	}
	if (options->config != NULL && *options->config == '\0')
		options->config = NULL;
	settings_finish(&scratch);
	return ok;
}

void options_hide_secrets(struct options *options)
{
	char **copy = xcalloc((size_t)options->argc + 1, sizeof *copy);
	for (int i = 0; i < options->argc; i++)
		copy[i] = xmemdup_text((const uint8_t *)options->argv[i], strlen(options->argv[i]));
	for (int i = 0; i < options->argc; i++) {
		char *secret = settings_flag_secret(options->argc - i, options->argv + i);
		if (secret != NULL)
			memset(secret, '*', strlen(secret));
	}
	options->argv = copy;
}

static bool load_flags(const struct options *options, struct settings *settings,
                       char reason[SETTINGS_REASON_MAX])
{
	const char *ignored;
	for (int i = 0; i < options->argc;) {
		int used = config_flag(options->argc - i, options->argv + i, &ignored);
		if (used == 0)
			used = settings_load_flag(settings, options->argc - i, options->argv + i,
			                          reason);
		if (used <= 0)
			return false;
		i += used;
	}
	return true;
}

bool options_load(const struct options *options, struct settings *settings,
                  char reason[SETTINGS_REASON_MAX])
{
	settings_init(settings);
	bool ok = (options->config == NULL ||
	           settings_load_file(settings, options->config, reason)) &&
	          settings_load_environment(settings, environ, reason) &&
	          load_flags(options, settings, reason) &&
	          settings_load_aliases(settings, environ, reason) &&
	          settings_load_found(settings, getenv("CREDENTIALS_DIRECTORY"), reason) &&
	          settings_validate(settings, reason);
	if (!ok)
		settings_finish(settings);
	return ok;
}

/* What is said of TLS where nobody speaks it. */
static void look_at_https(const struct settings *s, void (*say)(void *arg, const char *text),
                          void *arg)
{
	const char *rest = s->listen;
	struct settings_listen one;
	bool tls = strncmp(s->http_public_url, "https://", 8) == 0;
	while (settings_next_listen(&rest, &one) == SETTINGS_LISTEN_ONE)
		tls = tls || one.tls;
	if (s->http_redirect_port != 0 && !tls)
		say(arg, "http.redirect_port: sends everybody to https://, where nobody listens "
		         "(listen: https://HOST:PORT, or http.public_url)");
	if (s->tls_hsts_max_age_ms != 0 && !tls)
		say(arg, "tls.hsts_max_age: is said over TLS only, and no address of listen "
		         "begins with https://");
}

void options_doubts(const struct options *options, const struct settings *settings,
                    void (*say)(void *arg, const char *text), void *arg)
{
	settings_doubts(settings, options->config, getenv("CREDENTIALS_DIRECTORY"), say, arg);
	look_at_https(settings, say, arg);
}
