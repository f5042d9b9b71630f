/* Every setting, declared once. Struct, parser, bounds, --help, RINGSIDE_* variable, reference page,
 * reload rules and `check-config` come from this table.
 *
 * S(name, type, default, min, max, when, help)
 *   name     section_key: "limits.body_bytes" in the file is limits__body_bytes here
 *   type     text | flag | count | bytes | ms | list (of text, newline-separated inside)
 *   default  as one would write it in the file; bytes take k, M, G; ms take ms, s, m, h, d
 *   min,max  bounds in the type's unit; text: length
 *   when     LIVE: at once on reload; WORKERS: restarts workers one by one; START: next start
 */
#pragma once

#define SETTINGS(S)                                                                                \
	S(listen, text, "127.0.0.1:4437", 1, 255, START, "Address and port to serve on, HOST:PORT.")      \
	S(dev, flag, "false", 0, 1, START,                                                         \
	  "Development: no authentication, loopback addresses only.")                               \
	S(data_dir, text, "/var/lib/ringside", 1, 4000, START,                                     \
	  "Directory of the durable store. A local file system, not NFS or overlayfs.")             \
	S(run_dir, text, "/run/ringside", 1, 80, START, "Directory of the admin socket and pid file.")    \
	S(sse_workers, text, "auto", 1, 8, LIVE,                                                   \
	  "Number of SSE workers, or auto: one per CPU that affinity and the cgroup quota allow.")
