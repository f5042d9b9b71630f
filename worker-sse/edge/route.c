#include "worker-sse/edge/route.h"

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
