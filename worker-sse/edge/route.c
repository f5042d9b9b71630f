#include "worker-sse/edge/route.h"

unsigned route_verbs(const struct route *route, enum method method)
{
	const struct route_rights *rights = &route->rights;
	switch (method) {
	case METHOD_GET:
	case METHOD_HEAD:
		return rights->get;
	case METHOD_POST:
		return rights->post;
	case METHOD_PUT:
		return rights->put;
	case METHOD_PATCH:
		return rights->patch;
	case METHOD_DELETE:
		return rights->delete;
	case METHOD_OPTIONS:
	case METHOD_OTHER:
		break;
	}
	return 0;
}

void route_allow(const struct route *route, char out[ROUTE_ALLOW_ROOM])
{
	static const struct {
		enum method method;
		const char *name;
	} rows[] = {{METHOD_GET, "GET, "}, {METHOD_HEAD, "HEAD, "},   {METHOD_POST, "POST, "},
	            {METHOD_PUT, "PUT, "}, {METHOD_PATCH, "PATCH, "}, {METHOD_DELETE, "DELETE, "}};
	*out = '\0';
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if ((route->methods & 1u << rows[i].method) != 0)
			strcat(out, rows[i].name);
	strcat(out, "OPTIONS");
}
