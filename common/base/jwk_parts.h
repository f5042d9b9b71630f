/* Between the files of jwk.h: a set while it is made. */
#pragma once

#include "common/base/jwk.h"

/* Takes the key over, whatever comes of it, its type and length judged; `algs`: what it may be used
 * with. `kid` is copied, at NULL: none. */
enum jwk_fault jwk_set_add_public(struct jwk_set *set, EVP_PKEY *public, unsigned algs,
                                  struct span kid);
/* Public keys and certificates, one after another. */
void jwk_set_add_pem(struct jwk_set *set, struct span text);
bool jwk_is_pem(struct span text);
/* A key that could not be used. */
void jwk_set_skip(struct jwk_set *set, enum jwk_fault fault);
