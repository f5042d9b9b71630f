#include "worker-capture/ice_servers.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

static bool bad(char reason[160], const char *why)
{
	snprintf(reason, 160, "%s", why);
	return false;
}

/* Quoted and printed into URLs and headers as they are. */
static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] >= 0x7f || strchr("\"\\<>", text.at[i]) != NULL)
			return false;
	return text.len > 0;
}

/* Up to the separator, which is passed over; all of it when there is none. */
static struct span take_until(struct span *rest, char separator)
{
	const uint8_t *at = rest->len != 0 ? memchr(rest->at, separator, rest->len) : NULL;
	struct span part = span_of(rest->at, at != NULL ? (size_t)(at - rest->at) : rest->len);
	size_t used = part.len + (at != NULL);
	*rest = span_of(rest->at + used, rest->len - used);
	return part;
}

/* Of "HOST", "HOST:PORT", "[IPV6]" and "[IPV6]:PORT"; of length 0: it is none of them. */
static struct span host_of(struct span authority)
{
	bool brackets = authority.len > 0 && authority.at[0] == '[';
	const uint8_t *end = authority.len == 0
	                             ? NULL
	                             : memchr(authority.at, brackets ? ']' : ':', authority.len);
	if (brackets && end == NULL)
		return span_of(authority.at, 0);
	size_t len = end == NULL ? authority.len : (size_t)(end - authority.at) + brackets;
	struct span port = span_of(authority.at + len, authority.len - len);
	bool fits = port.len == 0 || (port.len >= 2 && port.len <= 6 && port.at[0] == ':');
	for (size_t i = 1; i < port.len; i++)
		fits &= port.at[i] >= '0' && port.at[i] <= '9';
	return span_of(authority.at, fits ? len : 0);
}

static bool add_one(struct ice_servers *servers, FILE *hosts, struct span item, char reason[160])
{
	struct span rest = item, url = take_until(&rest, '|'), user = take_until(&rest, '|'),
	            password = rest;
	struct span query = url, authority = take_until(&query, '?'),
	            scheme = take_until(&authority, ':');
	bool turn = span_equal(scheme, SPAN("turn")), stun = span_equal(scheme, SPAN("stun"));
	struct span host = host_of(authority);
	if ((!turn && !stun) || host.len == 0 || !is_plain(url))
		return bad(reason,
		           "a server is stun:HOST[:PORT] or turn:HOST[:PORT]|USER|PASSWORD");
	if (query.len > 0 && (stun || !span_equal(query, SPAN("transport=udp"))))
		return bad(reason, "servers are reached by UDP alone: ?transport=udp or nothing");
	if (turn ? !is_plain(user) || !is_plain(password) : user.len > 0)
		return bad(reason, "turn: needs |USER|PASSWORD, stun: has none");
	if (json_array_size(servers->list) == ICE_SERVERS_MAX)
		return bad(reason, "at most 8 servers");
	json_t *one = json_pack("{s:s%}", "urls", url.at, url.len);
	check(one != NULL);
	if (turn) {
		json_object_set_new(one, "username", json_stringn((const char *)user.at, user.len));
		json_object_set_new(one, "credential",
		                    json_stringn((const char *)password.at, password.len));
	}
	json_array_append_new(servers->list, one);
	fprintf(hosts, "%.*s,", (int)host.len, host.at);
	return true;
}

bool ice_servers_read(struct ice_servers *servers, const char *text, char reason[160])
{
	size_t size;
	bool good = true;
	*servers = (struct ice_servers){.list = json_array()};
	FILE *hosts = open_memstream(&servers->hosts, &size);
	check(servers->list != NULL && hosts != NULL);
	while (good && *(text += strspn(text, ", ")) != '\0') {
		size_t len = strcspn(text, ", ");
		good = add_one(servers, hosts, span_of(text, len), reason);
		text += len;
	}
	check(fclose(hosts) == 0);
	if (!good) {
		json_array_clear(servers->list);
		*servers->hosts = '\0';
	}
	return good;
}

void ice_servers_finish(struct ice_servers *servers)
{
	json_decref(servers->list);
	free(servers->hosts);
	*servers = (struct ice_servers){0};
}

void ice_servers_link(const struct ice_servers *servers, char out[ICE_LINK_ROOM])
{
	size_t i, len = 0;
	const json_t *one;
	*out = '\0';
	json_array_foreach (servers->list, i, one) {
		const char *user = json_string_value(json_object_get(one, "username"));
		len += (size_t)snprintf(out + len, ICE_LINK_ROOM - len,
		                        "%s<%s>; rel=\"ice-server\"", i > 0 ? ", " : "",
		                        json_string_value(json_object_get(one, "urls")));
		if (user != NULL)
			len += (size_t)snprintf(
			        out + len, ICE_LINK_ROOM - len,
			        "; username=\"%s\"; credential=\"%s\"; "
			        "credential-type=\"password\"",
			        user, json_string_value(json_object_get(one, "credential")));
		check(len < ICE_LINK_ROOM); /* the setting has at most 1024 bytes */
	}
}
