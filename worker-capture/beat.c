#include "worker-capture/beat.h"

#include <stdio.h>
#include <string.h>

static void take_text(char *to, size_t room, const json_t *from)
{
	const char *text = json_string_value(from);
	snprintf(to, room, "%s", text != NULL ? text : "");
	for (char *c = to; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

static void take_health(struct health_signals *s, const json_t *beat, uint64_t wall_ms)
{
	const json_t *health = json_object_get(beat, "health");
	const char *boot = json_string_value(json_object_get(beat, "boot"));
	s->unreadable = json_is_true(json_object_get(beat, "bad"));
	s->reports = json_is_object(health);
	s->ready = json_is_true(
	        json_object_get(s->reports ? health : beat, s->reports ? "ready" : "flag"));
	s->boots = boot != NULL && *boot != '\0';
	s->broken = boot != NULL && strncmp(boot, "error:", 6) == 0;
	s->canvas = json_is_true(json_object_get(beat, "canvas"));
	s->page = (struct health_page){.at_ms = wall_ms};
	take_text(s->page.duel_id, sizeof s->page.duel_id, json_object_get(health, "duel"));
	take_text(s->page.phase, sizeof s->page.phase, json_object_get(health, "phase"));
	take_text(s->reason, sizeof s->reason,
	          s->reports && !s->broken ? json_object_get(health, "reason")
	                                   : json_object_get(beat, "boot"));
}

bool beat_take(const json_t *beat, struct beat_counts *counts, struct health_signals *signals,
               uint64_t now_ms, uint64_t wall_ms)
{
	const json_t *pulses = json_object_get(beat, "pulses"),
	             *draws = json_object_get(beat, "draws");
	if (!json_is_number(pulses) || !json_is_number(draws))
		return false;
	signals->beat_ms = now_ms;
	if (signals->first_beat_ms == 0)
		signals->first_beat_ms = now_ms;
	if (json_number_value(pulses) != counts->pulses)
		signals->pulse_ms = now_ms;
	if (json_number_value(draws) != counts->draws)
		signals->drawn_ms = now_ms;
	*counts = (struct beat_counts){json_number_value(pulses), json_number_value(draws)};
	double lost = json_number_value(json_object_get(beat, "lost")) -
	              json_number_value(json_object_get(beat, "restored"));
	signals->contexts_lost = lost > 0 ? 1 : 0;
	take_health(signals, beat, wall_ms);
	return true;
}
