/* Files, what is durable of them, and states (volume.h). */
#include "tests/crash/volume.h"
#include "common/base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = 64,
	NAMES_MAX = 256,
	NAME_MAX_BYTES = 24,
	CONTROLS_MAX = 1 << 15,
	SECTOR_SHIFT = 9,
	PAGE_SHIFT = 12,
	ROOM_MIN = 4 << 20,
	PATH_ROOM = 600,
};

/* A write that no sync has covered yet. */
struct pending {
	uint64_t at, bytes;
	const uint8_t *data;
	int begun, ended; /* events; INT_MAX: never */
	bool clean;       /* a sync failed: the kernel does not try again */
};

struct file {
	uint64_t inode; /* 0: of the base, not opened yet */
	char name[NAME_MAX_BYTES];
	uint8_t *durable;
	size_t room, durable_bytes, bytes; /* bytes: with all that is pending */
	struct pending *pending;
	int count, pending_room;
};

/* A name comes to stand for a file, and another is gone. */
struct naming {
	int at;
	char name[NAME_MAX_BYTES], gone[NAME_MAX_BYTES];
	int file; /* -1: none any more */
};

static struct {
	struct file files[FILES_MAX];
	int files_count;
	struct naming namings[NAMES_MAX];
	int namings_count, namings_durable;
	uint64_t inode, above_inode;
	bool there; /* its name in the directory above is durable */
	const struct trace_item *controls[CONTROLS_MAX];
	int controls_count;
	const char *weak;
} volume;

static const char *const policy_names[VOLUME_POLICIES] = {
        [VOLUME_NONE] = "none",
        [VOLUME_ALL] = "all",
        [VOLUME_RANDOM] = "random",
        [VOLUME_MOST] = "most",
        [VOLUME_FEW] = "few",
        [VOLUME_PAGES] = "pages",
        [VOLUME_NEWEST] = "newest",
        [VOLUME_OLDEST] = "oldest",
        [VOLUME_RING] = "ring",
        [VOLUME_ROWS] = "rows",
        [VOLUME_ALL_BUT_ONE] = "all-but-one",
        [VOLUME_HEADS] = "heads",
        [VOLUME_WHOLE] = "whole",
};

const char *volume_policy_name(enum volume_policy policy)
{
	return policy_names[policy];
}

void volume_weaken(const char *file)
{
	volume.weak = file;
}

/* ---- files ---- */

static const char *leaf(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

/* Not kept by anybody's promise. */
static bool is_volatile(const char *name)
{
	return strcmp(name, "control") == 0 || strcmp(name, "lock.mdb") == 0 ||
	       strcmp(name, "open.lock") == 0 || strcmp(name, "ringside.lock") == 0;
}

static struct file *by_inode(uint64_t inode)
{
	for (int i = 0; i < volume.files_count; i++)
		if (volume.files[i].inode == inode)
			return &volume.files[i];
	return NULL;
}

static void make_room(struct file *file, size_t bytes)
{
	if (file->room >= bytes)
		return;
	size_t room = bytes * 2 > ROOM_MIN ? bytes * 2 : ROOM_MIN;
	file->durable = xrealloc(file->durable, room);
	memset(file->durable + file->room, 0, room - file->room);
	file->room = room;
}

static void add_pending(struct file *file, struct pending pending)
{
	if (file->count == file->pending_room) {
		file->pending_room = file->pending_room * 2 + 64;
		file->pending =
		        xrealloc(file->pending, (size_t)file->pending_room * sizeof *file->pending);
	}
	file->pending[file->count++] = pending;
}

static void settle(struct file *file, const struct pending *pending)
{
	size_t end = pending->at + pending->bytes;
	make_room(file, end);
	memcpy(file->durable + pending->at, pending->data, pending->bytes);
	if (file->durable_bytes < end)
		file->durable_bytes = end;
}

static void set_name(int at, const char *name, const char *gone, int file)
{
	check(volume.namings_count < NAMES_MAX);
	struct naming *naming = &volume.namings[volume.namings_count++];
	*naming = (struct naming){.at = at, .file = file};
	snprintf(naming->name, sizeof naming->name, "%s", name);
	snprintf(naming->gone, sizeof naming->gone, "%s", gone);
}

static struct file *add_file(uint64_t inode, const char *name, int at)
{
	check(volume.files_count < FILES_MAX);
	struct file *file = &volume.files[volume.files_count++];
	*file = (struct file){.inode = inode};
	snprintf(file->name, sizeof file->name, "%s", name);
	set_name(at, name, "", volume.files_count - 1);
	make_room(file, 1);
	return file;
}

/* ---- the beginning ---- */

static uint8_t *read_whole(const char *dir, const char *name, size_t *bytes)
{
	char path[PATH_ROOM];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && fstat(fd, &st) == 0);
	uint8_t *at = xmalloc((size_t)st.st_size + 1);
	check(read(fd, at, (size_t)st.st_size) == st.st_size);
	close(fd);
	*bytes = (size_t)st.st_size;
	return at;
}

