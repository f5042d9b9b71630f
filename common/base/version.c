#include "common/base/version.h"

/* In one place of a program, not wherever it is spoken of. */
const char ringside_version[] = RINGSIDE_VERSION;
