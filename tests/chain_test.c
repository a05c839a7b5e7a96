/* SPDX-License-Identifier: MIT */
/*
 * chain_test.c - one night after another: whatever was done to the disks, what is put
 * together from a full export and the differential ones after it is the point, at every
 * link; and a chain that is not whole is refused, with the part that is at fault
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define MOST_LINKS 100

static const char *const ids[] = {"vda", "vdb", "vdc"};

FIXTURE(nights)
{
	struct engine e;
	struct loopfs to;
	char out[PATH_MAX + 8];
	char points[MOST_LINKS][POINT_SIZE];
	unsigned links, disks[MOST_LINKS];
	uint64_t state;
};
FIXTURE_VARIANT(nights)
{
	const char *from, *mkfs, *to; /* to NULL = the same */
	enum rp_io io;
};
FIXTURE_VARIANT_ADD(nights, xfs){.from = "xfs"};
FIXTURE_VARIANT_ADD(nights, btrfs){.from = "btrfs"};
FIXTURE_VARIANT_ADD(nights, xfs_1k){.from = "xfs", .mkfs = "-b size=1k"};
FIXTURE_VARIANT_ADD(nights, xfs_ext4){.from = "xfs", .to = "ext4"};
FIXTURE_VARIANT_ADD(nights, btrfs_ext4){.from = "btrfs", .to = "ext4", .io = RP_IO_AIO};
FIXTURE_VARIANT_ADD(nights, xfs_btrfs){.from = "xfs", .to = "btrfs", .io = RP_IO_SYNC};

FIXTURE_SETUP(nights)
{
	const char *links = getenv("LINKS");

	self->links = links ? (unsigned)atoi(links) : 5;
	ASSERT_TRUE(self->links >= 3 && self->links <= MOST_LINKS);
	self->state = test_seed();
	engine_open(&self->e, variant->from, 600 * MIB, variant->mkfs, NULL);
	snprintf(self->out, sizeof(self->out), "%s", self->e.out);
	if (variant->to) {
		loopfs_mount(&self->to, variant->to, 600 * MIB, NULL, NULL);
		snprintf(self->out, sizeof(self->out), "%s", self->to.mnt);
	}
}

FIXTURE_TEARDOWN(nights)
{
	engine_close(&self->e);
	if (variant->to)
		loopfs_umount(&self->to);
}

static uint64_t chance(struct nights_fixture *self, uint64_t below)
{
	return data_random(&self->state) % below;
}

/* A day of a disk: writes, holes, another size. */
static void change_disk(struct nights_fixture *self, const char *id)
{
	int fd = open(engine_disk(&self->e, id), O_RDWR | O_CLOEXEC);
	struct stat st;
	uint64_t size;

	ASSERT_GE(fd, 0);
	ASSERT_OK(fstat(fd, &st));
	size = (uint64_t)st.st_size;
	for (uint64_t n = 1 + chance(self, 8); n--;) {
		uint64_t start = chance(self, size), len = 1 + chance(self, 300000);

		if (chance(self, 2)) {
			start = round_down(start, 4096);
			len = round_up(len, 4096);
		}
		len = min_u64(len, size - start);
		switch (chance(self, 6)) {
		case 0:
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)start, (off_t)len);
			break;
		case 1:
			fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)len);
			break;
		case 2:
			size = max_u64(4097, size - size / 4 + chance(self, size / 2));
			size = chance(self, 2) ? round_up(size, 4096) : size;
			ASSERT_OK(ftruncate(fd, (off_t)size));
			break;
		default:
			data_write(fd, data_random(&self->state), start, len);
		}
	}
	close(fd);
}

static const char *twin_of(const struct nights_fixture *self, unsigned link,
			   const char *id)
{
	return fmt("%s/twins/%u-%s", self->e.fs.mnt, link, id);
}

static void keep_twin(const struct nights_fixture *self, unsigned link, const char *id)
{
	EXPECT_EQ(system(fmt("cp --sparse=always '%s' '%s'", engine_disk(&self->e, id),
			     twin_of(self, link, id))),
		  0);
}

/* The system has one more disk: there is no command for that, but it may happen. */
static void add_disk(const struct nights_fixture *self, const char *id)
{
	const char *path = fmt("%s/store/systems/web1/system.json", self->e.fs.mnt);
	json_t *doc = load_json(path);

	json_array_append_new(
		json_object_get(doc, "Disks"),
		json_pack("{s:s, s:s}", "DiskId", id, "Path", engine_disk(&self->e, id)));
	save_json(path, doc);
}

static const char *export_of(const struct nights_fixture *self, unsigned link)
{
	return stage_export_path(self->out, self->points[link]);
}

