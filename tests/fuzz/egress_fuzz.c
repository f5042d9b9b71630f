/* A url and a list of hosts: what is allowed is on the list, and flags hold no byte that ends one.
 */
#include "common/base/check.h"
#include "worker-capture/egress.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct egress egress;
	struct address_host url;
	char reason[EGRESS_REASON_MAX];
	char *text = xmemdup_text(data, size), *list = strchr(text, '\n');
	if (list != NULL)
		*list++ = '\0';
	struct span first = span_str(text);
	bool parsed = address_parse_url(first, &url);
	check(!parsed || (url.port != 0 && *url.name != '\0'));
	check(!parsed || strpbrk(url.name, " ,;\"<>/\\@%") == NULL);
	if (egress_init(&egress, text, list != NULL ? list : "", "", "", reason)) {
		check(parsed && egress_allows(&egress, first));
		char *rules = egress_resolver_rules(&egress), *bypass = egress_bypass_list(&egress);
		check(strstr(rules, "MAP * ~NOTFOUND") != NULL &&
		      strncmp(bypass, "<-loopback>", 11) == 0);
		free(rules);
		free(bypass);
	}
	free(text);
	return 0;
}
