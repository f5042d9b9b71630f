#include "supervisor/inbox.h"

enum proto_verdict inbox_dispatch(struct child *ctx, const struct party *from, unsigned type,
                                  struct span body)
{
	switch (type) {
		PROTO_INBOX_SUPERVISOR(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}
