#include "supervisor/tell.h"
#include "common/base/check.h"

void tell_settings(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		if (child->pid == 0 || child->peer == NULL)
			continue;
		if (settings_renew_live(&child->settings, fleet->life.settings->newest) &&
		    child->said_hello)
			life_send_settings(child);
	}
}

void tell_listen(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		if (child->said_hello && child->peer != NULL && child_listens(child))
			life_send_listen(child);
	}
}

void tell_log_level(struct fleet *fleet, const char *level)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		char reason[SETTINGS_REASON_MAX];
		if (child->pid == 0 || child->peer == NULL)
			continue;
		check(settings_renew_key(&child->settings, span_str("log.level"), span_str(level),
		                         reason));
		if (child->said_hello)
			peer_put(child->peer, log_level, LOG_LEVEL, {.level = span_str(level)});
	}
}

void tell_log_reopen(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].said_hello && fleet->children[i].peer != NULL)
			peer_put(fleet->children[i].peer, log_reopen, LOG_REOPEN, {.unused = 0});
}
