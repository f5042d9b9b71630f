/* The capture worker: what its parts share. */
#pragma once

#include "common/worker.h"
#include "worker-capture/session.h"

struct capture {
	struct worker *worker;
	struct sessions *sessions;
};
