/* uthash with a keyed function: whoever chooses keys (paths, ids, addresses) cannot choose which of
 * them collide. And without memory it ends the process as xmalloc() does, not by exit(-1), which
 * says nothing. Included in place of <uthash.h>. */
#pragma once

#ifdef UTHASH_H
#error "uthash.h came before common/base/hash.h: its tables would not be keyed"
#endif

#include "common/base/check.h"

#include <stddef.h>
#include <stdint.h>

/* Keyed by a secret of this process; any thread. */
unsigned hash_keyed(const void *key, size_t len);
uint64_t hash_keyed_wide(const void *key, size_t len);

#define HASH_FUNCTION(keyptr, keylen, hashv) (hashv) = hash_keyed(keyptr, keylen)
#define uthash_malloc(bytes)                 xmalloc(bytes)
#include <uthash.h>
