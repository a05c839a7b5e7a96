/* SPDX-License-Identifier: MIT */
/*
 * overlay_test.c - differential images whose tables are damaged, or those of the image
 * below: what they leave to their base and what they have is known, so that nothing old
 * or empty passes for the disk
 */
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine/exported_image.h"
#include "engine/qcow2.h"
#include "engine/vhdx.h"
#include "harness.h"
#include "stage.h"

#define SIZE (12 * MIB)

FIXTURE(overlay)
{
	struct stage stage;
	char second[POINT_SIZE]; /* the point of the differential export */
	char base[PATH_MAX], path[PATH_MAX], image[PATH_MAX + 16];
	uint64_t table; /* in the image: an entry of 8 bytes for each grain */
	unsigned entries;
};

FIXTURE_VARIANT(overlay)
{
	enum rp_format format, below;
	uint64_t grain;
	enum rp_digest digest;
};

FIXTURE_VARIANT_ADD(overlay, qcow2){RP_FORMAT_QCOW2, RP_FORMAT_RAW, 64 * KIB,
				    RP_DIGEST_ALWAYS};
FIXTURE_VARIANT_ADD(overlay, qcow2_no_digest){RP_FORMAT_QCOW2, RP_FORMAT_QCOW2, 64 * KIB,
					      RP_DIGEST_NEVER};
FIXTURE_VARIANT_ADD(overlay, vhdx){RP_FORMAT_VHDX, RP_FORMAT_VHDX, MIB, RP_DIGEST_ALWAYS};
FIXTURE_VARIANT_ADD(overlay, vhdx_no_digest){RP_FORMAT_VHDX, RP_FORMAT_VHDX, MIB,
					     RP_DIGEST_NEVER};

static uint64_t get(const struct overlay_fixture *self, uint64_t at)
{
	int fd = open(self->image, O_RDONLY | O_CLOEXEC);
	uint64_t word;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(pread(fd, &word, sizeof(word), (off_t)at), sizeof(word));
	close(fd);
	return word;
}

static void put(const struct overlay_fixture *self, uint64_t at, uint64_t word)
{
	int fd = open(self->image, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(pwrite(fd, &word, sizeof(word), (off_t)at), sizeof(word));
	close(fd);
}

/* Some data, some that became zeros, and much that stays. */
static void change_disk(const char *disk)
{
	int fd = open(disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, 5, MIB + 20 * KIB + 5, 200000);
	data_write(fd, 5, 3 * MIB + 20 * KIB + 5, 200000); /* amidst data */
	data_write(fd, 6, 7 * MIB, MIB);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * MIB,
			    MIB + 256 * KIB));
	close(fd);
}

static void export_to(struct overlay_fixture *self, const struct rp_export_options *o,
		      const char *point, char ret_path[PATH_MAX])
{
	struct rp_error err;

	ASSERT_EQ(rp_export(self->stage.store, point, self->stage.exports, o, NULL, &err),
		  RP_OK, "%s", err.message);
	snprintf(ret_path, PATH_MAX, "%s", stage_export_path(self->stage.exports, point));
}

/* The image that is looked at and damaged from now on: that of the export at @path. */
static void look_at(struct overlay_fixture *self, const char *path, enum rp_format format)
{
	snprintf(self->image, sizeof(self->image), "%s/vda.%s", path,
		 format == RP_FORMAT_QCOW2 ? "qcow2" : "vhdx");
	self->table = VHDX_BAT_AT;
	if (format == RP_FORMAT_QCOW2)
		self->table = be64toh(get(self, be64toh(get(self, 40)))) & QCOW2_OFFSET;
}

FIXTURE_SETUP(overlay)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);

	stage_make(&self->stage, test_dir(), SIZE, test_seed());
	o.digest = variant->digest;
	o.format = variant->below;
	o.cluster_size = variant->below == RP_FORMAT_RAW ? 0 : variant->grain;
	export_to(self, &o, self->stage.point, self->base);
	change_disk(self->stage.disk);
	stage_take(&self->stage, self->second);
	o.format = variant->format;
	o.cluster_size = variant->grain;
	o.base = self->stage.point;
	export_to(self, &o, self->second, self->path);
	self->entries = SIZE / variant->grain;
	look_at(self, self->path, variant->format);
}

FIXTURE_TEARDOWN(overlay)
{
	stage_close(&self->stage);
}

/* Whether the disk comes back; if so it is the right one. */
static bool comes_back(const struct overlay_fixture *self)
{
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;

	if (rp_restore(self->path, "vda", output, NULL, NULL, &err))
		return false;
	EXPECT_TRUE(data_same(output, self->stage.disk));
	ASSERT_OK(unlink(output));
	return true;
}