static void take_base(const char *base, const char *name, bool unsynced)
{
	size_t bytes;
	uint8_t *data = read_whole(base, name, &bytes);
	struct file *file = add_file(0, name, -1);
	const struct pending whole = {.bytes = bytes, .data = data, .begun = -2, .ended = -1};
	file->bytes = bytes;
	if (unsynced) {
		add_pending(file, whole); /* keeps the data */
		return;
	}
	settle(file, &whole);
	free(data);
}

void volume_begin(const char *base, bool unsynced)
{
	for (int i = 0; i < volume.files_count; i++) {
		free(volume.files[i].durable);
		free(volume.files[i].pending);
	}
	const char *weak = volume.weak;
	memset(&volume, 0, sizeof volume);
	volume.weak = weak;
	volume.there = base != NULL;
	DIR *dir = base != NULL ? opendir(base) : NULL;
	check(base == NULL || dir != NULL);
	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
		if (entry->d_name[0] != '.' && !is_volatile(entry->d_name))
			take_base(base, entry->d_name, unsynced);
	if (dir != NULL)
		closedir(dir);
	volume.namings_durable = volume.namings_count;
}

/* ---- events ---- */

static void on_open(const struct trace_event *e, const char *path, int index)
{
	const char *name = leaf(path);
	if (e->flags & O_DIRECTORY) {
		if (strcmp(name, "..") == 0)
			volume.above_inode = e->inode;
		else
			volume.inode = e->inode;
		return;
	}
	if (is_volatile(name))
		return;
	struct file *file = by_inode(e->inode);
	for (int i = 0; file == NULL && i < volume.files_count; i++)
		if (volume.files[i].inode == 0 && strcmp(volume.files[i].name, name) == 0)
			file = &volume.files[i];
	if (file == NULL)
		file = add_file(e->inode, name, index);
	file->inode = e->inode;
	if (e->flags & O_TRUNC) {
		memset(file->durable, 0, file->room);
		file->durable_bytes = file->bytes = 0;
		file->count = 0;
	}
}

static void on_rename(const char *from, const char *to, int index)
{
	int file = -1;
	for (int i = 0; i < volume.files_count; i++) {
		if (strcmp(volume.files[i].name, leaf(to)) == 0)
			volume.files[i].name[0] = '\0';
		if (strcmp(volume.files[i].name, leaf(from)) == 0)
			file = i;
	}
	check(file >= 0);
	snprintf(volume.files[file].name, sizeof volume.files[file].name, "%s", leaf(to));
	set_name(index, leaf(to), leaf(from), file);
}

static void on_unlink(const char *path, int index)
{
	for (int i = 0; i < volume.files_count; i++)
		if (strcmp(volume.files[i].name, leaf(path)) == 0)
			volume.files[i].name[0] = '\0';
	set_name(index, leaf(path), "", -1);
}

static void on_write(struct file *file, const struct trace_item *item, int index)
{
	const struct trace_event *e = item->event;
	add_pending(file, (struct pending){.at = e->at,
	                                   .bytes = e->len,
	                                   .data = item->data,
	                                   .begun = index,
	                                   .ended = item->other});
	if (file->bytes < e->at + e->len)
		file->bytes = e->at + e->len;
}

/* A write with O_DSYNC makes its own bytes durable, and what stood there before. */
static void on_synced_write(struct file *file, int begun)
{
	struct pending own = {.begun = -1};
	int kept = 0;
	for (int i = 0; i < file->count; i++)
		if (file->pending[i].begun == begun)
			own = file->pending[i];
	if (own.begun != begun)
		return;
	settle(file, &own);
	for (int i = 0; i < file->count; i++) {
		const struct pending *p = &file->pending[i];
		bool covered = p->begun <= begun && p->at >= own.at &&
		               p->at + p->bytes <= own.at + own.bytes;
		if (!covered)
			file->pending[kept++] = *p;
	}
	file->count = kept;
}

