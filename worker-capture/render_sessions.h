/* Render sessions: pages that clients have rendered for them, and the one owner of their state.
 *
 * Each is a document and a stream of events in the store (common/domain/render_session.h) and a
 * browser session here. State is published where it changes, at most once in
 * sessions.state_interval; document and event are one transaction, so that after any crash the next
 * worker finds a state and a stream that fit together, and opens the pages again. A session ends by
 * DELETE, by sessions.idle_timeout after its last consumer left, by sessions.lifetime; it is
 * remembered for sessions.remember (410) and then forgotten with its stream (404).
 *
 * To every client but its owner a session does not exist. Settings are read where they are needed,
 * from the worker's newest. Loop thread only. */
#pragma once

#include "worker-capture/capture.h"

/* The store is open: takes up the sessions that live, and forgets those that are over. */
struct render_sessions *render_sessions_create(struct capture *capture);
/* Nothing more is written or answered; the sessions stay for the next worker. */
void render_sessions_drain(struct render_sessions *all);

/* Calls: rows of the worker's route table. */
void render_sessions_on_create(struct call *call);  /* POST /stream, POST /stream/session */
void render_sessions_on_session(struct call *call); /* everything below /stream/ */

/* So many consumers follow it at that SSE worker. */
void render_sessions_consumers(struct render_sessions *all, unsigned slot, struct span id,
                               uint64_t count);
void render_sessions_slot_gone(struct render_sessions *all, unsigned slot);
