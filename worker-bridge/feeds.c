#include "worker-bridge/feeds.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/worker/worker.h"

struct feeds {
	struct feed_house house;
	size_t count;
	struct feed *feeds[FEEDS_MAX];
};

struct feed *feeds_find(const struct feeds *feeds, struct span name)
{
	for (size_t i = 0; i < feeds->count; i++)
		if (span_equal(name, span_str(feeds->feeds[i]->place.name)))
			return feeds->feeds[i];
	return NULL;
}

struct feed *feeds_at(const struct feeds *feeds, size_t index)
{
	return index < feeds->count ? feeds->feeds[index] : NULL;
}

void feeds_turn(struct feeds *feeds)
{
	struct store *store = feeds->house.store;
	if (feeds->house.draining || store_position(store) < store_durable(store))
		return;
	for (size_t i = 0; i < feeds->count; i++)
		feed_look(feeds->feeds[i]);
}

void feeds_take_report(struct feeds *feeds, struct span name, struct span report)
{
	struct feed *feed = feeds_find(feeds, name);
	if (feed == NULL)
		return;
	if (renderer_report_read(&feed->picture.report, report, clock_wall_ms()))
		feed_see_picture(feed);
	else
		log_error("capture report unreadable", "feed=%s", feed->place.name);
}

void feeds_forget_reports(struct feeds *feeds)
{
	for (size_t i = 0; i < feeds->count; i++) {
		feeds->feeds[i]->picture.report.present = false;
		feed_see_picture(feeds->feeds[i]);
	}
}

struct feeds *feeds_create(struct worker *worker, struct store *store)
{
	struct feed_name names[FEEDS_MAX];
	int count = feed_names(worker->settings.newest, names);
	if (count < 0)
		return NULL; /* the process ends */
	struct feeds *feeds = xcalloc(1, sizeof *feeds);
	feeds->house = (struct feed_house){.worker = worker,
	                                   .store = store,
	                                   .settings = &worker->settings,
	                                   .counters = worker->mine,
	                                   .scratch = xmalloc(sizeof *feeds->house.scratch)};
	for (; feeds->count < (size_t)count; feeds->count++)
		feeds->feeds[feeds->count] = feed_create(&feeds->house, &names[feeds->count]);
	return feeds;
}

bool feeds_drain(struct feeds *feeds)
{
	bool idle = true;
	feeds->house.draining = true;
	for (size_t i = 0; i < feeds->count; i++)
		idle = feed_stop(feeds->feeds[i]) && idle;
	return idle;
}
