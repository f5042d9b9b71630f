/* JSON Web Tokens as credentials: a Bearer that an issuer whose keys are here has signed (jwks.h).
 * Who comes with one is "jwt:ISS SUB", so that the next token of the same `sub` is the same
 * somebody; what the digest of the token he shows owned is his too, for it may have been opaque to
 * us when it began to. Without `sub` it is nobody in particular, and owns what its digest does.
 * What he may, common/domain/jwt_rights.h reads from the claims. He is good until the token's exp,
 * or its key is gone. */
#pragma once

#include "worker-sse/edge/identity.h"

struct jwks;

/* For edge_options.sources. A text that is meant as a JWT is judged as one as soon as any key is
 * configured; one whose key may be on its way is REFUSAL_PENDING. */
struct identity_source identity_jwt_source(struct jwks *jwks);