/* Takes the point of night @link, and exports it with the one before as its base. */
static void night(struct nights_fixture *self, enum rp_io io, unsigned link, bool merge)
{
	struct rp_export_options options = {
		.size = sizeof(options),
		.base = link ? self->points[link - 1] : NULL,
		.io = io,
		.merge = link && merge,
		.digest = merge ? RP_DIGEST_ALWAYS : RP_DIGEST_AUTO,
	};
	json_t *report;

	if (link)
		for (unsigned i = 0; i < self->disks[link]; i++)
			change_disk(self, ids[i]);
	for (unsigned i = 0; i < self->disks[link]; i++)
		keep_twin(self, link, ids[i]);
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->points[link], POINT_SIZE, "%s", self->e.point);
	report = engine_export(&self->e, self->out, &options);
	EXPECT_STREQ(json_text(report, "Kind"), !link	? "full"
						: merge ? "merged"
							: "differential");
	json_decref(report);
}

static void expect_restored(const struct nights_fixture *self, unsigned link,
			    const char *id, const struct rp_read_options *options)
{
	const char *output = fmt("%s/restored-%u-%s", self->e.fs.mnt, link, id);
	struct rp_error err;

	ASSERT_EQ(rp_restore(export_of(self, link), id, output, options, NULL, &err),
		  RP_OK, "link %u: %s", link, err.message);
	EXPECT_TRUE(data_same(twin_of(self, link, id), output), "link %u", link);
	ASSERT_OK(unlink(output));
}

static void nights_pass(struct nights_fixture *self, enum rp_io io, bool merge)
{
	struct rp_error err;

	engine_make_disk(&self->e, "vda", 24 * MIB);
	engine_make_disk(&self->e, "vdb", 9 * MIB + 777);
	engine_make_disk(&self->e, "vdc", 5 * MIB + 4096);
	engine_add(&self->e, ids, 2);
	for (unsigned link = 0; link < self->links; link++) {
		self->disks[link] = link < self->links / 2 ? 2 : 3;
		if (link == self->links / 2)
			add_disk(self, "vdc");
		night(self, io, link, merge);
		if (link > 1) /* what is no base any more is of no use */
			ASSERT_EQ(rp_destroy_reference_point(
					  self->e.store, self->points[link - 2], &err),
				  RP_OK, "%s", err.message);
	}
}

TEST_F_TIMEOUT(nights, differential, 1800)
{
	struct rp_read_options options = {
		.size = sizeof(options), .io = variant->io, .chain = true};
	struct rp_error err;

	nights_pass(self, variant->io, false);
	for (unsigned link = 0; link < self->links; link++) {
		EXPECT_EQ(rp_verify(export_of(self, link), &options, NULL, &err), RP_OK,
			  "link %u: %s", link, err.message);
		for (unsigned i = 0; i < self->disks[link]; i++)
			expect_restored(self, link, ids[i], &options);
	}
}

/* Every export is whole, and those before it are as they were. */
TEST_F_TIMEOUT(nights, merged, 1800)
{
	struct rp_read_options options = {.size = sizeof(options), .io = variant->io};
	struct rp_error err;

	nights_pass(self, variant->io, true);
	for (unsigned link = 0; link < self->links; link++) {
		EXPECT_EQ(rp_verify(export_of(self, link), &options, NULL, &err), RP_OK,
			  "link %u: %s", link, err.message);
		for (unsigned i = 0; i < self->disks[link]; i++) {
			const char *disk = fmt("%s/%s.raw", export_of(self, link),
					       ids[i]);

			EXPECT_TRUE(data_same(twin_of(self, link, ids[i]), disk),
				    "link %u %s", link, ids[i]);
			EXPECT_TRUE(exists(
				fmt("%s/%s.digest", export_of(self, link), ids[i])));
		}
	}
}

/* The way the manual gives to restore a differential disk without the program. */
TEST_F(nights, by_hand)
{
	const char *restored = fmt("%s/restored", self->e.fs.mnt);
	const char *script = "set -e; cp \"$BASE/vda.raw\" \"$DISK\"\n"
			     "truncate -s \"$SIZE\" \"$DISK\"\n"
			     "while read -r offset length kind; do\n"
			     "case $kind in\n"
			     "data) dd if=\"$EXPORT/vda.raw\" of=\"$DISK\" bs=64K "
			     "conv=notrunc iflag=skip_bytes,count_bytes "
			     "oflag=seek_bytes skip=$offset seek=$offset "
			     "count=$length status=none ;;\n"
			     "zero) fallocate -p -o $offset -l $length \"$DISK\" ;;\n"
			     "esac\n"
			     "done <\"$EXPORT/vda.changes\"\n";
	struct stat st;

	engine_make_disk(&self->e, "vda", 6 * MIB + 77);
	engine_add(&self->e, ids, 1);
	self->disks[0] = self->disks[1] = 1;
	night(self, variant->io, 0, false);
	night(self, variant->io, 1, false);
	ASSERT_OK(stat(twin_of(self, 1, "vda"), &st));
	setenv("BASE", export_of(self, 0), 1);
	setenv("EXPORT", export_of(self, 1), 1);
	setenv("DISK", restored, 1);
	setenv("SIZE", fmt("%lld", (long long)st.st_size), 1);
	ASSERT_EQ(system(script), 0);
	EXPECT_TRUE(data_same(twin_of(self, 1, "vda"), restored));
}

TEST_MAIN
