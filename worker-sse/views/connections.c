#include "worker-sse/views/connections.h"
#include "common/base/check.h"
#include "worker-sse/views/connection_parts.h"

/* Within a change of the view: nothing is read. */
static void on_row(void *context, struct span key, bool there)
{
	(void)there;
	connection_streams_note(((struct sse_worker *)context)->connections, key);
}

void connections_start(struct sse_worker *w)
{
	struct connections *all = xcalloc(1, sizeof *all);
	all->worker = w;
	w->connections = all;
	all->apply.run = connection_streams_apply;
	all->observer.row = on_row;
	counter_set(w->counters, chat_streams, 0);
	fanout_observe(w->fanout, &all->observer);
	connections_sweep_start(all);
}
