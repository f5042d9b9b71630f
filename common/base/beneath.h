/* Opening what lies below a directory, whoever changes it meanwhile: neither "..", nor a link, nor
 * a mount of /proc leads out (openat2(2), Linux 5.6). Safe between fork and exec. */
#pragma once

/* `path` relative, "" the directory itself; `flags` as of open(2), and O_CLOEXEC is added. A
 * symbolic link is followed as long as it stays below `root`. Blocks as the file system does. -1
 * with errno: EXDEV or ELOOP, it leads out; ENOSYS, this system cannot. */
int beneath_open(int root, const char *path, int flags);