static bool verifies(const struct overlay_fixture *self)
{
	const struct rp_read_options options = {.size = sizeof(options), .chain = true};
	struct rp_error err;

	return rp_verify(self->path, &options, NULL, &err) == RP_OK;
}

/* Every @step-th entry of the table becomes each of @count words, if that is another one.
 * Returns how often that was refused. */
static unsigned damage(const struct overlay_fixture *self, unsigned step,
		       const uint64_t *words, size_t count)
{
	unsigned refused = 0;

	for (unsigned i = 0; i < self->entries; i += step) {
		uint64_t at = self->table + i * sizeof(uint64_t), was = get(self, at);

		for (size_t k = 0; k < count; k++) {
			bool good;

			if (words[k] == was)
				continue;
			put(self, at, words[k]);
			good = verifies(self);
			EXPECT_EQ(comes_back(self), good, "entry %u, word %zu", i, k);
			stage_salvage(self->path, self->stage.disk);
			refused += !good;
		}
		put(self, at, was);
	}
	return refused;
}

/* One that is there, whatever it is, and none. */
static uint64_t present(const struct overlay_fixture *self)
{
	for (unsigned i = 0; i < self->entries; i++) {
		uint64_t word = get(self, self->table + i * sizeof(uint64_t));

		if (word && word != htobe64(QCOW2_ZERO))
			return word;
	}
	ASSERT_TRUE(false, "no data in it");
	return 0;
}

static unsigned count_touched(const struct overlay_fixture *self)
{
	unsigned touched = 0;

	for (unsigned i = 0; i < self->entries; i++)
		touched += get(self, self->table + i * sizeof(uint64_t)) != 0;
	ASSERT_GT(touched, 2);
	return touched;
}

TEST_F(overlay, what_is_there_and_what_is_not)
{
	const uint64_t none[] = {0};

	ASSERT_TRUE(verifies(self) && comes_back(self));
	EXPECT_EQ(stage_salvage(self->path, self->stage.disk), 0);
	/* What has changed is left to the base. */
	EXPECT_EQ(damage(self, 1, none, ARRAY_SIZE(none)), count_touched(self));
}

/* A grain with a change is whole here, also before and behind it. */
TEST_F(overlay, without_its_base)
{
	uint64_t here = count_touched(self) * variant->grain, lost;

	ASSERT_OK(rename(self->base, fmt("%s/aside", test_dir())));
	lost = stage_salvage(self->path, self->stage.disk);
	EXPECT_GE(lost, SIZE - here);
	/* Without a digest nobody knows of a hole whether it had data. */
	EXPECT_LE(lost, SIZE - here + (variant->digest == RP_DIGEST_NEVER ? MIB : 0));
}

/* What it had is lost, whether it is unreadable or not there; no more. */
TEST_F(overlay, without_its_image)
{
	uint64_t lost;

	put(self, 0, 0);
	EXPECT_FALSE(comes_back(self));
	lost = stage_salvage(self->path, self->stage.disk);
	EXPECT_GT(lost, MIB);
	EXPECT_LT(lost, 2 * MIB);
	ASSERT_OK(unlink(self->image));
	EXPECT_EQ(stage_salvage(self->path, self->stage.disk), lost);
}

/* Whatever has a digest is the disk, or is told. */
TEST_F(overlay, another_grain)
{
	const uint64_t words[] = {present(self), present(self) ^ 1, htobe64(QCOW2_ZERO),
				  htobe64(1 << 16)};

	if (variant->digest == RP_DIGEST_NEVER)
		return;
	EXPECT_GT(damage(self, 1 + self->entries / 40, words, ARRAY_SIZE(words)),
		  self->entries / 4);
}

/* Whatever has none is not taken for what the base has, nor the other way round. */
TEST_F(overlay, what_the_base_has)
{
	uint64_t word = present(self);

	for (unsigned i = 0; i < self->entries; i++) {
		uint64_t at = self->table + i * sizeof(uint64_t), was = get(self, at);

		if (was)
			continue;
		put(self, at, word);
		EXPECT_FALSE(verifies(self));
		EXPECT_FALSE(comes_back(self));
		put(self, at, was);
	}
	ASSERT_TRUE(verifies(self));
}

/* Nothing of a damaged one gets into a whole export. */
TEST_F(overlay, is_not_merged)
{
	uint64_t at = self->table + SIZE / 3 / variant->grain * sizeof(uint64_t);
	struct rp_error err;

	ASSERT_NE(get(self, at), 0);
	put(self, at, 0);
	EXPECT_NE(rp_merge(self->path, NULL, NULL, &err), RP_OK);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->stage.exports)), ".merging"), NULL);
	EXPECT_TRUE(exists(self->image));
}

