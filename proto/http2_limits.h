/* What one connection of HTTP/2 may do within a time that costs it nothing and us something: every
 * such limit, declared once (RFC 9113 10.5). Beyond it the connection ends with GOAWAY,
 * ENHANCE_YOUR_CALM and the setting's name; counted as ringside_http2_calmed_total{limit=...}.
 *
 *   H(NAME, label, setting, key, said)
 *     label    of the metric
 *     setting  its member of struct settings: so many within HTTP2_WINDOW_MS
 *     key      its name, as the client is told */
#pragma once

enum { HTTP2_WINDOW_MS = 10000 };

#define HTTP2_LIMITS(H)                                                                            \
	/* Streams that the client resets, or that end because of its mistakes. */                 \
	H(RESETS, resets, http2_resets, "http2.resets")                                            \
	H(SETTINGS, settings, http2_settings_frames, "http2.settings_frames")                      \
	H(PINGS, pings, http2_pings, "http2.pings")                                                \
	/* CONTINUATION; of one header block nghttp2 takes eight. */                               \
	H(CONTINUATIONS, continuations, http2_continuations, "http2.continuations")                \
	/* That carry nothing: DATA without bytes, PRIORITY. */                                    \
	H(EMPTY_FRAMES, empty_frames, http2_empty_frames, "http2.empty_frames")                    \
	/* WINDOW_UPDATE beyond two for each DATA frame that it was sent. */                       \
	H(WINDOW_UPDATES, window_updates, http2_window_updates, "http2.window_updates")            \
	/* DATA frames that its windows make small. */                                             \
	H(TINY_WINDOWS, tiny_windows, http2_tiny_windows, "http2.tiny_windows")                    \
	/* Requests whose fields are more than limits.header_bytes. */                             \
	H(HEADER_BOMBS, header_bombs, http2_header_bombs, "http2.header_bombs")
