#include "worker-sse/edge/turn.h"
#include "common/base/clock.h"

/* Of each line in a turn. Requests: a thousand appends, or some dozen slices of large answers;
 * answers: live readers wait that much longer. */
static const uint64_t line_ns[TURN_LINES] = {[TURN_REQUESTS] = 10000000, [TURN_ANSWERS] = 1000000};

void turn_note(struct turn *turn, uint64_t now_ns)
{
	if (turn->due_ns == 0)
		turn->due_ns = now_ns + line_ns[TURN_REQUESTS];
	else if (now_ns >= turn->due_ns)
		turn->over = true;
}

void turn_begin(struct turn *turn)
{
	turn->due_ns = 0;
	turn->over = turn->lines[TURN_REQUESTS].first != NULL;
}

/* ---- the lines ---- */

static void on_more(uv_idle_t *idle);

void turn_wait(struct turn *turn, struct turn_task *task, enum turn_line line)
{
	if (task->lined)
		return;
	task->lined = true;
	task->next = NULL;
	*turn->lines[line].last = task;
	turn->lines[line].last = &task->next;
	if (!uv_is_active((const uv_handle_t *)&turn->more))
		uv_idle_start(&turn->more, on_more);
}

static struct turn_task *take_first(struct turn *turn, enum turn_line line)
{
	struct turn_task *task = turn->lines[line].first;
	turn->lines[line].first = task->next;
	if (task->next == NULL)
		turn->lines[line].last = &turn->lines[line].first;
	task->lined = false;
	return task;
}

static void serve(struct turn *turn, enum turn_line line)
{
	turn->due_ns = clock_monotonic_ns() + line_ns[line];
	turn->over = false;
	while (turn->lines[line].first != NULL && !turn->over) {
		struct turn_task *task = take_first(turn, line);
		task->proceed(task);
		turn_note(turn, clock_monotonic_ns());
	}
}

static void on_more(uv_idle_t *idle)
{
	struct turn *turn = idle->data;
	turn->wheel->now_ms = clock_monotonic_ms();
	serve(turn, TURN_REQUESTS);
	serve(turn, TURN_ANSWERS);
	if (turn->lines[TURN_REQUESTS].first == NULL && turn->lines[TURN_ANSWERS].first == NULL)
		uv_idle_stop(&turn->more);
}

void turn_init(struct turn *turn, uv_loop_t *loop, struct wheel *wheel)
{
	*turn = (struct turn){.wheel = wheel};
	for (int i = 0; i < TURN_LINES; i++)
		turn->lines[i].last = &turn->lines[i].first;
	uv_idle_init(loop, &turn->more);
	turn->more.data = turn;
}