/* Nothing is based any more on what @base is based on, strictly; else it is in full. */
static void expect_no_base(const struct overlay_fixture *self, const char *base,
			   enum rp_format format)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	char point[POINT_SIZE], *text;
	struct rp_error err;
	json_t *report;

	stage_take(&self->stage, point);
	o.format = format;
	o.base = base;
	o.strict = true;
	o.watch = &watch;
	GIVES(INVALID_STATE,
	      rp_export(self->stage.store, point, self->stage.exports, &o, NULL, &err));
	o.strict = false;
	ASSERT_EQ(
		rp_export(self->stage.store, point, self->stage.exports, &o, &text, &err),
		RP_OK, "%s", err.message);
	report = take_json(text);
	EXPECT_STREQ(json_text(report, "Kind"), "full");
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, "cannot be read"), NULL, "%s", heard.last);
	json_decref(report);
}

static void expect_found(const char *path, bool chain)
{
	const struct rp_read_options options = {.size = sizeof(options), .chain = chain};
	struct rp_error err;

	GIVES(NOT_SUPPORTED, rp_verify(path, &options, NULL, &err));
	EXPECT_EQ(err.offset, SIZE / 2, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
}

/* A whole one without digest: but for its tables nothing of it is looked at. */
TEST_F(overlay, over_a_damaged_image)
{
	const uint64_t compressed = htobe64(QCOW2_COMPRESSED), partly = htole64(7);
	uint64_t at;

	if (variant->digest != RP_DIGEST_NEVER)
		return;
	look_at(self, self->base, variant->below);
	at = self->table + SIZE / 2 / variant->grain * sizeof(uint64_t);
	put(self, at,
	    get(self, at) | (variant->below == RP_FORMAT_QCOW2 ? compressed : partly));
	for (unsigned chain = 0; chain < 2; chain++) {
		expect_found(self->base, chain);
		expect_found(self->path, chain);
	}
	EXPECT_FALSE(comes_back(self));
	expect_no_base(self, self->stage.point, variant->format);
	expect_no_base(self, self->second, variant->format);
}

/* At its end may be what none of its tables leads to: a bitmap, the rest of a block. */
TEST_F(overlay, is_not_cut)
{
	struct rp_error err;
	struct stat st;

	ASSERT_OK(stat(self->image, &st));
	ASSERT_OK(truncate(self->image, st.st_size - 1));
	GIVES(FAILED, rp_verify(self->path, NULL, NULL, &err));
	EXPECT_NE(strstr(err.message, "the manifest says"), NULL, "%s", err.message);
}

/* --------------------------------------------------------------- what a check costs */

#define CHANGES 1000
#define GRAIN	(64 * KIB)

static unsigned maps;

/* An image that has all of the disk, in one run. */
static int map_all(struct image_file *image, uint64_t pos, struct layer_range *ret)
{
	maps++;
	*ret = (struct layer_range){.start = round_down(pos, GRAIN),
				    .end = image->layer.size,
				    .state = LAYER_DATA,
				    .at = MIB + round_down(pos, GRAIN)};
	return 0;
}

/* A change in each grain but @without. */
static struct change_list *list_changes(unsigned without)
{
	struct change_list_head head = {.disk = "vda",
					.point = "11111111-2222-4333-8444-555555555555",
					.base = "66666666-7777-4888-9999-aaaaaaaaaaaa",
					.size = CHANGES * GRAIN,
					.base_size = CHANGES * GRAIN,
					.count = CHANGES - (without < CHANGES)};
	int fd, dir = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct change_list_writer *w;
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;

	ASSERT_GE(dir, 0);
	ASSERT_OK(change_list_create(dir, "vda.changes", &head, &w));
	for (uint64_t i = 0; i < CHANGES; i++)
		if (i != without)
			ASSERT_OK(change_list_add(w, i * GRAIN, i * GRAIN + 4096, false));
	ASSERT_OK(change_list_finish(w, digest, &fd));
	close(fd);
	ASSERT_OK(change_list_open(dir, "vda.changes", NULL, &list, digest));
	ASSERT_OK(unlinkat(dir, "vda.changes", 0));
	close(dir);
	return list;
}

/* How far a run goes takes the longer to find out the longer it is. */
TEST(a_run_of_an_image_is_mapped_once)
{
	const struct format format = {.map = map_all};
	struct image_file image = {
		.layer.size = CHANGES * GRAIN, .grain = GRAIN, .format = &format};
	struct change_list *list = list_changes(CHANGES);
	uint64_t offset;

	ASSERT_OK(exported_image_fits(&image, list, &offset));
	EXPECT_EQ(maps, 1);
	change_list_close(list);
	list = list_changes(CHANGES / 2);
	EXPECT_EQ(exported_image_fits(&image, list, &offset), -EBADMSG);
	EXPECT_EQ(offset, CHANGES / 2 * GRAIN);
	change_list_close(list);
}

TEST_MAIN
