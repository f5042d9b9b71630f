/* What one client may do within a time, or have at once: every such limit, declared once. Counted
 * by all workers together (common/base/quota.h); refusals are ringside_limited_total{limit=...}.
 *
 *   L(NAME, label, setting, window_ms, by, said)
 *     label    of the metric
 *     setting  its member of struct settings; 0: no limit
 *     window_ms  within which so many are allowed; 0: at once
 *     by       ADDRESS, or SUBJECT: who asks, by address where that is nobody in particular
 *     said     with 429 */
#pragma once

#define LIMITS(L)                                                                                  \
	L(LOGINS, logins, limits_logins, 60000, ADDRESS,                                           \
	  "too many logins from this address (limits.logins)")                                     \
	L(BAD_CREDENTIALS, bad_credentials, limits_bad_credentials, 60000, ADDRESS,                \
	  "too many bad credentials from this address (limits.bad_credentials)")                   \
	L(TICKETS, tickets, limits_tickets, 60000, SUBJECT, "too many tickets (limits.tickets)")   \
	L(ACCOUNTS, accounts, limits_accounts, 60000, SUBJECT,                                     \
	  "too many accounts are opened (limits.accounts)")                                        \
	L(APPENDS, appends, limits_appends, 1000, SUBJECT, "too many appends (limits.appends)")    \
	L(CONNECTIONS, new_connections, limits_new_connections, 1000, ADDRESS,                     \
	  "too many new connections from this address (limits.new_connections)")                   \
	L(READERS, anonymous_readers, limits_anonymous_readers, 0, ADDRESS,                        \
	  "too many readers without a token from this address (limits.anonymous_readers)")
