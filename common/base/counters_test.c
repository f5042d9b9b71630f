#include "common/base/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct counters *fresh(void)
{
	int fd = counters_create();
	assert_true(fd >= 0);
	struct counters *counters = counters_map(fd);
	assert_non_null(counters);
	close(fd);
	return counters;
}

static void put(struct counters *counters, size_t index, unsigned role, unsigned slot,
                enum worker_state state)
{
	counters->slots[index].role = role;
	counters->slots[index].slot = slot;
	atomic_store(&counters->slots[index].state, (uint32_t)state);
}

static void test_shared_and_outliving(void **state)
{
	(void)state;
	int fd = counters_create();
	struct counters *counters = counters_map(fd);
	assert_non_null(counters);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct counters_slot *slot = &counters_map(fd)->slots[1];
		counter_add(slot, requests_total, 3);
		counter_add(slot, connections, 2);
		counter_add(slot, connections, -1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(counter_get(&counters->slots[1], requests_total), 3);
	assert_int_equal(counter_get(&counters->slots[1], connections), 1);
	assert_int_equal(counter_get(&counters->slots[0], requests_total), 0);
	close(fd);
	munmap(counters, sizeof *counters);
}

static void test_of_another_build(void **state)
{
	(void)state;
	int fd = counters_create();
	uint64_t other = 42;
	assert_int_equal(pwrite(fd, &other, sizeof other, 0), sizeof other);
	assert_null(counters_map(fd));
	assert_int_equal(ftruncate(fd, 64), 0);
	assert_null(counters_map(fd));
	close(fd);
	assert_null(counters_map(-1));
}

static void test_readiness(void **state)
{
	(void)state;
	static const struct {
		bool booted;
		enum worker_state first, second, bridge;
		bool ready;
	} rows[] = {
	        {false, WORKER_ABSENT, WORKER_ABSENT, WORKER_ABSENT, false},
	        {false, WORKER_READY, WORKER_STARTING, WORKER_READY, false},
	        {false, WORKER_READY, WORKER_READY, WORKER_STARTING, false},
	        {false, WORKER_READY, WORKER_READY, WORKER_READY, true},
	        {false, WORKER_READY, WORKER_ABSENT, WORKER_ABSENT, true},
	        {true, WORKER_READY, WORKER_STARTING, WORKER_READY, true},
	        {true, WORKER_READY, WORKER_DRAINING, WORKER_READY, true},
	        {true, WORKER_STARTING, WORKER_STARTING, WORKER_READY, false},
	        {true, WORKER_DRAINING, WORKER_DRAINING, WORKER_DRAINING, false},
	        {true, WORKER_READY, WORKER_FAILED, WORKER_READY, false},
	        {true, WORKER_READY, WORKER_READY, WORKER_FAILED, false},
	};
	struct counters *counters = fresh();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		atomic_store(&counters->booted, rows[i].booted);
		put(counters, 0, ROLE_SSE, 0, rows[i].first);
		put(counters, 1, ROLE_SSE, 1, rows[i].second);
		put(counters, 7, ROLE_BRIDGE, 0, rows[i].bridge);
		if (counters_ready(counters) != rows[i].ready)
			fail_msg("row %zu", i);
	}
	munmap(counters, sizeof *counters);
}

static void print(const struct counters *counters, char **text)
{
	size_t len;
	FILE *out = open_memstream(text, &len);
	assert_non_null(out);
	counters_print(counters, out);
	assert_int_equal(fclose(out), 0);
}

static void test_prometheus_text(void **state)
{
	(void)state;
	struct counters *counters = fresh();
	put(counters, 0, ROLE_SSE, 0, WORKER_READY);
	put(counters, 3, ROLE_BRIDGE, 0, WORKER_FAILED);
	atomic_store(&counters->slots[0].pid, (uint32_t)getpid());
	atomic_store(&counters->slots[0].restarts, 4);
	atomic_store(&counters->started_ms, 1700000000250);
	counter_add(&counters->slots[0], appends_total, 12);
	histogram_add(&counters->slots[0].commit, 50000);
	histogram_add(&counters->slots[0].commit, 50001);
	histogram_add(&counters->slots[0].commit, 9000000000);
	char *text = NULL;
	print(counters, &text);
	static const char *const lines[] = {
	        "# TYPE ringside_appends_total counter\n",
	        "ringside_appends_total{worker=\"sse-0\"} 12\n",
	        "ringside_appends_total{worker=\"bridge-0\"} 0\n",
	        "# TYPE ringside_connections gauge\n",
	        "ringside_worker_up{worker=\"sse-0\"} 1\n",
	        "ringside_worker_up{worker=\"bridge-0\"} 0\n",
	        "ringside_worker_restarts_total{worker=\"sse-0\"} 4\n",
	        "ringside_start_time_seconds 1700000000.25\n",
	        "ringside_ready 0\n",
	        "# TYPE ringside_commit_seconds histogram\n",
	        "ringside_commit_seconds_bucket{worker=\"sse-0\",le=\"0.00005\"} 1\n",
	        "ringside_commit_seconds_bucket{worker=\"sse-0\",le=\"0.0001\"} 2\n",
	        "ringside_commit_seconds_bucket{worker=\"sse-0\",le=\"6.5536\"} 2\n",
	        "ringside_commit_seconds_bucket{worker=\"sse-0\",le=\"+Inf\"} 3\n",
	        "ringside_commit_seconds_sum{worker=\"sse-0\"} 9.000100001\n",
	        "ringside_commit_seconds_count{worker=\"sse-0\"} 3\n",
	        "ringside_append_seconds_count{worker=\"bridge-0\"} 0\n",
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("missing: %s", lines[i]);
	const char *resident = strstr(text, "ringside_worker_resident_bytes{worker=\"sse-0\"} ");
	assert_non_null(resident);
	assert_true(strtod(strchr(resident, '}') + 1, NULL) > 100000);
	assert_null(strstr(text, "ringside_worker_resident_bytes{worker=\"bridge-0\"}"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
	munmap(counters, sizeof *counters);
}

/* Each line is a comment or NAME[{LABELS}] VALUE; each name has one TYPE before its samples. */
static void test_prometheus_grammar(void **state)
{
	(void)state;
	struct counters *counters = fresh();
	put(counters, 0, ROLE_SSE, 0, WORKER_READY);
	char *text = NULL, type[128] = "";
	print(counters, &text);
	char *rest = text;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char name[128];
		if (sscanf(line, "# TYPE %127s", name) == 1) {
			assert_true(strcmp(name, type) != 0);
			memcpy(type, name, sizeof type);
		} else if (line[0] != '#') {
			size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
			size_t known = strlen(type);
			assert_true(len >= known);
			assert_memory_equal(line, type, known);
			if (len > known)
				assert_true(strncmp(line + known, "_bucket{", 8) == 0 ||
				            strncmp(line + known, "_sum{", 5) == 0 ||
				            strncmp(line + known, "_count{", 7) == 0);
			char *value = strrchr(line, ' ') + 1, *end;
			strtod(value, &end);
			assert_true(end > value && *end == '\0');
		}
	}
	free(text);
	munmap(counters, sizeof *counters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_shared_and_outliving),
	        cmocka_unit_test(test_of_another_build),
	        cmocka_unit_test(test_readiness),
	        cmocka_unit_test(test_prometheus_text),
	        cmocka_unit_test(test_prometheus_grammar),
	};
	return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
