/* A post of a game from hostile bytes, "KIND\nBODY": what is accepted is applied to a duel in each
 * phase, and the duel's record then reads back to the same. */
#include "worker-bridge/duel_record.h"
#include "worker-bridge/fact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct duel_cycle in_phase(enum duel_phase phase)
{
	struct duel_cycle c = {.times = {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000},
	                       .duel.winner = -1};
	static const uint8_t random[16];
	char reason[160];
	struct duel_fact fact = {.kind = DUEL_FACT_CYCLE,
	                         .pair.agents = {{.id = "a", .name = "A", .hp = 1, .hp_max = 2},
	                                         {.id = "b", .name = "B", .hp = 1, .hp_max = 2}}};
	memcpy(fact.pair.cycle_id, "31b10fcd-5d3c-4455-8303-21a5b65a785b", 37);
	if (phase != DUEL_IDLE)
		duel_apply(&c, &fact, 1, random, reason);
	fact.kind = DUEL_FACT_PHASE;
	if (c.duel.present)
		duel_id(&c.duel, fact.duel_id);
	for (unsigned p = DUEL_COUNTDOWN; p <= phase && p <= DUEL_FIGHTING; p++) {
		fact.phase = p;
		duel_apply(&c, &fact, 2, random, reason);
	}
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t random[16];
	const uint8_t *cut = size > 0 ? memchr(data, '\n', size) : NULL;
	struct fact_post post;
	char reason[160];
	if (cut == NULL)
		return 0;
	json_t *body = json_loadb((const char *)cut + 1, size - (size_t)(cut - data) - 1,
	                          JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	if (body == NULL)
		return 0;
	if (fact_read(&post, span_of(data, (size_t)(cut - data)), body, reason) == FACT_OK) {
		for (unsigned phase = 0; phase < DUEL_PHASE_COUNT; phase++) {
			struct duel_cycle c = in_phase(phase), back = c;
			for (size_t i = 0; i < post.count; i++)
				duel_apply(&c, &post.facts[i], 3, random, reason);
			json_t *record = duel_record(&c);
			if (!duel_record_read(&back, record) ||
			    memcmp(&back.duel, &c.duel, sizeof c.duel) != 0)
				abort();
			json_decref(record);
		}
	}
	fact_post_finish(&post);
	json_decref(body);
	return 0;
}
