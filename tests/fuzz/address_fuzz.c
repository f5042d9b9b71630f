/* An address and a host against a list: IPv4 in IPv6's dress is judged as what it is, who may go
 * further may go wherever others may, and what is parsed holds no byte that a url or a command line
 * would read otherwise. */
#include "common/base/address.h"
#include "common/base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const uint8_t bytes[16])
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6}, mapped = v6;
	memcpy(&v4.sin_addr, bytes, 4);
	memcpy(&v6.sin6_addr, bytes, 16);
	memset(mapped.sin6_addr.s6_addr + 10, 0xff, 2);
	memcpy(mapped.sin6_addr.s6_addr + 12, bytes, 4);
	check(address_kind((struct sockaddr *)&v4) == address_kind((struct sockaddr *)&mapped));
	for (int reach = REACH_PUBLIC; reach < REACH_ANY; reach++)
		check(!address_allowed((enum address_reach)reach, (struct sockaddr *)&v6) ||
		      address_allowed((enum address_reach)(reach + 1), (struct sockaddr *)&v6));
	check(address_allowed(REACH_ANY, (struct sockaddr *)&v6));
	/* Outside of what is routed, only a dress of an IPv4 address is public. */
	check(address_kind((struct sockaddr *)&v6) != ADDRESS_PUBLIC || (bytes[0] & 0xe0) == 0x20 ||
	      bytes[0] == 0);
}

static void read_text(const char *host_text, const char *list)
{
	const struct address_fence fence = {.open = list};
	struct address_host host;
	struct span bad;
	bool fits = address_list_fits(list, &bad);
	check(fits || bad.len > 0);
	if (!address_parse_url(span_str(host_text), &host) &&
	    !address_parse_host(span_str(host_text), &host))
		return;
	check(*host.name != '\0' && strpbrk(host.name, " ,;\"<>/\\@%?#[]") == NULL);
	check((strchr(host.name, ':') != NULL) == host.ipv6);
	enum address_reach reach = address_reach(&fence, &host);
	check(reach != REACH_ANY || host.literal);
	check(!address_host_is_loopback(&host) || address_host_allowed(REACH_LOOPBACK, &host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 16)
		return 0;
	judge(data);
	char *text = xmemdup_text(data + 16, size - 16), *list = strchr(text, '\n');
	if (list != NULL)
		*list++ = '\0';
	read_text(text, list != NULL ? list : "");
	free(text);
	return 0;
}
