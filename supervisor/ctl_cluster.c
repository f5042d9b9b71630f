/* ringsidectl cluster: a node that follows another. */
#include "common/store/ring.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <errno.h>
#include <unistd.h>

static int show_status(const struct ctl *ctl, bool as_json)
{
	static const char *const question[] = {"cluster", "status"};
	json_t *answer;
	char size[32], time[32];
	int code = ctl_ask(ctl, 2, question, &answer);
	if (code != 0)
		return code;
	if (as_json)
		return ctl_print_json(answer);
	const char *follows = ctl_text_of(answer, "follows");
	if (*follows == '\0') {
		puts("follows     nobody");
	} else {
		printf("follows     %s\n", follows);
		printf("state       %s%s\n", ctl_text_of(answer, "state"),
		       json_is_true(json_object_get(answer, "ready")) ? "" : ", not ready");
		printf("lag         %s, %s\n",
		       ctl_size((uint64_t)ctl_number_of(answer, "lag_bytes"), size),
		       ctl_duration((uint64_t)ctl_number_of(answer, "lag_ms"), time));
	}
	printf("followers   %lld\n", ctl_number_of(answer, "followers"));
	json_decref(answer);
	return EXIT_DONE;
}

/* Whoever has it open believes that it is a copy until he ends. */
static int leave(const struct ctl *ctl)
{
	char path[4200], reason[256];
	struct ring ring;
	if (ctl->data_dir == NULL)
		return ctl_usage(ctl, "leave needs --data-dir DIR, of a node that does not run");
	if (!store_is_replica(ctl->data_dir))
		return ctl_fail("%s is no copy of another node's store", ctl->data_dir);
	if (ring_find(&ring, ctl->data_dir, reason) != 0)
		return ctl_fail("%s", reason);
	bool alone = ring.alone;
	ring_close(&ring);
	if (!alone)
		return ctl_fail("%s is in use: stop ringside first", ctl->data_dir);
	snprintf(path, sizeof path, "%s/" STORE_REPLICA_NAME, ctl->data_dir);
	if (unlink(path) != 0 || ring_sync_directory(ctl->data_dir) != 0)
		return ctl_fail("%s: %s", path, strerror(errno));
	puts("it is a store of its own; start ringside without cluster.follow");
	return EXIT_DONE;
}

int ctl_cluster(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	if (argc == 1 && strcmp(argv[0], "status") == 0)
		return show_status(ctl, as_json);
	if (argc == 1 && strcmp(argv[0], "leave") == 0)
		return leave(ctl);
	return ctl_usage(ctl, "status or leave is expected");
}