/* By pages, since one that is written again later is taken along then. */
static void on_failed_sync(struct file *file, int begun)
{
	struct pending *old = file->pending;
	int count = file->count;
	file->pending = NULL;
	file->count = file->pending_room = 0;
	for (int i = 0; i < count; i++) {
		const struct pending *p = &old[i];
		if (p->ended >= begun || p->clean) {
			add_pending(file, *p);
			continue;
		}
		for (uint64_t at = p->at, to; at < p->at + p->bytes; at = to) {
			to = ((at >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
			if (to > p->at + p->bytes)
				to = p->at + p->bytes;
			add_pending(file, (struct pending){.at = at,
			                                   .bytes = to - at,
			                                   .data = p->data + (at - p->at),
			                                   .begun = p->begun,
			                                   .ended = p->ended,
			                                   .clean = true});
		}
	}
	free(old);
}

static uint8_t *dirty_pages(const struct file *file, int begun)
{
	uint8_t *dirty = xcalloc(1, (file->bytes >> PAGE_SHIFT) + 2);
	for (int i = 0; i < file->count; i++) {
		const struct pending *p = &file->pending[i];
		if (p->clean || p->ended >= begun || p->bytes == 0)
			continue;
		for (uint64_t page = p->at >> PAGE_SHIFT;
		     page <= (p->at + p->bytes - 1) >> PAGE_SHIFT; page++)
			dirty[page] = 1;
	}
	return dirty;
}

static void on_sync(struct file *file, int begun)
{
	uint8_t *dirty = dirty_pages(file, begun);
	int kept = 0;
	for (int i = 0; i < file->count; i++) {
		const struct pending *p = &file->pending[i];
		if (p->ended < begun && (!p->clean || dirty[p->at >> PAGE_SHIFT]))
			settle(file, p);
		else
			file->pending[kept++] = *p;
	}
	file->count = kept;
	free(dirty);
}

static void on_directory_sync(int begun)
{
	for (int i = volume.namings_durable; i < volume.namings_count; i++)
		if (volume.namings[i].at < begun)
			volume.namings_durable = i + 1;
}

static void on_synced(const struct trace_item *item)
{
	const struct trace_event *e = item->event;
	struct file *file = by_inode(e->inode);
	if (file != NULL && e->result != 0)
		on_failed_sync(file, item->other);
	else if (file != NULL)
		on_sync(file, item->other);
	else if (e->inode == volume.inode && e->result == 0)
		on_directory_sync(item->other);
	else if (e->inode == volume.above_inode && e->result == 0)
		volume.there = true;
}

static bool is_weak(uint64_t inode)
{
	const struct file *file = volume.weak != NULL ? by_inode(inode) : NULL;
	return file != NULL && strcmp(file->name, volume.weak) == 0;
}

void volume_step(const struct trace *trace, int index)
{
	const struct trace_item *item = &trace->items[index];
	const struct trace_event *e = item->event;
	const char *text = (const char *)item->data;
	struct file *file = e->inode != 0 ? by_inode(e->inode) : NULL;
	switch ((enum trace_kind)e->kind) {
	case TRACE_OPEN:
		on_open(e, text, index);
		break;
	case TRACE_WRITE_BEGIN:
		if (file != NULL)
			on_write(file, item, index);
		break;
	case TRACE_WRITE_END:
		if (file != NULL && e->flags && e->result >= 0 && !is_weak(e->inode))
			on_synced_write(file, item->other);
		break;
	case TRACE_TRUNCATE:
		check(file == NULL); /* what is there to judge is never cut */
		break;
	case TRACE_SYNC_END:
		if (!is_weak(e->inode))
			on_synced(item);
		break;
	case TRACE_RENAME:
		on_rename(text, text + strlen(text) + 1, index);
		break;
	case TRACE_UNLINK:
		on_unlink(text, index);
		break;
	case TRACE_MAPPED:
		check(file == NULL); /* its writes would go unseen */
		break;
	case TRACE_CONTROL:
		if (volume.controls_count < CONTROLS_MAX)
			volume.controls[volume.controls_count++] = item;
		break;
	case TRACE_SYNC_BEGIN:
	case TRACE_FAULT:
	case TRACE_MARK:
		break;
	}
}

bool volume_open(void)
{
	int pending = 0;
	for (int i = 0; i < volume.files_count; i++)
		pending += volume.files[i].count;
	return pending != 0 || !volume.there || volume.namings_durable < volume.namings_count;
}

/* ---- states ---- */

static uint64_t random_state;

static uint32_t any(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static uint32_t below(uint32_t n)
{
	return n > 0 ? any() % n : 0;
}

/* Of one file: which versions its sectors show, and which of its writes count at all. */
struct choice {
	enum volume_policy policy;
	unsigned shift; /* of a sector */
	size_t sectors;
	uint16_t *versions, *shown, *seen; /* by sector: how many there are, are taken, went by */
	bool *counts;                      /* by write */
};

static uint64_t last_sector(const struct pending *p, unsigned shift)
{
	return (p->at + p->bytes - 1) >> shift;
}

static uint32_t count_versions(struct choice *c, const struct file *file)
{
	uint32_t total = 0;
	for (int i = 0; i < file->count; i++) {
		const struct pending *p = &file->pending[i];
		for (uint64_t s = p->at >> c->shift; p->bytes > 0 && s <= last_sector(p, c->shift);
		     s++, total++)
			c->versions[s]++;
	}
	return total;
}

static void choose_sectors(struct choice *c, uint32_t total)
{
	uint32_t left_out = below(total), passed = 0;
	for (size_t s = 0; s < c->sectors; s++) {
		uint32_t n = c->versions[s];
		if (n == 0)
			continue;
		c->shown[s] = (uint16_t)n;
		if (c->policy == VOLUME_NONE)
			c->shown[s] = 0;
		else if (c->policy == VOLUME_RANDOM || c->policy == VOLUME_PAGES)
			c->shown[s] = (uint16_t)below(n + 1);
		else if (c->policy == VOLUME_MOST && below(10) == 0)
			c->shown[s] = (uint16_t)below(n);
		else if (c->policy == VOLUME_FEW)
			c->shown[s] = (uint16_t)(below(10) == 0 ? 1 + below(n) : 0);
		else if (c->policy == VOLUME_ALL_BUT_ONE && left_out >= passed &&
		         left_out < passed + n)
			c->shown[s] = (uint16_t)(left_out - passed);
		passed += n;
	}
}

static void choose_writes(struct choice *c, const struct file *file)
{
	uint32_t count = (uint32_t)file->count;
	uint32_t newest = count > 0 ? count - 1 - below(count < 6 ? count : 6) : 0,
	         oldest = below(count);
	for (uint32_t i = 0; i < count; i++)
		c->counts[i] = c->policy == VOLUME_WHOLE    ? any() & 1
		               : c->policy == VOLUME_NEWEST ? i >= newest
		               : c->policy == VOLUME_OLDEST ? i <= oldest
		                                            : true;
}

static struct choice choose(const struct file *file, enum volume_policy policy, size_t top)
{
	struct choice c = {.policy = policy,
	                   .shift = policy == VOLUME_PAGES ? PAGE_SHIFT : SECTOR_SHIFT};
	bool ring = strncmp(file->name, "ring", 4) == 0;
	if (policy == VOLUME_RING || policy == VOLUME_ROWS)
		c.policy = ring == (policy == VOLUME_RING) ? VOLUME_ALL : VOLUME_NONE;
	c.sectors = (top >> c.shift) + 2;
	c.versions = xcalloc(3 * c.sectors, sizeof *c.versions);
	c.shown = c.versions + c.sectors;
	c.seen = c.shown + c.sectors;
	c.counts = xcalloc((size_t)file->count + 1, sizeof *c.counts);
	choose_sectors(&c, count_versions(&c, file));
	choose_writes(&c, file);
	return c;
}

/* Up to which byte something got there. */
static size_t put_writes(struct choice *c, const struct file *file, uint8_t *image)
{
	size_t end = file->durable_bytes;
	for (int i = 0; i < file->count; i++) {
		const struct pending *p = &file->pending[i];
		for (uint64_t at = p->at, to; at < p->at + p->bytes; at = to) {
			uint64_t sector = at >> c->shift;
			to = (sector + 1) << c->shift;
			if (to > p->at + p->bytes)
				to = p->at + p->bytes;
			bool taken = c->seen[sector]++ < c->shown[sector] && c->counts[i];
			if (c->policy == VOLUME_HEADS)
				taken = at == p->at;
			if (!taken)
				continue;
			memcpy(image + at, p->data + (at - p->at), to - at);
			if (to > end)
				end = to;
		}
	}
	return end;
}

/* What got there says one length; the old one is another, all of it a third. */
static size_t choose_length(const struct choice *c, const struct file *file, size_t end, size_t top)
{
	uint32_t kind = below(4);
	size_t whole_pages = (end + 4095) / 4096 * 4096;
	size_t bytes = kind == 0 ? file->durable_bytes : kind == 1 ? top : whole_pages;
	if (c->policy == VOLUME_NONE && kind != 1)
		bytes = file->durable_bytes;
	return c->policy == VOLUME_ALL || bytes > top ? top : bytes;
}

static void write_file(const char *dir, const char *name, const void *at, size_t bytes)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	check(pwrite(fd, at, bytes, 0) == (ssize_t)bytes);
	close(fd);
}

static void make_file(const struct file *file, const char *dir, const char *name,
                      enum volume_policy policy)
{
	static uint8_t *image;
	static size_t image_room;
	size_t top = file->bytes > file->durable_bytes ? file->bytes : file->durable_bytes;
	if (image_room < top + 1) {
		image_room = 2 * top + 1;
		image = xrealloc(image, image_room);
	}
	memset(image, 0, top);
	memcpy(image, file->durable, file->durable_bytes);
	if (below(4) == 0) /* blocks of somebody's before */
		for (size_t i = file->durable_bytes; i < top; i++)
			image[i] = (uint8_t)(i * 131 >> 3);
	struct choice c = choose(file, policy, top);
	size_t end = put_writes(&c, file, image);
	write_file(dir, name, image, choose_length(&c, file, end, top));
	free(c.versions);
	free(c.counts);
}

static void make_control(const char *dir)
{
	uint32_t kind = below(4), count = (uint32_t)volume.controls_count;
	if (kind == 0 || count == 0)
		return;
	const struct trace_item *item = volume.controls[kind == 1 ? count - 1 : below(count)];
	write_file(dir, "control", item->data, item->event->data_bytes);
}

/* LMDB's locks of a time that is over. */
static void make_locks(const char *dir)
{
	uint8_t junk[8192];
	if (below(8) != 0)
		return;
	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (uint8_t)any();
	write_file(dir, "lock.mdb", junk, below(2) ? sizeof junk : below(sizeof junk));
}

/* Those that are written anew are kept: that is faster. */
static void clear(const char *dir, int count, const char *const *kept, const int *files)
{
	static const char *const names[] = {"ring",         "ring.part", "data.mdb",
	                                    "data.mdb.new", "control",   "lock.mdb",
	                                    "open.lock",    "backup",    "backup.part"};
	char path[PATH_ROOM];
	check(mkdir(dir, 0700) == 0 || access(dir, W_OK) == 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		bool keep = false;
		for (int j = 0; j < count; j++)
			keep |= files[j] >= 0 && strcmp(kept[j], names[i]) == 0;
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		if (!keep)
			unlink(path);
	}
}

/* names[]: at most one file of a name. */
static int name_files(int count, const char *names[FILES_MAX], int files[FILES_MAX])
{
	int n = 0;
	for (int i = 0; i < count; i++) {
		const struct naming *naming = &volume.namings[i];
		int at = 0;
		while (at < n && strcmp(names[at], naming->name) != 0)
			at++;
		for (int j = 0; j < n; j++)
			if (naming->gone[0] != '\0' && strcmp(names[j], naming->gone) == 0)
				files[j] = -1;
		if (at == n) {
			check(n < FILES_MAX);
			names[n++] = naming->name;
		}
		files[at] = naming->file;
	}
	return n;
}

enum volume_policy volume_make(const char *dir, uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	for (int i = 0; i < 8; i++)
		any();
	enum volume_policy policy = (enum volume_policy)(seed % VOLUME_POLICIES);
	int loose = volume.namings_count - volume.namings_durable;
	int named = policy == VOLUME_ALL ? volume.namings_count
	            : policy == VOLUME_NONE
	                    ? volume.namings_durable
	                    : volume.namings_durable + (int)below((uint32_t)loose + 1);
	const char *names[FILES_MAX];
	int files[FILES_MAX];
	if (!volume.there && policy != VOLUME_ALL && (policy == VOLUME_NONE || below(2) == 0))
		named = 0; /* even its name is gone */
	int n = name_files(named, names, files);
	clear(dir, n, names, files);
	for (int i = 0; i < n; i++)
		if (files[i] >= 0)
			make_file(&volume.files[files[i]], dir, names[i], policy);
	if (n > 0) {
		make_control(dir);
		make_locks(dir);
	}
	return policy;
}
