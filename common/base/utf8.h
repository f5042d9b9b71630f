/* UTF-8 (RFC 3629). Pure. */
#pragma once

#include "proto/bytes.h"

/* No overlong forms, no surrogates, nothing beyond U+10FFFF, nothing cut off. */
bool utf8_valid(struct span text);
