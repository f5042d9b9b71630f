/* Every metric a worker keeps, declared once: C(name, kind, help). Exported as ringside_<name>, in
 * the base units that Prometheus asks for (seconds, bytes).
 *   kind  counter | gauge; counter_ns: kept in nanoseconds, gauge_ms: kept in milliseconds, both
 *         exported in seconds */
#pragma once

#define COUNTERS(C)                                                                                \
	C(connections_total, counter, "Connections accepted.")                                     \
	C(connections, gauge, "Connections open.")                                                 \
	C(connections_refused_total, counter, "Connections refused because of a limit.")           \
	C(connections_dropped_total, counter,                                                      \
	  "Connections dropped unanswered: no descriptor was left.")                               \
	C(http2_connections, gauge, "Those that speak HTTP/2.")                                    \
	C(http2_connections_total, counter, "Connections that began to speak HTTP/2.")             \
	C(http2_streams, gauge, "Requests of HTTP/2 that are under way, and their answers.")       \
	C(http2_streams_total, counter, "Requests that came by HTTP/2.")                           \
	C(http2_resets_total, counter, "Streams of HTTP/2 that clients have reset.")               \
	C(http2_queued_bytes, gauge, "Bytes of answers that wait for windows of HTTP/2.")          \
	C(requests_total, counter, "Requests answered.")                                           \
	C(responses_2xx_total, counter, "Answers with status 2xx.")                                \
	C(responses_3xx_total, counter, "Answers with status 3xx.")                                \
	C(responses_4xx_total, counter, "Answers with status 4xx.")                                \
	C(responses_5xx_total, counter, "Answers with status 5xx.")                                \
	C(bytes_in_total, counter, "Bytes received.")                                              \
	C(bytes_out_total, counter, "Bytes sent.")                                                 \
	C(compressed_in_bytes_total, counter, "Bytes of answers before their content coding.")     \
	C(compressed_out_bytes_total, counter, "The same behind it.")                              \
	C(tls_handshakes_total, counter, "TLS handshakes that came to their end.")                 \
	C(tls_failures_total, counter, "Connections that ended before that.")                      \
	C(tls_certificate_expiry_seconds, gauge,                                                   \
	  "Unix time when the first certificate in use ends; 0: there is none.")                   \
	C(body_bytes, gauge, "Bytes of request bodies in memory.")                                 \
	C(body_bytes_max, gauge,                                                                   \
	  "How many there may be: limits.body_bytes_total, or what the memory limit leaves.")      \
	C(waiting_bytes, gauge,                                                                    \
	  "Bytes that wait for clients: answers not taken, requests not begun.")                   \
	C(waiting_bytes_max, gauge,                                                                \
	  "How many there may be: limits.waiting_bytes_total, or what the memory limit leaves.")   \
	C(link_bytes_max, gauge,                                                                   \
	  "How many may wait in a queue to another worker: call.queue_bytes, or what the "         \
	  "memory limit leaves.")                                                                  \
	C(timeouts_total, counter, "Connections cut by a time limit.")                             \
	C(subscribers, gauge, "Live readers: SSE and long-poll.")                                  \
	C(log_dropped_total, counter, "Log lines dropped because nobody took them.")               \
	C(links_lost_total, counter,                                                               \
	  "Links to other workers that were lost, or could not be made.")                          \
	C(patterns_paths_total, counter,                                                           \
	  "Paths looked at for the patterns of EventSource readers.")                              \
	C(patterns_slices_total, counter, "Slices in which they were looked for.")                 \
	C(subscription_slices_total, counter,                                                      \
	  "Slices in which streams were looked for that patterns of subscriptions match.")         \
	C(jwks_fetches_total, counter, "Fetches of the keys of JSON Web Tokens.")                  \
	C(jwks_failures_total, counter, "Those that brought none.")                                \
	C(jwks_keys, gauge, "Keys that JSON Web Tokens are checked with.")                         \
	C(jwks_fetched_timestamp_seconds, gauge_ms,                                                \
	  "When the oldest of the fetched keys were fetched, Unix time; 0: nothing is to be "      \
	  "fetched, or some issuer's never were.")                                                 \
	C(jwts_refused_total, counter, "JSON Web Tokens that were refused.")                       \
	C(deliveries_total, counter, "Frames delivered to live readers.")                          \
	C(readers_cut_total, counter, "Live readers cut because they fell too far behind.")        \
	C(appends_total, counter, "Appends acknowledged.")                                         \
	C(append_bytes_total, counter, "Payload bytes of acknowledged appends.")                   \
	C(commits_total, counter, "Batches written to the log.")                                   \
	C(log_sync_seconds_total, counter_ns, "Time spent in fdatasync of the log.")               \
	C(checkpoints_total, counter, "Checkpoints into LMDB made by this worker.")                \
	C(checkpoint_seconds_total, counter_ns, "Time spent in checkpoints.")                      \
	C(log_durable_bytes, gauge, "Durable position of the log.")                                \
	C(log_checkpoint_bytes, gauge, "Position up to which LMDB holds the log.")                 \
	C(store_used_bytes, gauge, "Bytes of data.mdb in use.")                                    \
	C(store_refusing, gauge,                                                                   \
	  "1 while appends are refused for want of space or by I/O errors.")                       \
	C(store_unreadable_total, counter, "Reads of the store that failed or met damage.")        \
	C(streams, gauge, "Streams in the store.")                                                 \
	C(rows_unreadable, gauge,                                                                  \
	  "Rows of the store that this worker needs and cannot read: what they belong "            \
	  "to stands still.")                                                                      \
	C(webhook_deliveries_total, counter,                                                       \
	  "Webhook deliveries that were answered with success.")                                   \
	C(webhook_failures_total, counter, "Webhook deliveries that failed and are retried.")      \
	C(wakes_total, counter, "Subscriptions woken.")                                            \
	C(capture_sessions, gauge, "Browser sessions open.")                                       \
	C(capture_healthy, gauge, "Browser sessions whose picture is healthy.")                    \
	C(capture_browsers, gauge, "Browsers that run.")                                           \
	C(capture_browsers_started_total, counter, "Browsers started.")                            \
	C(capture_recoveries_total, counter, "Steps taken to bring a page back.")                  \
	C(capture_blocked_total, counter, "Navigations and windows kept from opening.")            \
	C(capture_frames_total, counter, "Pictures taken of pages.")                               \
	C(capture_frame_bytes_total, counter, "Bytes of pictures taken.")                          \
	C(capture_outputs_live, gauge, "Outputs whose ffmpeg encodes.")                            \
	C(capture_output_failures_total, counter,                                                  \
	  "Times that an output's ffmpeg ended by itself.")                                        \
	C(capture_unsafe, gauge, "1 while browsers run without their sandbox.")                    \
	C(render_sessions, gauge, "Render sessions that live.")                                    \
	C(render_sessions_created_total, counter, "Render sessions created.")                      \
	C(render_sessions_ended_total, counter, "Render sessions ended, for whatever reason.")     \
	C(render_events_total, counter, "Events of render sessions published.")                    \
	C(websockets, gauge, "WebSockets open.")                                                   \
	C(websockets_total, counter, "WebSockets opened.")                                         \
	C(websocket_deflated_in_bytes_total, counter,                                              \
	  "Bytes of WebSocket messages before permessage-deflate.")                                \
	C(websocket_deflated_out_bytes_total, counter, "The same behind it.")                      \
	C(ws_subscriptions, gauge, "Subscriptions of sockets at /v1/ws.")                          \
	C(ws_appends, gauge, "Appends of sockets at /v1/ws in flight.")                            \
	C(ws_append_bytes, gauge, "Their bytes.")                                                  \
	C(ws_holds_total, counter,                                                                 \
	  "Times that a socket at /v1/ws was not read because of its appends in flight.")          \
	C(ws_refused_total, counter, "Messages to /v1/ws that were answered with an error.")       \
	C(calls_total, counter, "Requests forwarded to the worker that owns what they ask for.")   \
	C(calls_refused_total, counter,                                                            \
	  "Requests and answers that found no room in the queue to another worker: 503.")          \
	C(calls_failed_total, counter, "Forwarded requests that got no answer: 503.")              \
	C(feed_frames_total, counter, "Frames published.")                                         \
	C(source_posts_total, counter, "Posts of games that took effect.")                         \
	C(source_repeated_total, counter, "Posts of games that had taken effect before.")          \
	C(source_refused_total, counter, "Posts of games that were refused.")                      \
	C(duels_begun_total, counter, "Duels announced.")                                          \
	C(duels_won_total, counter, "Duels that ended with a winner.")                             \
	C(duels_drawn_total, counter, "Duels that ended in a draw.")                               \
	C(duels_cancelled_total, counter, "Duels that were cancelled.")                            \
	C(bet_sync_clients, gauge, "Clients that follow the bet-sync feed.")                       \
	C(bet_sync_unreadable_total, counter,                                                      \
	  "Messages that are no frames, passed over in a feed.")                                   \
	C(bet_sync_refused_total, counter, "Requests for the bet-sync feed that were refused.")    \
	C(hub_agents, gauge, "Agents in the hub's roster, offline ones too.")                      \
	C(hub_registrations_total, counter, "Registrations of agents that became durable.")        \
	C(hub_calls_total, counter, "Requests of agents and dashboards at the hub (/ws).")         \
	C(hub_spawns_total, counter, "Programs started because somebody at the hub asked.")        \
	C(hub_items_total, counter, "What people sent, handed to an agent by its socket.")         \
	C(hub_items_done_total, counter, "What agents acknowledged of it.")                        \
	C(hub_proxies, gauge, "Dashboards that are led to an agent (/ws/agent/).")                 \
	C(hub_proxies_total, counter, "Dashboards that were led to one.")                          \
	C(hub_proxy_failures_total, counter, "Dashboards that were to be led to one, in vain.")    \
	C(conversations, gauge, "Conversations in the store.")                                     \
	C(conversation_messages_total, counter, "What people said, acknowledged.")                 \
	C(conversation_repeats_total, counter, "What they said again, and was known.")             \
	C(conversation_conflicts_total, counter,                                                   \
	  "Messages refused because their id was used for something else.")                        \
	C(conversation_pieces_total, counter, "Pieces of answers, acknowledged.")                  \
	C(conversations_waiting, gauge,                                                            \
	  "Conversations with something that their agents have not dealt with yet.")               \
	C(conversation_leases_total, counter, "Conversations given to an agent under a lease.")    \
	C(conversation_fenced_total, counter,                                                      \
	  "What agents said whose lease was over, or another's: refused.")                         \
	C(conversation_invocations_total, counter, "Endpoints of registered agents asked.")        \
	C(conversation_invocation_failures_total, counter, "Those that gave no whole answer.")     \
	C(chat_connections, gauge,                                                                 \
	  "Stable connections in the store, open or waiting, as this worker counted last.")        \
	C(chat_streams, gauge, "Their streams that are open here.")                                \
	C(chat_opened_total, counter, "Streams of stable connections that began.")                 \
	C(chat_resumed_total, counter, "Those that went on from a position.")                      \
	C(chat_takeovers_total, counter, "Those that replaced one that was open.")                 \
	C(chat_superseded_total, counter,                                                          \
	  "Streams that were ended because another replaced "                                      \
	  "them.")                                                                                 \
	C(chat_ended_total, counter, "Replaced ones whose client came back, and was told by 204.") \
	C(chat_contested_total, counter,                                                           \
	  "Clients that got a connection of their own, because two took one from each other.")     \
	C(chat_rejected_total, counter, "Ids of connections that were not taken.")                 \
	C(chat_foreign_total, counter, "Requests for a connection of another login: 403.")         \
	C(chat_crowded_total, counter, "Connections refused for connections.per_login: 429.")      \
	C(chat_expired_total, counter, "Connections that expired.")                                \
	C(chat_lost_total, counter, "Connections whose worker had ended.")                         \
	C(chat_stale_total, counter,                                                               \
	  "Ends, timers and requests of a generation that was over: ignored.")                     \
	C(chat_suspended_total, counter, "Connections that went to sleep, each time.")             \
	C(chat_reconnects_total, counter, "Statements of all that a connection watches.")          \
	C(chat_replayed_total, counter, "Events replayed after them.")                             \
	C(chat_paused_total, counter, "Streams that waited for connections.replay_rate.")          \
	C(markets_active, gauge, "Markets that are not settled.")                                  \
	C(market_oldest_created_timestamp_seconds, gauge_ms,                                       \
	  "When the oldest of them was created, Unix time; 0: there is none.")                     \
	C(markets_created_total, counter, "Markets created.")                                      \
	C(markets_refused_total, counter,                                                          \
	  "Markets that were cancelled at once: market.active_max were not settled.")              \
	C(market_cursor_lag_bytes, gauge, "Frames of feeds that the markets have not read.")       \
	C(markets_forgotten_total, counter, "Settled markets removed after market.keep.")          \
	C(markets_settled_total, counter, "Markets resolved or cancelled.")                        \
	C(market_reviews_total, counter, "Markets that came to need a person.")                    \
	C(market_dead_letters_total, counter, "Steps given up: refused, or failed too often.")     \
	C(market_calls_total, counter, "Attempts of steps by an operator outside.")                \
	C(market_call_failures_total, counter, "Those that failed, or whose outcome is unknown.")  \
	C(solana_balance_lamports, gauge, "What the solana operator's key can pay with.")          \
	C(solana_poor_total, counter, "Alerts that it is too little (solana.balance_min).")        \
	C(solana_asked_total, counter, "Questions to the node of Solana.")                         \
	C(solana_unanswered_total, counter, "Those that it put off or did not answer.")            \
	C(solana_sent_total, counter, "Transactions sent, each time counted.")                     \
	C(solana_expired_total, counter, "Transactions that expired unseen.")                      \
	C(ledger_bets_total, counter, "Bets taken.")                                               \
	C(ledger_bets_refused_total, counter, "Bets refused.")                                     \
	C(source_queue, gauge, "Posts of games that wait for their turn or the disk.")             \
	C(market_queue, gauge, "Bets and other requests that wait for their turn.")                \
	C(cluster_state, gauge,                                                                    \
	  "Of a node that follows another: 1 asking, 2 fetching a snapshot, 3 opening it, 4 "      \
	  "joining, 5 catching up, 6 live, 7 isolated, 8 and 9 about to get another snapshot.")    \
	C(cluster_ready, gauge, "1 while what it serves is as new as it can know.")                \
	C(cluster_connected, gauge, "1 while the log comes.")                                      \
	C(cluster_lag_bytes, gauge, "So much of the log is there and not yet here.")               \
	C(cluster_lag_seconds, gauge_ms, "For so long something of it was missing here.")          \
	C(cluster_taken_bytes_total, counter, "Bytes of the other node's log that came.")          \
	C(cluster_connects_total, counter, "Times that its log was asked for.")                    \
	C(cluster_snapshots_total, counter, "Snapshots that came.")                                \
	C(cluster_followers, gauge, "Nodes that follow this one at this worker.")                  \
	C(cluster_sent_bytes_total, counter, "Bytes of the log that went to them.")                \
	C(cluster_proxied_total, counter, "Requests handed on to the node that is followed.")      \
	C(cluster_proxy_failures_total, counter, "Those that it did not answer.")                  \
	C(cluster_ahead_total, counter,                                                            \
	  "Readers that were ahead of this node, and were handed on or put off.")
