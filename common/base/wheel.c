#include "common/base/wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
	*wheel = (struct wheel){.tick = now_ms / WHEEL_TICK_MS, .now_ms = now_ms};
}

void wheel_cancel(struct wheel_node *node)
{
	if (node->previous == NULL)
		return;
	*node->previous = node->next;
	if (node->next != NULL)
		node->next->previous = node->previous;
	node->previous = NULL;
	node->next = NULL;
}

void wheel_set(struct wheel *wheel, struct wheel_node *node, uint64_t due_ms)
{
	wheel_cancel(node);
	node->due_ms = due_ms;
	uint64_t tick = due_ms / WHEEL_TICK_MS + 1;
	if (tick <= wheel->tick)
		tick = wheel->tick + 1;
	if (tick >= wheel->tick + WHEEL_SLOTS)
		tick = wheel->tick + WHEEL_SLOTS - 1; /* goes round again from there */
	struct wheel_node **slot = &wheel->slots[tick % WHEEL_SLOTS];
	node->next = *slot;
	node->previous = slot;
	if (node->next != NULL)
		node->next->previous = &node->next;
	*slot = node;
}

void wheel_run(struct wheel *wheel, uint64_t now_ms)
{
	uint64_t now = now_ms / WHEEL_TICK_MS;
	wheel->now_ms = now_ms;
	while (wheel->tick < now) {
		wheel->tick++;
		struct wheel_node *list = wheel->slots[wheel->tick % WHEEL_SLOTS];
		wheel->slots[wheel->tick % WHEEL_SLOTS] = NULL;
		if (list != NULL)
			list->previous = &list;
		while (list != NULL) {
			struct wheel_node *node = list;
			wheel_cancel(node);
			if (node->due_ms > now_ms)
				wheel_set(wheel, node, node->due_ms);
			else
				node->due(node);
		}
	}
}
