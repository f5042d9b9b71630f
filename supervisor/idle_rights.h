/* Rights that give nothing, mistyped ones above all: said, and taken all the same. Pure. */
#pragma once

#include "common/domain/rights.h"

/* Sentences, none where each right can be of use; new reference. */
json_t *idle_rights(const struct rights *rights);
