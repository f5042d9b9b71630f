/* Every setting, declared once. Struct, parser, bounds, --help, RINGSIDE_* variable, the reference
 * page, reload rules and `ringside check-config` come from this table.
 *
 * S(field, "key", type, default, min, max, when, help)
 *   field    member of struct settings
 *   key      "section.name" in the file; --section-name; RINGSIDE_SECTION_NAME
 *   type     text | secret | secret_url | secret_lines | token | tokens | flag | count | bytes |
 *            ms. Those from secret to tokens are texts that nobody is shown (of a secret_url:
 *            scheme and host); secret_lines may be several; a token is one Bearer credential,
 *            tokens are 64 at most with commas between
 *   default  as one would write it in the file; bytes take k, M, G; ms take ms, s, m, h, d
 *   min,max  bounds in the type's unit; text: length in bytes
 *   when     LIVE: at once on reload; WORKERS: restarts the workers one by one; START: next start
 */
#pragma once

#define SETTINGS(S)                                                                                \
	S(listen, "listen", text, "127.0.0.1:4437", 1, 1024, START,                                \
	  "Addresses and ports to serve on: HOST:PORT or [IPV6]:PORT, several with commas; "       \
	  "https:// before one serves TLS there (tls.certificates). Port 0 picks a free "          \
	  "one; of a name, all addresses (8 at most in all).")                                     \
	S(listen_wait_ms, "listen_wait", ms, "3s", 0, 600000, START,                               \
	  "How long to wait for an address in use: the one before may still be ending.")           \
	S(dev, "dev", flag, "false", 0, 1, START,                                                  \
	  "Development: no authentication, loopback addresses only.")                              \
	S(data_dir, "data_dir", text, "/var/lib/ringside", 1, 3900, START,                         \
	  "Directory of the durable store; a local file system.")                                  \
	S(environment_aliases, "environment_aliases", flag, "false", 0, 1, START,                  \
	  "Takes PORT, DATA_DIR, STREAMS_PORT, STREAMS_DATA_DIR and CORS_ORIGINS of the "          \
	  "environment where nothing else says it (docs/conversations.md).")                       \
	S(run_dir, "run_dir", text, "/run/ringside", 1, 90, START,                                 \
	  "Directory of the admin socket and the pid file.")                                       \
	S(secrets_dir, "secrets_dir", text, "", 0, 3900, LIVE,                                     \
	  "Directory in which a secret that is given nowhere else is looked for, as a "            \
	  "file named ringside.KEY or KEY: /run/secrets in a container. Empty: none.")             \
	S(sandbox, "sandbox", text, "auto", 3, 8, WORKERS,                                         \
	  "What SSE workers and the bridge give up before they serve, as far as the kernel "       \
	  "has it: auto; required, which starts nothing where it lacks any of it; or off.")        \
	S(sandbox_read, "sandbox_read", text, "", 0, 3900, WORKERS,                                \
	  "Directories that they may read besides, with commas between: those of hls: "            \
	  "outputs that ringsidectl adds outside of capture.output_dir.")                          \
	S(sse_workers, "sse_workers", text, "auto", 1, 8, LIVE,                                    \
	  "Number of SSE workers, or auto: one per CPU that affinity and the cgroup "              \
	  "quota allow.")                                                                          \
	S(log_level, "log.level", text, "info", 4, 5, LIVE, "debug, info, warn or error.")         \
	S(log_format, "log.format", text, "text", 4, 4, WORKERS,                                   \
	  "text or json, one line per event.")                                                     \
	S(log_file, "log.file", text, "", 0, 3900, START,                                          \
	  "Log file, reopened on SIGUSR1; empty: standard error.")                                 \
	S(log_buffer_bytes, "log.buffer_bytes", bytes, "256k", 16 << 10, 64 << 20, WORKERS,        \
	  "Log lines of each process that may wait for a log that does not flow; more "            \
	  "are dropped, and their number is said.")                                                \
	S(store_ring_bytes, "store.ring_bytes", bytes, "256M", 4 << 20, 64ull << 30, START,        \
	  "Size of the write-ahead ring when it is created.")                                      \
	S(store_map_bytes, "store.map_bytes", bytes, "64G", 8 << 20, 1ull << 44, START,            \
	  "Upper bound of data.mdb; beyond it appends get 507.")                                   \
	S(store_checkpoint_ms, "store.checkpoint", ms, "1s", 10, 60000, WORKERS,                   \
	  "How often the ring is applied to LMDB.")                                                \
	S(store_busy_poll_us, "store.busy_poll_us", count, "500", 0, 100000, WORKERS,              \
	  "SSE workers poll instead of sleeping during a commit when commits lately "              \
	  "took no longer than this, in microseconds: an idle CPU wakes late. 0: they "            \
	  "always sleep.")                                                                         \
	S(store_commit_priority, "store.commit_priority", count, "10", 0, 20, WORKERS,             \
	  "So many nice levels the thread that commits stands above the rest of its "              \
	  "worker, where the system allows it (RLIMIT_NICE): everybody waits for its "             \
	  "few microseconds.")                                                                     \
	S(store_commit_timeout_ms, "store.commit_timeout", ms, "5s", 100, 600000, WORKERS,         \
	  "Nothing was written for this long though something is to be: who waits gets "           \
	  "503, /readyz is red; worker.hang_timeout later the worker is aborted.")                 \
	S(store_chunk_bytes, "store.chunk_bytes", bytes, "8k", 512, 1 << 20, WORKERS,              \
	  "Messages of a stream share a row up to this size.")                                     \
	S(store_streams_cached, "store.streams_cached", count, "131072", 1000, 1 << 24, WORKERS,   \
	  "Streams each worker keeps in memory, twice, at about 500 bytes, though they did "       \
	  "not change lately: what is not there is read from the tables.")                         \
	S(store_retention_bytes, "store.retention_bytes", bytes, "0", 0, 1ull << 44, WORKERS,      \
	  "Keep about this much of each stream; 0 keeps all. Older offsets get 410.")              \
	S(store_retention_age_ms, "store.retention_age", ms, "0", 0, 3153600000000, WORKERS,       \
	  "Forget appends older than this; 0 keeps all. Older offsets get 410.")                   \
	S(store_free_bytes_min, "store.free_bytes_min", bytes, "64M", 0, 1ull << 44, WORKERS,      \
	  "Refuse appends with 507 when the file system has less free space.")                     \
	S(store_recover, "store.recover", text, "refuse", 6, 8, START,                             \
	  "What to do when the ring is lost, or damaged where it was durable: refuse "             \
	  "to start, or truncate: go on with what is left, and raise the epoch of the "            \
	  "store.")                                                                                \
	S(cluster_follow, "cluster.follow", text, "", 0, 1024, START,                              \
	  "URL of another node, http://HOST:PORT or https://...: this one is its copy, serves "    \
	  "reads and live readers from its own store and hands everything else on "                \
	  "(docs/cluster.md). Empty: a node of its own.")                                          \
	S(cluster_secret, "cluster.secret", token, "", 0, 1024, WORKERS,                           \
	  "What nodes show each other, the same on all; who has it reads everything. Without "     \
	  "it nobody may follow this node.")                                                       \
	S(cluster_name, "cluster.name", text, "", 0, 64, WORKERS,                                  \
	  "What this node is called in /v1/cluster/status; empty: as its machine.")                \
	S(cluster_ready_lag_ms, "cluster.ready_lag", ms, "1s", 10, 3600000, WORKERS,               \
	  "A node that follows is not ready while it has been behind for longer.")                 \
	S(cluster_writes, "cluster.writes", text, "proxy", 5, 8, WORKERS,                          \
	  "What a node that follows does with writes and whatever else it cannot answer: "         \
	  "proxy, hand them on, or redirect, send the client there (307).")                        \
	S(limits_header_bytes, "limits.header_bytes", bytes, "16k", 1024, 1 << 20, WORKERS,        \
	  "Request line and header fields together; more gets 431.")                               \
	S(limits_headers, "limits.headers", count, "100", 8, 1000, WORKERS,                        \
	  "Header fields of a request; more gets 431.")                                            \
	S(limits_url_bytes, "limits.url_bytes", bytes, "8k", 64, 1 << 16, WORKERS,                 \
	  "Request target; longer gets 414.")                                                      \
	S(limits_path_bytes, "limits.path_bytes", bytes, "480", 16, 480, WORKERS,                  \
	  "Path of a stream; longer gets 414.")                                                    \
	S(limits_body_bytes, "limits.body_bytes", bytes, "64M", 1024, 1 << 30, WORKERS,            \
	  "Body of a request; larger gets 413. At most a quarter of store.ring_bytes.")            \
	S(limits_body_bytes_total, "limits.body_bytes_total", bytes, "512M", 1 << 20, 1ull << 40,  \
	  WORKERS,                                                                                 \
	  "Bodies in memory of one worker; beyond it requests get 503. At most the "               \
	  "worker's part of a quarter of what the control group's memory limit allows. "           \
	  "Bodies above 64k leave an eighth to smaller ones.")                                     \
	S(limits_waiting_bytes_total, "limits.waiting_bytes_total", bytes, "512M", 1 << 20,        \
	  1ull << 40, WORKERS,                                                                     \
	  "What waits in memory of one worker for clients: answers that they do not take, "        \
	  "requests that cannot begin yet. The nearer to it, the smaller the pieces that "         \
	  "each may have. At most the worker's part of an eighth of the memory limit.")            \
	S(limits_connections, "limits.connections", count, "200000", 1, 10000000, WORKERS,         \
	  "Open connections of one worker; more get 503.")                                         \
	S(limits_connections_per_address, "limits.connections_per_address", count, "0", 0,         \
	  10000000, WORKERS,                                                                       \
	  "Connections from one address to one worker; more get 429. 0: no limit.")                \
	S(limits_new_connections, "limits.new_connections", count, "0", 0, 10000000, LIVE,         \
	  "New connections a second from one address, over all workers; more get 429. 0: "         \
	  "no limit. A proxy is one address.")                                                     \
	S(limits_anonymous_readers, "limits.anonymous_readers", count, "1000", 0, 10000000, LIVE,  \
	  "Live readers without a credential of one address at once, over all workers "            \
	  "(not under dev); more get 429. 0: no limit.")                                           \
	S(limits_logins, "limits.logins", count, "300", 0, 10000000, LIVE,                         \
	  "POST /v1/login a minute from one address; more get 429. 0: no limit.")                  \
	S(limits_bad_credentials, "limits.bad_credentials", count, "600", 0, 10000000, LIVE,       \
	  "Credentials a minute from one address that are no good; more get 429 in place "         \
	  "of 401, and nobody logs in from there. 0: no limit.")                                   \
	S(limits_tickets, "limits.tickets", count, "600", 0, 10000000, LIVE,                       \
	  "POST /v1/tickets a minute of one subject; more get 429. 0: no limit.")                  \
	S(limits_accounts, "limits.accounts", count, "600", 0, 10000000, LIVE,                     \
	  "POST /v1/ledger/accounts a minute of one subject, or from one address by whoever "      \
	  "is none; more get 429. 0: no limit.")                                                   \
	S(limits_appends, "limits.appends", count, "0", 0, 10000000, LIVE,                         \
	  "Appends a second of one subject; more get 429. 0: no limit.")                           \
	S(limits_pipeline, "limits.pipeline", count, "64", 1, 1024, WORKERS,                       \
	  "Appends of one connection in flight; further ones wait.")                               \
	S(limits_streams, "limits.streams", count, "1000000", 1, 1ull << 40, WORKERS,              \
	  "Streams in the store; creating more gets 507.")                                         \
	S(limits_producers, "limits.producers_per_stream", count, "1024", 1, 100000, WORKERS,      \
	  "Idempotent producers of a stream; a further one gets 429.")                             \
	S(limits_producer_idle_ms, "limits.producer_idle", ms, "7d", 1000, 3153600000000, WORKERS, \
	  "A producer this long silent gives way when a stream is at its limit.")                  \
	S(limits_producer_id_bytes, "limits.producer_id_bytes", bytes, "256", 1, 400, WORKERS,     \
	  "Producer-Id; longer gets 400.")                                                         \
	S(limits_stream_seq_bytes, "limits.stream_seq_bytes", bytes, "256", 1, 4096, WORKERS,      \
	  "Stream-Seq; longer gets 400.")                                                          \
	S(limits_content_type_bytes, "limits.content_type_bytes", bytes, "256", 16, 4096, WORKERS, \
	  "Content-Type of a stream; longer gets 400.")                                            \
	S(limits_json_depth, "limits.json_depth", count, "512", 8, 10000, WORKERS,                 \
	  "Nesting of JSON messages; deeper gets 400.")                                            \
	S(limits_ttl_max_ms, "limits.ttl_max", ms, "3650d", 1000, 3153600000000, WORKERS,          \
	  "Stream-TTL; longer gets 400.")                                                          \
	S(limits_reader_lag_bytes, "limits.reader_lag_bytes", bytes, "64M", 1 << 16, 1ull << 40,   \
	  WORKERS, "A live reader further behind is cut; it resumes by offset.")                   \
	S(limits_events_streams, "limits.events_streams", count, "256", 1, 4096, WORKERS,          \
	  "Streams that one EventSource reader follows at a time; more gets 400.")                 \
	S(limits_subscriptions, "limits.subscriptions", count, "1000", 0, 100000, WORKERS,         \
	  "Subscriptions; creating more gets 429.")                                                \
	S(limits_subscription_streams, "limits.subscription_streams", count, "1024", 1, 4096,      \
	  WORKERS,                                                                                 \
	  "Streams that one subscription links; more get 400, and a pattern takes no "             \
	  "further ones until others are gone.")                                                   \
	S(http_busy_poll_us, "http.busy_poll_us", count, "50", 0, 100000, WORKERS,                 \
	  "SSE workers poll instead of sleeping for so many microseconds after a "                 \
	  "connection was accepted: they come in bursts. 0: they always sleep.")                   \
	S(http_header_timeout_ms, "http.header_timeout", ms, "10s", 100, 600000, WORKERS,          \
	  "From the first byte of a request to the end of its header; then 408.")                  \
	S(http_body_timeout_ms, "http.body_timeout", ms, "30s", 100, 600000, WORKERS,              \
	  "Longest silence within a request body; then 408. A body that takes longer "             \
	  "than this gives way with 503 when others find no room "                                 \
	  "(limits.body_bytes_total).")                                                            \
	S(http_body_rate_min, "http.body_rate_min", bytes, "1k", 0, 1 << 30, WORKERS,              \
	  "A second: a slower body counts as silent, and gets 408; 0: any speed. Speed "           \
	  "of more than http.body_timeout ago does not count.")                                    \
	S(http_keepalive_timeout_ms, "http.keepalive_timeout", ms, "75s", 100, 86400000, WORKERS,  \
	  "Idle connections are closed after this.")                                               \
	S(http_write_timeout_ms, "http.write_timeout", ms, "60s", 100, 86400000, WORKERS,          \
	  "A connection that takes no byte for this long is cut.")                                 \
	S(http_long_poll_timeout_ms, "http.long_poll_timeout", ms, "20s", 10, 300000, WORKERS,     \
	  "Longest wait of a long-poll; then 204.")                                                \
	S(http_sse_lifetime_ms, "http.sse_lifetime", ms, "60s", 2000, 86400000, WORKERS,           \
	  "An SSE answer ends after about this (spread by a quarter); the client reconnects.")     \
	S(http_sse_keepalive_ms, "http.sse_keepalive", ms, "15s", 500, 600000, WORKERS,            \
	  "A control event is sent after this much silence.")                                      \
	S(http_websocket_output_bytes, "http.websocket_output_bytes", bytes, "256k", 4096,         \
	  1 << 30, WORKERS,                                                                        \
	  "What a WebSocket's client has not taken of its output: beyond that nothing of "         \
	  "what it sends is read, and if that lasts from one http.sse_keepalive to the "           \
	  "next, it ends with 1008.")                                                              \
	S(http_events_lifetime_ms, "http.events_lifetime", ms, "1h", 2000, 604800000, WORKERS,     \
	  "An EventSource answer ends after about this (spread by a quarter); the "                \
	  "client resumes.")                                                                       \
	S(http_events_retry_ms, "http.events_retry", ms, "2s", 0, 600000, WORKERS,                 \
	  "How long an EventSource client waits before it reconnects.")                            \
	S(http_page_bytes, "http.page_bytes", bytes, "8M", 65536, 1 << 30, WORKERS,                \
	  "Catch-up reads are cut near this size; the client goes on from the offset.")            \
	S(http_compression, "http.compression", text, "zstd, br, gzip", 2, 64, LIVE,               \
	  "Content codings of catch-up reads of text and JSON, for who asks for one "              \
	  "(Accept-Encoding); off: none.")                                                         \
	S(http_compression_min_bytes, "http.compression_min_bytes", bytes, "1k", 1, 1 << 30, LIVE, \
	  "A read of less is answered as it is.")                                                  \
	S(http_compressions, "http.compressions", count, "32", 1, 10000, LIVE,                     \
	  "Coded answers at a time, of each worker, at up to 2M of memory each; beyond them "      \
	  "reads are answered as they are.")                                                       \
	S(http_public_url, "http.public_url", text, "", 0, 1024, WORKERS,                          \
	  "Base of absolute URLs in answers; empty: from the request's Host.")                     \
	S(http_trust_forwarded, "http.trust_forwarded", flag, "false", 0, 1, WORKERS,              \
	  "Believe X-Forwarded-Host and X-Forwarded-Proto (behind a proxy that sets them).")       \
	S(http_redirect_port, "http.redirect_port", count, "0", 0, 65535, LIVE,                    \
	  "Requests in the clear are sent to https:// at this port (308; 443), but for those "     \
	  "of this machine, of health and of ACME; 0: they are answered.")                         \
	S(http_acme_dir, "http.acme_dir", text, "", 0, 3900, WORKERS,                              \
	  "Directory of what is answered below /.well-known/acme-challenge/ (uacme, certbot "      \
	  "--webroot puts it there); empty: nothing.")                                             \
	S(http_allowed_origin, "http.allowed_origin", text, "*", 1, 4096, WORKERS,                 \
	  "Origins whose pages may read and write (CORS), scheme://host[:port], "                  \
	  "comma-separated: with their cookies too. *: all pages, without cookies; under "         \
	  "dev none but our own.")                                                                 \
	S(http_h2c, "http.h2c", flag, "false", 0, 1, WORKERS,                                      \
	  "HTTP/2 in the clear for clients that begin with it (prior knowledge): proxies.")        \
	S(http2_enabled, "http2.enabled", flag, "true", 0, 1, WORKERS,                             \
	  "HTTP/2 over TLS, for clients that ask for it (ALPN).")                                  \
	S(http2_streams, "http2.streams", count, "128", 1, 10000, WORKERS,                         \
	  "Requests that one connection of HTTP/2 may have at once.")                              \
	S(http2_queue_bytes, "http2.queue_bytes", bytes, "32M", 65536, 1 << 30, WORKERS,           \
	  "Bytes of answers that may wait for the windows of one connection of HTTP/2: "           \
	  "further requests get 503.")                                                             \
	S(http2_resets, "http2.resets", count, "500", 1, 1000000, WORKERS,                         \
	  "Streams that one connection may reset in ten seconds, or make us reset by its "         \
	  "mistakes; beyond this and the following ones it ends (ENHANCE_YOUR_CALM).")             \
	S(http2_settings_frames, "http2.settings_frames", count, "50", 1, 1000000, WORKERS,        \
	  "SETTINGS frames of one connection in ten seconds.")                                     \
	S(http2_pings, "http2.pings", count, "200", 1, 1000000, WORKERS,                           \
	  "PING frames of one connection in ten seconds.")                                         \
	S(http2_continuations, "http2.continuations", count, "200", 1, 1000000, WORKERS,           \
	  "CONTINUATION frames of one connection in ten seconds; of one request eight.")           \
	S(http2_empty_frames, "http2.empty_frames", count, "500", 1, 1000000, WORKERS,             \
	  "Frames of one connection in ten seconds that carry nothing: DATA without bytes, "       \
	  "PRIORITY.")                                                                             \
	S(http2_window_updates, "http2.window_updates", count, "2000", 1, 1000000, WORKERS,        \
	  "WINDOW_UPDATE frames of one connection in ten seconds, beyond two for each DATA "       \
	  "frame that it was sent.")                                                               \
	S(http2_tiny_windows, "http2.tiny_windows", count, "500", 1, 1000000, WORKERS,             \
	  "DATA frames in ten seconds that the windows of one connection made smaller than "       \
	  "256 bytes.")                                                                            \
	S(http2_header_bombs, "http2.header_bombs", count, "20", 1, 1000000, WORKERS,              \
	  "Requests of one connection in ten seconds whose header fields, decoded, are more "      \
	  "than limits.header_bytes; each gets 431.")                                              \
	S(tls_certificates, "tls.certificates", text, "", 0, 16384, LIVE,                          \
	  "Of https://: CERT.pem:KEY.pem, several with commas. The first is for who names "        \
	  "no host, or one of nobody's. The files are watched (tls.watch); a pair that does "      \
	  "not fit is refused whole, and what was there goes on.")                                 \
	S(tls_client_certificates, "tls.client_certificates", text, "off", 3, 8, LIVE,             \
	  "Clients show a certificate of their own: off, optional or required.")                   \
	S(tls_client_ca_file, "tls.client_ca_file", text, "", 0, 3900, LIVE,                       \
	  "Who signs the certificates of clients: a file of certificates in PEM.")                 \
	S(tls_watch_ms, "tls.watch", ms, "5s", 0, 86400000, LIVE,                                  \
	  "How often the files of certificates are looked at; 0: at a reload only.")               \
	S(tls_ticket_rotation_ms, "tls.ticket_rotation", ms, "12h", 0, 604800000, LIVE,            \
	  "Each key that sessions are resumed by is used so long, and is good for three "          \
	  "times that; 0: no sessions are resumed.")                                               \
	S(tls_handshake_timeout_ms, "tls.handshake_timeout", ms, "10s", 100, 600000, WORKERS,      \
	  "Longest TLS handshake; then the connection is closed.")                                 \
	S(tls_hsts_max_age_ms, "tls.hsts_max_age", ms, "0", 0, 63072000000, LIVE,                  \
	  "How long browsers that came by TLS come by nothing else "                               \
	  "(Strict-Transport-Security; 365d is usual); 0: they are not told.")                     \
	S(tls_hsts_subdomains, "tls.hsts_subdomains", flag, "false", 0, 1, LIVE,                   \
	  "The same for all names below this host's.")                                             \
	S(tls_ca_file, "tls.ca_file", text, "/etc/ssl/certs/ca-certificates.crt", 1, 3900,         \
	  WORKERS,                                                                                 \
	  "Certificates that servers which Ringside calls are judged by: webhooks, and "           \
	  "outputs to rtmps://.")                                                                  \
	S(auth_tokens, "auth.tokens", text, "", 0, 3900, LIVE,                                     \
	  "File with a row for each token: who has it, what it may, until when. "                  \
	  "ringsidectl tokens edits it; nobody but its owner may read it.")                        \
	S(auth_token_rows, "auth.token_rows", secret_lines, "", 0, 4 << 20, LIVE,                  \
	  "The same rows here, a line each; both count. At most 10000 together.")                  \
	S(auth_public, "auth.public", text, "", 0, 16384, LIVE,                                    \
	  "What whoever shows no token may, as VERB=PATTERN[,PATTERN...] with blanks "             \
	  "between. Health, the pages' own files and signed results need no right.")               \
	S(auth_publish_tokens, "auth.publish_tokens", tokens, "", 0, 16384, LIVE,                  \
	  "Bearer tokens that may create, append, delete "                                         \
	  "and read.")                                                                             \
	S(auth_subscribe_tokens, "auth.subscribe_tokens", tokens, "", 0, 16384, LIVE,              \
	  "Bearer tokens that may read.")                                                          \
	S(auth_metrics_token, "auth.metrics_token", tokens, "", 0, 512, LIVE,                      \
	  "Bearer token for /metrics; empty: a subscribe token.")                                  \
	S(auth_session_tokens, "auth.session_tokens", tokens, "", 0, 16384, LIVE,                  \
	  "Bearer tokens that may use render sessions, each "                                      \
	  "its own.")                                                                              \
	S(auth_source_token, "auth.source_token", token, "", 0, 512, LIVE,                         \
	  "Bearer token of games, for /v1/source/; empty: nobody may post, but under "             \
	  "dev everybody.")                                                                        \
	S(auth_ledger_token, "auth.ledger_token", token, "", 0, 512, LIVE,                         \
	  "Bearer token of the house: opens accounts, decides markets in "                         \
	  "manual_review; empty: nobody may, but under dev everybody.")                            \
	S(auth_outputs_token, "auth.outputs_token", tokens, "", 0, 512, LIVE,                      \
	  "Bearer token that may add, pause and remove outputs; empty: nobody may, but "           \
	  "under dev everybody.")                                                                  \
	S(auth_jwt_keys, "auth.jwt_keys", secret_lines, "", 0, 65536, LIVE,                        \
	  "Keys that JSON Web Tokens are checked with: a JWK Set, one JWK, or public "             \
	  "keys or certificates as PEM. Usually in a file: auth.jwt_keys_file.")                   \
	S(auth_jwt_secret, "auth.jwt_secret", secret, "", 0, 1024, LIVE,                           \
	  "Secret of HS256, 32 bytes or more: whoever has it makes tokens.")                       \
	S(auth_jwt_jwks_url, "auth.jwt_jwks_url", text, "", 0, 4096, LIVE,                         \
	  "Where issuers publish their keys, comma-separated, 8 at most; https, or http "          \
	  "on loopback. Needs auth.jwt_issuer; several are one for each issuer, in its "           \
	  "order.")                                                                                \
	S(auth_jwt_issuer, "auth.jwt_issuer", text, "", 0, 4096, LIVE,                             \
	  "Whose JSON Web Tokens are accepted: values of iss, comma-separated. Empty: "            \
	  "anybody's whose key is here.")                                                          \
	S(auth_jwt_audience, "auth.jwt_audience", text, "", 0, 4096, LIVE,                         \
	  "Values of aud, comma-separated, of which a token must have one. Empty: it "             \
	  "must have no aud.")                                                                     \
	S(auth_jwt_algorithms, "auth.jwt_algorithms", text, "HS256,RS256,PS256,ES256,EdDSA", 1,    \
	  64, LIVE, "Algorithms that are accepted: of these, comma-separated.")                    \
	S(auth_jwt_rights_claim, "auth.jwt_rights_claim", text, "ringside", 0, 255, LIVE,          \
	  "Claim that says what a token allows, beside Mercure's; empty: none.")                   \
	S(auth_jwt_require_expiry, "auth.jwt_require_expiry", flag, "true", 0, 1, LIVE,            \
	  "A token without exp is refused.")                                                       \
	S(auth_jwt_leeway_ms, "auth.jwt_leeway", ms, "30s", 0, 600000, LIVE,                       \
	  "By so much an issuer's clock may differ: exp, nbf and iat are seen so "                 \
	  "generously.")                                                                           \
	S(auth_jwt_bytes, "auth.jwt_bytes", bytes, "8k", 256, 65536, LIVE,                         \
	  "A longer JSON Web Token is refused with 401.")                                          \
	S(auth_jwt_fetch_timeout_ms, "auth.jwt_fetch_timeout", ms, "10s", 100, 60000, LIVE,        \
	  "Longest fetch of keys from auth.jwt_jwks_url.")                                         \
	S(auth_jwt_refresh_min_ms, "auth.jwt_refresh_min", ms, "1m", 100, 86400000, LIVE,          \
	  "Fetched keys are good so long at least, whatever their Cache-Control says; "            \
	  "after failures the fetch is tried again, at last so often.")                            \
	S(auth_jwt_refresh_max_ms, "auth.jwt_refresh_max", ms, "1h", 100, 86400000, LIVE,          \
	  "So long at most, and where it says nothing. While fetches fail the keys stay.")         \
	S(auth_jwt_unknown_key_ms, "auth.jwt_unknown_key", ms, "10s", 100, 86400000, LIVE,         \
	  "A token with an unknown key has keys fetched before their time, no sooner "             \
	  "than so long after the last fetch.")                                                    \
	S(auth_jwt_wait_ms, "auth.jwt_wait", ms, "3s", 0, 30000, LIVE,                             \
	  "So long a request waits at most for a fetch that may bring its token's key; "           \
	  "0: not at all.")                                                                        \
	S(auth_cookie_max_ms, "auth.cookie_max", ms, "30d", 1000, 34560000000, WORKERS,            \
	  "A cookie of POST /v1/login ends with its token, and after this at the latest.")         \
	S(auth_ticket_max_ms, "auth.ticket_max", ms, "1h", 1000, 2592000000, WORKERS,              \
	  "Longest life of a ticket of POST /v1/tickets; more gets 400.")                          \
	S(bet_sync_token, "bet_sync.token", token, "", 0, 512, LIVE,                               \
	  "Bearer token of the bet-sync feed. Empty: 503; under dev one is made at "               \
	  "each start, see tokens.json in run_dir.")                                               \
	S(bet_sync_token_previous, "bet_sync.token_previous", token, "", 0, 512, LIVE,             \
	  "Token before it, valid until bet_sync.token_previous_expires.")                         \
	S(bet_sync_token_previous_expires, "bet_sync.token_previous_expires", count, "0", 0,       \
	  9007199254740992, LIVE,                                                                  \
	  "When the previous token ends, Unix ms; whoever still listens with it is cut.")          \
	S(bet_sync_allowed_origin, "bet_sync.allowed_origin", text, "", 0, 255, WORKERS,           \
	  "The one origin whose pages may read the bet-sync feed: "                                \
	  "scheme://host[:port]. Empty: none; requests with another Origin get 403.")              \
	S(bet_sync_feed, "bet_sync.feed", text, "arena", 1, 64, WORKERS,                           \
	  "The feed that is meant when a request names none (?feed=).")                            \
	S(bet_sync_schema_version, "bet_sync.schema_version", count, "1", 1, 3, WORKERS,           \
	  "The wire version that a request gets which names none (?schemaVersion=).")              \
	S(bet_sync_state_rate, "bet_sync.state_rate", count, "240", 1, 1000000, WORKERS,           \
	  "Requests a minute for the state, of one client address; more get 429.")                 \
	S(bet_sync_events_rate, "bet_sync.events_rate", count, "60", 1, 1000000, WORKERS,          \
	  "Requests a minute for the events, of one client address; more get 429.")                \
	S(bet_sync_clients, "bet_sync.clients", count, "32", 1, 100000, WORKERS,                   \
	  "Clients that follow the events at once, over all workers; more get 503.")               \
	S(bet_sync_clients_per_address, "bet_sync.clients_per_address", count, "8", 1, 100000,     \
	  WORKERS, "Those of one client address; more get 429.")                                   \
	S(worker_hang_ms, "worker.hang_timeout", ms, "10s", 500, 600000, LIVE,                     \
	  "No heartbeat for this long: the worker is aborted.")                                    \
	S(worker_abort_grace_ms, "worker.abort_grace", ms, "2s", 100, 60000, LIVE,                 \
	  "From SIGABRT to SIGKILL of a hung worker.")                                             \
	S(worker_start_ms, "worker.start_timeout", ms, "2m", 500, 3600000, LIVE,                   \
	  "From a worker's start until it serves; then it is killed.")                             \
	S(worker_restart_delay_min_ms, "worker.restart_delay_min", ms, "50ms", 1, 60000, LIVE,     \
	  "First delay before a restart; doubles.")                                                \
	S(worker_restart_delay_max_ms, "worker.restart_delay_max", ms, "30s", 1, 3600000, LIVE,    \
	  "Longest delay before a restart.")                                                       \
	S(worker_restart_stable_ms, "worker.restart_stable", ms, "10s", 100, 3600000, LIVE,        \
	  "Ready this long: the next exit counts as the first.")                                   \
	S(worker_restart_limit, "worker.restart_limit", count, "10", 1, 64, LIVE,                  \
	  "Exits within worker.restart_window after which the worker counts as failed: "           \
	  "/readyz is 503, and it is tried every worker.restart_delay_max.")                       \
	S(worker_restart_window_ms, "worker.restart_window", ms, "2m", 1000, 86400000, LIVE,       \
	  "See worker.restart_limit.")                                                             \
	S(worker_give_up_ms, "worker.give_up", ms, "5m", 0, 86400000, LIVE,                        \
	  "No HTTP worker has served for this long although some were tried: ringside "            \
	  "ends with exit code 1, for whoever runs it to act. 0: never.")                          \
	S(worker_drain_ms, "worker.drain_timeout", ms, "25s", 0, 3600000, LIVE,                    \
	  "How long a drain may take before what is left is cut.")                                 \
	S(bridge_workers, "bridge.workers", count, "1", 0, 1, LIVE,                                \
	  "Bridge workers: webhook deliveries and wake-ups.")                                      \
	S(feed_default, "feed.default", text, "arena", 1, 64, START,                               \
	  "Name of the feed that the arena's page and the surfaces without a name mean.")          \
	S(capture_workers, "capture.workers", count, "0", 0, 1, LIVE,                              \
	  "Capture workers: they run the browsers.")                                               \
	S(capture_url, "capture.url", secret, "", 0, 2048, WORKERS,                                \
	  "Page that shows the default feed, watched from the start; a token it needs "            \
	  "belongs into its fragment. Empty: none.")                                               \
	S(capture_width, "capture.width", count, "1280", 16, 3840, WORKERS,                        \
	  "Width of that page and of its picture; even.")                                          \
	S(capture_height, "capture.height", count, "720", 16, 2160, WORKERS,                       \
	  "Height of that page and of its picture; even.")                                         \
	S(capture_fps, "capture.fps", count, "30", 1, 60, WORKERS,                                 \
	  "Frames a second that outputs send, exactly.")                                           \
	S(capture_kbps, "capture.kbps", count, "2500", 100, 50000, WORKERS,                        \
	  "Video bit rate of outputs, kilobits a second.")                                         \
	S(capture_outputs, "capture.outputs", secret, "", 0, 8192, WORKERS,                        \
	  "Where that page's picture goes, comma-separated: NAME=rtmp://..., rtmps://, "           \
	  "srt://, udp://, hls:/DIRECTORY or file:/PATH.mkv.")                                     \
	S(capture_outputs_max, "capture.outputs_max", count, "8", 1, 64, WORKERS,                  \
	  "Outputs at once; each is an ffmpeg of its own.")                                        \
	S(capture_output_dir, "capture.output_dir", text, "", 0, 1000, WORKERS,                    \
	  "Directory below which outputs that are added over HTTP may write files; "               \
	  "empty: they may not.")                                                                  \
	S(capture_output_uid, "capture.output_uid", count, "59064", 0, 4294967294, WORKERS,        \
	  "User that sends outputs, where Ringside is started as root; 0: its own. "               \
	  "Files are written as the owner of their directory.")                                    \
	S(capture_output_allow_private, "capture.output_allow_private", text, "", 0, 8192,         \
	  WORKERS,                                                                                 \
	  "Hosts whose address may be loopback, private, multicast or link-local when "            \
	  "outputs that are added over HTTP name them: HOST, HOST:PORT, or * for all "             \
	  "that are not link-local.")                                                              \
	S(capture_free_bytes, "capture.free_bytes", bytes, "256M", 0, 1ull << 60, WORKERS,         \
	  "An HLS or file output ends while its file system has less room than this.")             \
	S(capture_ffmpeg, "capture.ffmpeg", text, "/usr/bin/ffmpeg", 2, 3900, WORKERS,             \
	  "Path of ffmpeg.")                                                                       \
	S(capture_sound, "capture.sound", text, "/usr/bin/pulseaudio", 0, 3900, WORKERS,           \
	  "Path of PulseAudio, which carries what pages play to outputs and viewers; "             \
	  "empty, or nothing there: they are silent.")                                             \
	S(capture_sessions, "capture.sessions", count, "4", 1, 64, WORKERS,                        \
	  "Browser sessions at once; opening more gets 503.")                                      \
	S(capture_browser, "capture.browser", text, "", 0, 3900, WORKERS,                          \
	  "Path of the browser, or chromium for full Chromium; empty: "                            \
	  "chromium-headless-shell. Without one the health says browser_missing.")                 \
	S(capture_browser_arguments, "capture.browser_arguments", text, "", 0, 1024, WORKERS,      \
	  "Further arguments of the browser's command line, parted by blanks: of a list "          \
	  "(docs/capture.md), none that would open what keeps a page in.")                         \
	S(capture_browser_uids, "capture.browser_uids", text, "59000-59063", 0, 31, WORKERS,       \
	  "Started as root, browsers run as uids of this range FIRST-LAST, no two as "             \
	  "one; empty: as root, which the browser refuses with its sandbox on.")                   \
	S(capture_profile_dir, "capture.profile_dir", text, "/tmp", 1, 3000, WORKERS,              \
	  "Directory in which each browser gets its profile directory, removed after "             \
	  "it.")                                                                                   \
	S(capture_page_memory, "capture.page_memory", bytes, "1G", 0, 16ull << 30, WORKERS,        \
	  "JavaScript's heap of a page; one that wants more is ended (target_crashed) "            \
	  "and loaded anew. 0: what the browser thinks fit, 2 to 4 GB. Half of the "               \
	  "control group's memory limit where that is less.")                                      \
	S(capture_no_sandbox, "capture.no_sandbox", flag, "false", 0, 1, WORKERS,                  \
	  "Run browsers without their sandbox. Unsafe, and reported as such.")                     \
	S(capture_allow_hosts, "capture.allow_hosts", text, "", 0, 8192, WORKERS,                  \
	  "Hosts that every page may reach besides its own: HOST (ports 80 and 443) or "           \
	  "HOST:PORT, comma-separated.")                                                           \
	S(capture_allow_private, "capture.allow_private", text, "", 0, 8192, WORKERS,              \
	  "Allowed hosts whose address may be loopback, private or link-local: HOST "              \
	  "(each port), HOST:PORT, or * for all that are not link-local. Others are "              \
	  "refused.")                                                                              \
	S(capture_quality, "capture.quality", count, "80", 1, 100, WORKERS,                        \
	  "JPEG quality of pictures.")                                                             \
	S(capture_idle_fps, "capture.idle_fps", count, "2", 0, 60, WORKERS,                        \
	  "Pictures a second while nobody wants more: what health needs.")                         \
	S(capture_message_bytes, "capture.message_bytes", bytes, "16M", 1 << 20, 1 << 28, WORKERS, \
	  "Largest message of a browser, a picture among them; a larger one ends it.")             \
	S(capture_probe_ms, "capture.probe_every", ms, "1s", 100, 60000, WORKERS,                  \
	  "How often the browser itself is asked how it is.")                                      \
	S(capture_silent_ms, "capture.silent_after", ms, "3s", 500, 600000, WORKERS,               \
	  "A browser that owes an answer this long is replaced (browser_silent).")                 \
	S(capture_hang_ms, "capture.hang_after", ms, "3s", 1500, 600000, WORKERS,                  \
	  "No heartbeat of the page for this long: its script is ended (hang).")                   \
	S(capture_freeze_ms, "capture.freeze_after", ms, "3s", 1500, 600000, WORKERS,              \
	  "No animation frames for this long: the page is loaded again (freeze).")                 \
	S(capture_frozen_ms, "capture.frozen_after", ms, "10s", 1000, 3600000, WORKERS,            \
	  "The same picture for this long in a live phase: the page is loaded again "              \
	  "(frozen_frame).")                                                                       \
	S(capture_first_frame_ms, "capture.first_frame_timeout", ms, "8s", 1000, 600000, WORKERS,  \
	  "From the first heartbeat to the first picture (no_first_frame).")                       \
	S(capture_load_ms, "capture.load_timeout", ms, "30s", 1000, 3600000, WORKERS,              \
	  "What a page gets to load before the next step is taken.")                               \
	S(capture_not_ready_ms, "capture.not_ready_timeout", ms, "5m", 1000, 86400000, WORKERS,    \
	  "How long a page may say that it is not ready before it is loaded again.")               \
	S(capture_gpu_losses, "capture.gpu_losses", count, "3", 1, 1000, WORKERS,                  \
	  "Lost GPU processes of one browser after which the browser is replaced.")                \
	S(capture_restart_delay_min_ms, "capture.restart_delay_min", ms, "500ms", 1, 60000,        \
	  WORKERS, "Delay before the second new browser in a row; doubles.")                       \
	S(capture_restart_delay_max_ms, "capture.restart_delay_max", ms, "30s", 1, 3600000,        \
	  WORKERS, "Longest delay before a new browser.")                                          \
	S(capture_restart_stable_ms, "capture.restart_stable", ms, "30s", 100, 86400000, WORKERS,  \
	  "Healthy this long: the next new browser counts as the first.")                          \
	S(capture_restart_limit, "capture.restart_limit", count, "8", 1, 1000, WORKERS,            \
	  "New browsers in a row after which a render session fails; the feed's own "              \
	  "never does.")                                                                           \
	S(capture_rotate_ms, "capture.rotate_every", ms, "1h", 0, 604800000, WORKERS,              \
	  "A browser this old is replaced by a fresh one without a gap; 0: never.")                \
	S(sessions_max, "sessions.max", count, "4", 0, 64, WORKERS,                                \
	  "Render sessions at once; more get 503. capture.sessions counts them too.")              \
	S(sessions_per_principal, "sessions.per_principal", count, "2", 1, 64, WORKERS,            \
	  "Render sessions of one principal (token); more get 429.")                               \
	S(sessions_idle_timeout_ms, "sessions.idle_timeout", ms, "5m", 100, 86400000, WORKERS,     \
	  "A render session ends so long after its last consumer left or did something.")          \
	S(sessions_lifetime_ms, "sessions.lifetime", ms, "4h", 1000, 604800000, WORKERS,           \
	  "A render session ends after this, whoever follows it.")                                 \
	S(sessions_remember_ms, "sessions.remember", ms, "10m", 0, 604800000, WORKERS,             \
	  "So long an ended session answers with 410 instead of 404.")                             \
	S(sessions_state_interval_ms, "sessions.state_interval", ms, "100ms", 10, 60000, WORKERS,  \
	  "State patches of a session are at least this far apart; the first leaves at once.")     \
	S(sessions_state_bytes, "sessions.state_bytes", bytes, "64k", 1024, 262144, WORKERS,       \
	  "State that a page may publish; a larger one is not taken, and the state says so.")      \
	S(sessions_replay_bytes, "sessions.replay_bytes", bytes, "256k", 4096, 64 << 20, WORKERS,  \
	  "Events kept for clients that come back; who is further behind gets a snapshot.")        \
	S(sessions_inputs, "sessions.inputs", count, "200", 1, 100000, WORKERS,                    \
	  "Inputs and signals to a page within a second; more get 429.")                           \
	S(sessions_signals, "sessions.signals", count, "256", 1, 65536, WORKERS,                   \
	  "Signals to clients that may wait for the disk; more get 503.")                          \
	S(sessions_validate_url, "sessions.validate_url", secret_url, "", 0, 2048, WORKERS,        \
	  "Asked by a signed POST whether a client may create or follow a session; "               \
	  "decides instead of tokens. Empty: tokens decide.")                                      \
	S(sessions_validate_timeout_ms, "sessions.validate_timeout", ms, "5s", 100, 60000,         \
	  WORKERS, "Longest wait for its answer; then 503.")                                       \
	S(sessions_error_url, "sessions.error_url", secret_url, "", 0, 2048, WORKERS,              \
	  "Told by a signed POST when a session's page is in error. Empty: nobody is.")            \
	S(sessions_base_path, "sessions.base_path", text, "", 0, 128, WORKERS,                     \
	  "Sessions are found below this path too (/render: /render/stream/ID), and every "        \
	  "Location says so: for a proxy that hands paths on as they are. Empty: at /stream.")     \
	S(sessions_preview_fps, "sessions.preview_fps", count, "5", 1, 20, WORKERS,                \
	  "Pictures a second for each who looks at a session's MJPEG.")                            \
	S(sessions_viewers, "sessions.viewers", count, "4", 0, 16, WORKERS,                        \
	  "Viewers of a session by WebRTC; more get 503. Each costs an encoder.")                  \
	S(sessions_ice_servers, "sessions.ice_servers", secret, "", 0, 1024, WORKERS,              \
	  "STUN and TURN servers of sessions and their viewers, by UDP: "                          \
	  "stun:HOST[:PORT], turn:HOST[:PORT]|USER|PASSWORD, with blanks between them.")           \
	S(sessions_negotiations, "sessions.negotiations", count, "50", 1, 10000, WORKERS,          \
	  "Offers, answers and changes of a session's WebRTC within a second; more get 429.")      \
	S(sessions_width, "sessions.width", count, "0", 0, 3840, WORKERS,                          \
	  "Width of a session's page where its order names none, 16 or more, even; 0: "            \
	  "1280, 1920 where stream-kit-web orders.")                                               \
	S(sessions_height, "sessions.height", count, "0", 0, 2160, WORKERS,                        \
	  "Its height, 16 or more, even; 0: 720, 1080 where stream-kit-web orders.")               \
	S(conversations_max, "conversations.max", count, "100000", 0, 10000000, LIVE,              \
	  "Conversations (/sessions) in the store; creating more gets 507.")                       \
	S(conversations_message_bytes, "conversations.message_bytes", bytes, "1000000", 1024,      \
	  16 << 20, LIVE, "Body of a request to /v1/sessions/; larger gets 413.")                  \
	S(conversations_receipts, "conversations.receipts", count, "256", 16, 1024, LIVE,          \
	  "Messages of a conversation whose ids are remembered: sent again they are known, "       \
	  "and a fork can begin behind them.")                                                     \
	S(conversations_queue, "conversations.queue", count, "256", 1, 65536, LIVE,                \
	  "Requests of one conversation that may wait for its disk write; more get 503.")          \
	S(conversations_devices, "conversations.devices", count, "64", 1, 1024, LIVE,              \
	  "Devices that may be present in a conversation; more get 429.")                          \
	S(conversations_generation_timeout_ms, "conversations.generation_timeout", ms, "5m", 100,  \
	  86400000, LIVE, "An answer that got no piece for this long gives way to the next.")      \
	S(conversations_lease_ms, "conversations.lease", ms, "30s", 1000, 600000, LIVE,            \
	  "How long an agent that was given a conversation has it without saying anything, "       \
	  "where it does not ask for another time.")                                               \
	S(conversations_agents, "conversations.agents", count, "16", 1, 64, LIVE,                  \
	  "Agents with an endpoint that may be registered in a conversation; more get 429.")       \
	S(conversations_invocations, "conversations.invocations", count, "32", 0, 1000, LIVE,      \
	  "Endpoints of registered agents that a worker asks at a time; the rest waits.")          \
	S(conversations_invocation_timeout_ms, "conversations.invocation_timeout", ms, "5m", 1000, \
	  3600000, LIVE, "How long the whole answer of an endpoint may take.")                     \
	S(connections_max, "connections.max", count, "100000", 0, 10000000, LIVE,                  \
	  "Connections (/api/chat/events) in the store, open or waiting; more get 503.")           \
	S(connections_per_login, "connections.per_login", count, "1000", 0, 10000000, LIVE,        \
	  "The same of one login; more get 429. 0: as many as connections.max. What other "        \
	  "workers open or end is counted within half of connections.expiry.")                     \
	S(connections_sessions, "connections.sessions", count, "64", 1, 256, LIVE,                 \
	  "Conversations that one connection watches; more get 429, and a reconnect with "         \
	  "more 413.")                                                                             \
	S(connections_reconnect_bytes, "connections.reconnect_bytes", bytes, "64k", 1024, 1 << 20, \
	  LIVE, "Body of a request about what a connection watches; larger gets 413.")             \
	S(connections_expiry_ms, "connections.expiry", ms, "60s", 100, 86400000, LIVE,             \
	  "How long a connection without a stream is kept, with what it watches.")                 \
	S(connections_suspend_grace_ms, "connections.suspend_grace", ms, "2m", 100, 86400000,      \
	  LIVE, "The same of one whose client said that it goes to sleep.")                        \
	S(connections_takeovers, "connections.takeovers", count, "8", 1, 1000000, LIVE,            \
	  "Times within connections.takeover_window that a connection's open stream may be "       \
	  "replaced; then whoever comes gets a connection of its own.")                            \
	S(connections_takeover_window_ms, "connections.takeover_window", ms, "10s", 100, 3600000,  \
	  LIVE, "See connections.takeovers.")                                                      \
	S(connections_replay_rate, "connections.replay_rate", bytes, "4M", 0, 1 << 30, LIVE,       \
	  "Bytes a second that a connection is handed, a second's worth and a piece "              \
	  "ahead; 0: as many as it takes.")                                                        \
	S(hub_listen, "hub.listen", text, "", 0, 512, START,                                       \
	  "Further addresses to serve on, as those of listen: where agents and dashboards "        \
	  "look for the hub (127.0.0.1:31415). Empty: none.")                                      \
	S(hub_node_ttl_ms, "hub.node_ttl", ms, "30s", 100, 31536000000, LIVE,                      \
	  "How long an agent without a socket stays in the roster, offline.")                      \
	S(hub_agents_max, "hub.agents_max", count, "10000", 1, 1000000, LIVE,                      \
	  "Agents in the roster; registering more is refused.")                                    \
	S(hub_allow_private, "hub.allow_private", text, "", 0, 4096, LIVE,                         \
	  "Hosts, or HOST:PORT, of agents that may be at private addresses, with commas; * for "   \
	  "all. Others are reached at public addresses only, under dev on loopback too.")          \
	S(hub_connect_timeout_ms, "hub.connect_timeout", ms, "5s", 100, 300000, LIVE,              \
	  "How long an agent may take until its WebSocket is open for a dashboard.")               \
	S(hub_frame_bytes, "hub.frame_bytes", bytes, "1M", 1024, 16 << 20, LIVE,                   \
	  "A frame between an agent and a dashboard; longer ones end it with 1009.")               \
	S(hub_message_bytes, "hub.message_bytes", bytes, "16M", 1024, 1 << 30, LIVE,               \
	  "A message of them, of however many frames; longer ones end it with 1009.")              \
	S(hub_dashboards_max, "hub.dashboards_max", count, "1000", 1, 100000, LIVE,                \
	  "Dashboards of one worker that are led to one agent; more are refused.")                 \
	S(hub_roots, "hub.roots", text, "", 0, 4096, WORKERS,                                      \
	  "Directories, with commas, below which whoever may spawn sees directories and "          \
	  "starts programs of hub.commands. Empty: nobody does.")                                  \
	S(hub_commands, "hub.commands", text, "", 0, 4096, LIVE,                                   \
	  "Programs that may be started there, with commas: NAME=/PATH ARGUMENT..., as they "      \
	  "are, by no shell. The first is what is started where none is named. Empty: none.")      \
	S(hub_commands_user, "hub.commands_user", text, "", 0, 64, LIVE,                           \
	  "Started as root, they run as this user, and are not started without one.")              \
	S(hub_commands_max, "hub.commands_max", count, "16", 1, 1000, LIVE,                        \
	  "So many of them run at a time.")                                                        \
	S(hub_directories_max, "hub.directories_max", count, "1000", 1, 100000, LIVE,              \
	  "Names that a list of directories has; of more it says truncated.")                      \
	S(ws_subscriptions, "ws.subscriptions", count, "16", 1, 256, LIVE,                         \
	  "Subscriptions of one socket at /v1/ws; a further one gets 429.")                        \
	S(ws_appends, "ws.appends", count, "64", 1, 1024, LIVE,                                    \
	  "Appends of one socket at /v1/ws in flight: from so many on nothing more is read "       \
	  "of it.")                                                                                \
	S(ws_message_bytes, "ws.message_bytes", bytes, "1M", 1024, 64 << 20, LIVE,                 \
	  "A message to /v1/ws, unpacked; a longer one ends it with 1009. So many bytes of "       \
	  "appends may be in flight.")                                                             \
	S(ws_compression, "ws.compression", flag, "false", 0, 1, LIVE,                             \
	  "permessage-deflate at /v1/ws, for clients that offer it (RFC 7692).")                   \
	S(call_timeout_ms, "call.timeout", ms, "10s", 100, 300000, WORKERS,                        \
	  "Longest wait for another worker's answer to a request; then 503.")                      \
	S(call_queue_bytes, "call.queue_bytes", bytes, "8M", 2 << 20, 1 << 30, WORKERS,            \
	  "Bytes of small messages that may wait to be sent to one other worker, and of "          \
	  "those above 64k that it may have not done with; what is beyond gets 503.")              \
	S(feeds_scheduled, "feeds.scheduled", text, "arena", 0, 4096, WORKERS,                     \
	  "Feeds whose duels Ringside begins and times: names, comma-separated.")                  \
	S(feeds_source_driven, "feeds.source_driven", text, "", 0, 4096, WORKERS,                  \
	  "Feeds whose game changes the phases itself: names, comma-separated.")                   \
	S(feeds_queue, "feeds.queue", count, "256", 1, 65536, WORKERS,                             \
	  "Posts of a game that may wait for the disk; more get 503.")                             \
	S(feeds_source_silence_ms, "feeds.source_silence", ms, "30s", 0, 86400000, WORKERS,        \
	  "In a fight, how long a game may say nothing before its duel is cancelled "              \
	  "(source_silent) and stakes go back: any post counts, or one of kind alive. "            \
	  "Half of it makes the feed's rendererHealth say so. 0: for ever.")                       \
	S(feeds_count_standings, "feeds.count_standings", flag, "false", 0, 1, WORKERS,            \
	  "Where a game says nothing of a contestant's wins, losses, rank and head to head, "      \
	  "frames of versions 1 and 2 have what is counted here.")                                 \
	S(feeds_standings_contestants, "feeds.standings_contestants", count, "4096", 2, 65536,     \
	  WORKERS,                                                                                 \
	  "Contestants of a feed that are counted; beyond, whose last duel is longest ago is "     \
	  "forgotten.")                                                                            \
	S(feeds_standings_pairs, "feeds.standings_pairs", count, "16384", 1, 1000000, WORKERS,     \
	  "The same of pairs of them, for the head to head.")                                      \
	S(feeds_standings_listed, "feeds.standings_listed", count, "100", 1, 1000, WORKERS,        \
	  "So many of the best GET /v1/feeds/FEED/standings has.")                                 \
	S(feeds_spectator_delay_ms, "feeds.spectator_delay", ms, "0", 0, 3600000, WORKERS,         \
	  "How much later than betting services spectators see a feed: all that is read "          \
	  "without the right frames on it.")                                                       \
	S(feeds_frames_by_read, "feeds.frames_by_read", flag, "false", 0, 1, WORKERS,              \
	  "The old way: read on /v1/stream/feeds/FEED/frames is enough for it. Else it takes "     \
	  "frames on the feed, too. Says nothing with feeds.spectator_delay.")                     \
	S(duel_announcement_ms, "duel.announcement", ms, "60s", 10, 86400000, WORKERS,             \
	  "How long a duel is announced and bets are open.")                                       \
	S(duel_countdown_ms, "duel.countdown", ms, "4s", 10, 3600000, WORKERS,                     \
	  "From the end of the announcement to the fight.")                                        \
	S(duel_fight_ms, "duel.fight", ms, "270s", 10, 86400000, WORKERS,                          \
	  "Longest fight; then duel.end_warning, then points decide.")                             \
	S(duel_end_warning_ms, "duel.end_warning", ms, "15s", 0, 3600000, WORKERS,                 \
	  "Tail of the fight in which viewers are warned of its end.")                             \
	S(duel_resolution_ms, "duel.resolution", ms, "10s", 10, 3600000, WORKERS,                  \
	  "How long a result is shown.")                                                           \
	S(duel_pause_ms, "duel.pause", ms, "2s", 0, 86400000, WORKERS, "Between two duels.")       \
	S(duel_prep_timeout_ms, "duel.prep_timeout", ms, "30s", 0, 3600000, WORKERS,               \
	  "Longest wait after the announcement for the contestants to stand in the "               \
	  "arena; then the duel is cancelled.")                                                    \
	S(duel_grace_ms, "duel.grace", ms, "5s", 0, 3600000, WORKERS,                              \
	  "After a start or a pause of the bridge no time-out ends a fight for so "                \
	  "long: what happened meanwhile may be on its way.")                                      \
	S(health_stale_ms, "health.stale_after", ms, "15s", 500, 3600000, WORKERS,                 \
	  "A renderer that has said nothing for so long is not ready "                             \
	  "(renderer_health_stale).")                                                              \
	S(health_phase_grace_ms, "health.phase_grace", ms, "1500ms", 0, 60000, WORKERS,            \
	  "So long after a change of phase the page may still show the one before.")               \
	S(health_status_dir, "health.status_dir", text, "", 0, 3900, WORKERS,                      \
	  "Directory with FEED.json of an external renderer, which then speaks for the "           \
	  "picture instead of the capture worker; empty: none.")                                   \
	S(health_status_every_ms, "health.status_every", ms, "1s", 50, 60000, WORKERS,             \
	  "How often that file is looked at.")                                                     \
	S(market_operator, "market.operator", text, "ledger", 0, 16, WORKERS,                      \
	  "Who keeps the markets: ledger (inside), webhook (market.webhook_url), solana "          \
	  "(solana.rpc_url), or empty: no markets. A market stays with the one it was "            \
	  "created with.")                                                                         \
	S(market_webhook_url, "market.webhook_url", secret_url, "", 0, 2048, WORKERS,              \
	  "Where the webhook operator is asked; https, or http on loopback.")                      \
	S(market_webhook_timeout_ms, "market.webhook_timeout", ms, "10s", 100, 300000, WORKERS,    \
	  "Longest wait for its answer.")                                                          \
	S(market_retry_min_ms, "market.retry_min", ms, "1s", 10, 600000, WORKERS,                  \
	  "First delay after a failed step; doubles, spread by a fifth.")                          \
	S(market_retry_max_ms, "market.retry_max", ms, "60s", 10, 86400000, WORKERS,               \
	  "Longest delay after a failed step.")                                                    \
	S(market_retry_after_max_ms, "market.retry_after_max", ms, "5m", 0, 86400000, WORKERS,     \
	  "As long a Retry-After of the webhook operator is honoured; 0: none.")                   \
	S(market_attempts_max, "market.attempts_max", count, "16", 1, 1000, WORKERS,               \
	  "Failed attempts of a step after which a person is needed (manual_review).")             \
	S(solana_rpc_url, "solana.rpc_url", secret_url, "", 0, 2048, WORKERS,                      \
	  "JSON-RPC node that the solana operator asks; https, or http on loopback.")              \
	S(solana_key, "solana.key", secret_lines, "", 0, 1024, WORKERS,                            \
	  "Key pair that signs and pays: reporter and finalizer of the oracle, operator of "       \
	  "the market. 64 numbers in [], as solana-keygen writes them, or base58; best as "        \
	  "solana.key_file, a file of mode 0600.")                                                 \
	S(solana_oracle_program, "solana.oracle_program", text, "", 0, 44, WORKERS,                \
	  "Address of the program that keeps duels and results.")                                  \
	S(solana_market_program, "solana.market_program", text, "", 0, 44, WORKERS,                \
	  "Address of the program that keeps their markets.")                                      \
	S(solana_commitment, "solana.commitment", text, "finalized", 9, 9, WORKERS,                \
	  "When a create or lock counts: finalized, or confirmed, which is sooner. What "          \
	  "settles a market counts at finalized only.")                                            \
	S(solana_compute_units, "solana.compute_units", count, "0", 0, 1400000, WORKERS,           \
	  "Compute units that a transaction may use; 0: as many as the network gives it.")         \
	S(solana_compute_price, "solana.compute_price", count, "0", 0, 1000000000, WORKERS,        \
	  "Priority fee in millionths of a lamport for each compute unit; doubles with each "      \
	  "transaction of a step that expired. 0: none.")                                          \
	S(solana_fee_max, "solana.fee_max", count, "100000", 5000, 1000000000, WORKERS,            \
	  "Most lamports that one transaction pays in fees: the priority fee is cut to it.")       \
	S(solana_balance_min, "solana.balance_min", count, "100000000", 0, 1000000000000000,       \
	  WORKERS, "Fewer lamports of whoever pays are an alert.")                                 \
	S(solana_balance_every_ms, "solana.balance_every", ms, "60s", 100, 86400000, WORKERS,      \
	  "How often they are asked for.")                                                         \
	S(solana_timeout_ms, "solana.timeout", ms, "10s", 100, 300000, WORKERS,                    \
	  "Longest wait for an answer of the node.")                                               \
	S(solana_poll_ms, "solana.poll", ms, "1s", 10, 60000, WORKERS,                             \
	  "How often the status of a transaction is asked for; what the cluster does not "         \
	  "know after four times is sent again as it is.")                                         \
	S(solana_watch_ms, "solana.watch", ms, "10s", 100, 3600000, WORKERS,                       \
	  "How often a proposed result is looked at until it may be finalized.")                   \
	S(solana_parallel, "solana.parallel", count, "8", 1, 256, WORKERS,                         \
	  "Questions to the node at a time; more wait.")                                           \
	S(market_active_max, "market.active_max", count, "256", 1, 1024, WORKERS,                  \
	  "Markets that are not settled; a duel beyond is cancelled at once, with an alert.")      \
	S(market_resolution_delay_ms, "market.resolution_delay", ms, "0", 0, 86400000, WORKERS,    \
	  "How long after its outcome was seen a market is settled: a second, different "          \
	  "outcome within it brings the market to a person.")                                      \
	S(market_keep_ms, "market.keep", ms, "7d", 0, 3153600000000, WORKERS,                      \
	  "A settled market, its bets with their Idempotency-Keys and its signed "                 \
	  "result are kept so long, then asked for in vain (404); balances stay. 0: "              \
	  "for ever.")                                                                             \
	S(market_queue, "market.queue", count, "4096", 1, 1000000, WORKERS,                        \
	  "Bets and other requests that may wait for the disk; more get 503.")                     \
	S(ledger_fee_ppm, "ledger.fee_ppm", count, "0", 0, 500000, WORKERS,                        \
	  "Fee on the pool of a duel that was won, millionths; for markets created "               \
	  "from then on.")                                                                         \
	S(ledger_grant, "ledger.grant", count, "100000", 0, 9007199254740991, WORKERS,             \
	  "Units a new account gets where its opening names no grant.")                            \
	S(ledger_grant_max, "ledger.grant_max", count, "1000000000", 0, 9007199254740991, WORKERS, \
	  "Largest grant at an opening; more gets 422.")                                           \
	S(ledger_accounts_max, "ledger.accounts_max", count, "1000000", 1, 1000000000, WORKERS,    \
	  "Accounts; more get 507.")                                                               \
	S(ledger_bets_per_market, "ledger.bets_per_market", count, "100000", 1, 10000000, WORKERS, \
	  "Bets on one duel; more get 409.")                                                       \
	S(webhook_timeout_ms, "webhook.timeout", ms, "10s", 100, 300000, WORKERS,                  \
	  "Longest webhook delivery.")                                                             \
	S(webhook_retry_min_ms, "webhook.retry_min", ms, "1s", 10, 600000, WORKERS,                \
	  "First delay after a failed delivery; doubles, spread by a fifth.")                      \
	S(webhook_retry_max_ms, "webhook.retry_max", ms, "60s", 10, 86400000, WORKERS,             \
	  "Longest delay after a failed delivery.")                                                \
	S(webhook_retry_after_max_ms, "webhook.retry_after_max", ms, "1h", 0, 86400000, WORKERS,   \
	  "As long a Retry-After of a receiver is honoured; 0: none.")                             \
	S(webhook_allow_private, "webhook.allow_private", text, "", 0, 8192, WORKERS,              \
	  "Hosts whose address may be loopback, private or link-local when "                       \
	  "subscriptions name them for their webhooks: HOST, HOST:PORT, or * for all "             \
	  "that are not link-local.")                                                              \
	S(webhook_parallel, "webhook.parallel", count, "64", 1, 1000, WORKERS,                     \
	  "Deliveries in flight.")
