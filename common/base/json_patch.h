/* JSON Patch (RFC 6902) over jansson trees: what changed between two, and carrying that out.
 *
 * Pure. Everything is bounded: the diff by its inputs, what a patch may do by struct
 * json_patch_limits, because a few copy operations can double a document many times over. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	JSON_PATCH_REASON_ROOM = 160,
	JSON_PATCH_DEPTH = 64, /* the diff does not look deeper: what differs there is replaced */
};

/* The operations that make `after` of `before`: a new array, empty when they are equal (an integer
 * is not equal to a real). Only add, remove and replace; apply them in order. Arrays are compared
 * by index after what they have in common at both ends was set aside: no moves. When the operations
 * would be longer than `after` itself, they are one replacement of the whole. */
json_t *json_patch_diff(const json_t *before, const json_t *after);

struct json_patch_limits {
	size_t operations;
	size_t values; /* that all operations together may put in */
	size_t depth;  /* of the result; at most 1000, the walk is recursive */
};

enum json_patch_result {
	JSON_PATCH_OK,
	JSON_PATCH_MALFORMED, /* no RFC 6902 document: refuse it with 400 */
	JSON_PATCH_CONFLICT,  /* well-formed, but this document has no such place, or a test failed
	                       */
	JSON_PATCH_LIMIT,     /* beyond the limits */
};

/* Carries `patch` out on *document: all of it or, unless JSON_PATCH_OK, nothing. *document is then
 * a new tree and the reference to the old one is dropped. `reason` says in one line what is wrong
 * and with which operation. */
enum json_patch_result json_patch_apply(json_t **document, const json_t *patch,
                                        const struct json_patch_limits *limits,
                                        char reason[JSON_PATCH_REASON_ROOM]);

/* Values in a tree, itself included. */
size_t json_patch_count(const json_t *value);
