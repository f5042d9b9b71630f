#include "supervisor/medium.h"

#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

/* Not all of these are in linux/magic.h; statfs(2) lists them. */
enum { CIFS_MAGIC = 0xff534d42, SMB2_MAGIC = 0xfe534d42 };

static const char gone_with_machine[] = "it is memory: what is acknowledged survives a killed "
                                        "process, and is lost when the machine or the container "
                                        "restarts";
static const char gone_with_container[] = "it is the container's own layer: what is acknowledged "
                                          "is lost with the container; mount a volume here";
static const char elsewhere[] = "it is not a local file system: locks and shared maps may not "
                                "hold, and acknowledged is as durable as its "
                                "server makes it";

static const struct {
	long type;
	struct medium medium;
} rows[] = {
        {TMPFS_MAGIC, {"tmpfs", gone_with_machine}},
        {RAMFS_MAGIC, {"ramfs", gone_with_machine}},
        {OVERLAYFS_SUPER_MAGIC, {"overlay", gone_with_container}},
        {NFS_SUPER_MAGIC, {"nfs", elsewhere}},
        {SMB_SUPER_MAGIC, {"smb", elsewhere}},
        {(long)CIFS_MAGIC, {"cifs", elsewhere}},
        {(long)SMB2_MAGIC, {"smb2", elsewhere}},
        {FUSE_SUPER_MAGIC, {"fuse", elsewhere}},
        {V9FS_MAGIC, {"9p", elsewhere}},
        {CEPH_SUPER_MAGIC, {"ceph", elsewhere}},
        {AFS_SUPER_MAGIC, {"afs", elsewhere}},
};

bool medium_is_doubtful(long type, struct medium *medium)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (((unsigned long)rows[i].type & 0xffffffff) ==
		    ((unsigned long)type & 0xffffffff)) {
			*medium = rows[i].medium;
			return true;
		}
	return false;
}

bool medium_of_path_is_doubtful(const char *path, struct medium *medium)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && medium_is_doubtful((long)fs.f_type, medium);
}
