#include "common/base/map_guard.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *innermost;

/* Both come from the very instruction that reads: this thread's, now. */
static void on_bad_read(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	map_guard_leave();
	signal(number, SIG_DFL); /* the instruction is done again, and ends the process */
}

void map_guard_install(void)
{
	/* Not blocked while it is handled: the handler is left by a jump. */
	struct sigaction action = {.sa_sigaction = on_bad_read,
	                           .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigemptyset(&action.sa_mask);
	check(sigaction(SIGBUS, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
}

bool map_guard(void (*work)(void *arg), void *arg)
{
	sigjmp_buf here, *outer = innermost;
	if (sigsetjmp(here, 0) != 0) {
		innermost = outer;
		return false;
	}
	innermost = &here;
	work(arg);
	innermost = outer;
	return true;
}

void map_guard_leave(void)
{
	if (innermost != NULL)
		siglongjmp(*innermost, 1);
}
