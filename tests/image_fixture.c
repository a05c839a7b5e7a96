/* SPDX-License-Identifier: MIT */
/*
 * image_fixture.c - images of a disk that changes, and their judges
 */
#include "image_fixture.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "data.h"
#include "harness.h"
#include "io/base.h"
#include "io/small_file.h"

#define SECTOR 512

const char *image_path(const struct image_disk *d, unsigned point, const char *suffix)
{
	static char paths[8][PATH_MAX + 32];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%u/vda.%s", d->dir, point, suffix);
	return path;
}

void image_run(const char *format, ...)
{
	char command[3 * PATH_MAX + 64], log[PATH_MAX + 8], *text;
	size_t len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ASSERT_LT(n, (int)sizeof(command) - PATH_MAX);
	snprintf(log, sizeof(log), "%s/log", test_dir());
	snprintf(command + n, sizeof(command) - (size_t)n, " >%s 2>&1", log);
	if (system(command) == 0)
		return;
	ASSERT_OK(io_read_file(AT_FDCWD, log, MIB, &text, &len));
	FAIL("%s: %s", command, text);
}

void image_changed(struct image_disk *d, uint64_t start, uint64_t end)
{
	struct image_changes *c = &d->changes[d->points - 1];

	for (uint64_t i = start / SECTOR; i * SECTOR < end && i < c->count; i++)
		c->sector[i] = 1;
}

int image_next_change(void *changes, uint64_t pos, uint64_t *ret_start, uint64_t *ret_end)
{
	struct image_changes *c = changes;
	uint64_t i = pos / SECTOR, end;

	while (i < c->count && !c->sector[i])
		i++;
	if (i >= c->count)
		return -ENXIO;
	end = i;
	while (end < c->count && c->sector[end])
		end++;
	*ret_start = max_u64(i * SECTOR, pos);
	*ret_end = end * SECTOR;
	return 0;
}

void image_add_point(struct image_disk *d, uint64_t size)
{
	unsigned point = d->points++;
	struct image_changes *c = &d->changes[point];
	char dir[PATH_MAX + 16];

	ASSERT_LT(point, IMAGE_MAX_POINTS);
	snprintf(dir, sizeof(dir), "%s/%u", d->dir, point);
	ASSERT_EQ(mkdir(dir, 0700), 0, "%s", dir);
	c->count = round_up(size, SECTOR) / SECTOR;
	c->sector = calloc(c->count + 1, 1);
	ASSERT_NE(c->sector, NULL);
	if (point)
		image_run("cp --reflink=auto --sparse=auto %s %s",
			  image_path(d, point - 1, "raw"), image_path(d, point, "raw"));
}

/* As the engine does it: every range of data to its place, and a read of it again. */
static void fill(struct source *source, struct image_file *image)
{
	static char buf[MIB];
	struct source_range range;
	uint64_t pos = 0, at, end;
	int r;

	while ((r = source->next(source, pos, &range)) == 0) {
		size_t len;

		ASSERT_OK(image->place.at(&image->place, range.start, &at, &end));
		ASSERT_GT(end, range.start);
		len = (size_t)min_u64(min_u64(range.end, end) - range.start, sizeof(buf));
		ASSERT_OK(io_pread_all(range.file->fd, buf, len, range.at));
		ASSERT_OK(io_pwrite_all(image->layer.file.fd, buf, len, at));
		pos = range.start + len;
	}
	ASSERT_EQ(r, -ENXIO);
}

/* The tables of the image, and the data, unless it is there. */
static int write_image(struct image_disk *d, unsigned point, const struct format *format,
		       uint64_t grain, bool based, bool again)
{
	struct layer raw = {.path = "raw"}, *const chain[] = {&raw};
	const char *base_format = "raw";
	struct image_source placed;
	struct io_file file;
	struct layers layers;
	struct image image;
	char base_path[64], name[16];
	int r;

	ASSERT_OK(io_file_open_read(AT_FDCWD, image_path(d, point, "raw"), &raw.file));
	layer_raw(&raw);
	layers_init(&layers, chain, 1);
	snprintf(name, sizeof(name), "vda %u", point);
	image = (struct image){.name = name, .source = &layers.source, .grain = grain};
	if (based) {
		image.base = d->file[point - 1];
		if (image.base)
			base_format = image.base->format->name;
		snprintf(base_path, sizeof(base_path), "../%u/vda.%s", point - 1,
			 base_format);
		image.base_path = base_path;
		image.base_format = base_format;
		image.next_change = image_next_change;
		image.changes = &d->changes[point];
	}
	if (again) {
		ASSERT_OK(io_file_open_write(
			AT_FDCWD, image_path(d, point, format->suffix), &file));
	} else {
		unlink(image_path(d, point, format->suffix));
		ASSERT_OK(io_file_create(AT_FDCWD, image_path(d, point, format->suffix),
					 false, &file));
	}
	r = format->write(&file, &image);
	if (r == 0 && !again) {
		ASSERT_OK(format_open(format, &file, &d->file[point]));
		image_source_init(&placed, &layers.source, d->file[point]);
		fill(&placed.source, d->file[point]);
		EXPECT_EQ(d->file[point]->based, based);
		EXPECT_EQ(d->file[point]->grain, grain);
		EXPECT_EQ(d->file[point]->layer.size, round_up(raw.size, SECTOR));
		image_close(d->file[point]);
		d->file[point] = NULL;
	}
	io_file_close(&file);
	layer_close(&raw);
	return r;
}

int image_write(struct image_disk *d, unsigned point, const struct format *format,
		uint64_t grain, bool based)
{
	struct io_file file;
	int r = write_image(d, point, format, grain, based, false);

	if (r < 0)
		return r;
	/* And as a stranger does. */
	ASSERT_OK(
		io_file_open_read(AT_FDCWD, image_path(d, point, format->suffix), &file));
	ASSERT_OK(format_open(format, &file, &d->file[point]));
	d->layer[point] = &d->file[point]->layer;
	d->layer[point]->path = format->name;
	return 0;
}

void image_is_raw(struct image_disk *d, unsigned point)
{
	struct layer *raw = calloc(1, sizeof(*raw));

	ASSERT_NE(raw, NULL);
	ASSERT_OK(io_file_open_read(AT_FDCWD, image_path(d, point, "raw"), &raw->file));
	raw->path = "raw";
	layer_raw(raw);
	d->layer[point] = raw;
}

/* Whether what is in front of a position of the disk is in front in the file too. */
static void judge_order(struct image_file *image)
{
	struct place *place = &image->place;
	uint64_t last = 0, behind, at, end;

	for (uint64_t pos = 0; pos < image->layer.size; pos += 64 * KIB) {
		ASSERT_OK(place->behind(place, pos, &behind));
		ASSERT_GE(behind, last, "at %lu", pos);
		if (place->at(place, pos, &at, &end) == 0) {
			ASSERT_EQ(at, behind, "at %lu", pos);
			last = at + 1;
		}
	}
	ASSERT_OK(place->behind(place, image->layer.size, &behind));
	ASSERT_EQ(behind, image->layer.file.size);
}

void image_judge_again(struct image_disk *d, unsigned point)
{
	struct image_file *image = d->file[point];
	const char *path = image_path(d, point, image->format->name);
	char first[PATH_MAX + 8];
	uint64_t data;
	int fd;

	judge_order(image);
	ASSERT_OK(image->place.behind(&image->place, 0, &data));
	snprintf(first, sizeof(first), "%s/first", d->dir);
	image_run("cp --sparse=always %s %s", path, first);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	data_write(fd, point, 0, data);
	close(fd);
	ASSERT_OK(write_image(d, point, image->format, image->grain, image->based, true));
	ASSERT_TRUE(data_same(first, path), "point %u laid out again", point);
	unlink(first);
}

void image_judge_reader(struct image_disk *d, unsigned point)
{
	static char buf[MIB];
	struct layer *chain[IMAGE_MAX_POINTS];
	struct source_range range;
	struct layers layers;
	struct stat st;
	size_t count = 0;
	uint64_t pos = 0;
	char path[PATH_MAX + 8];
	int fd, r;

	for (unsigned i = point + 1; i-- > 0;) {
		chain[count++] = d->layer[i];
		if (!d->file[i] || !d->file[i]->based)
			break;
	}
	layers_init(&layers, chain, count);
	snprintf(path, sizeof(path), "%s/read", d->dir);
	ASSERT_EQ(stat(image_path(d, point, "raw"), &st), 0);
	fd = data_create(path, (uint64_t)st.st_size);
	while ((r = layers.source.next(&layers.source, pos, &range)) == 0) {
		size_t len = (size_t)min_u64(range.end - range.start, sizeof(buf));

		ASSERT_GE(range.start, pos);
		ASSERT_GT(range.end, range.start);
		/* The last sector may have more than the disk. */
		if (range.start >= (uint64_t)st.st_size) {
			r = -ENXIO;
			break;
		}
		len = (size_t)min_u64(len, (uint64_t)st.st_size - range.start);
		ASSERT_OK(io_pread_all(range.file->fd, buf, len, range.at));
		ASSERT_OK(io_pwrite_all(fd, buf, len, range.start));
		pos = range.start + len;
	}
	EXPECT_EQ(r, -ENXIO);
	close(fd);
	ASSERT_TRUE(data_same(image_path(d, point, "raw"), path), "point %u", point);
	unlink(path);
}

/* The raw file as those see it who know of whole sectors only. */
static void pad(const struct image_disk *d, unsigned point, char ret[PATH_MAX + 8])
{
	struct stat st;

	snprintf(ret, PATH_MAX + 8, "%s/padded", d->dir);
	image_run("cp --reflink=auto --sparse=auto %s %s", image_path(d, point, "raw"),
		  ret);
	ASSERT_EQ(stat(ret, &st), 0);
	ASSERT_EQ(truncate(ret, (off_t)round_up((uint64_t)st.st_size, SECTOR)), 0);
}

static bool any_change(const struct image_changes *c, uint64_t start, uint64_t end)
{
	for (uint64_t i = start / SECTOR; i * SECTOR < end && i < c->count; i++)
		if (c->sector[i])
			return true;
	return false;
}

/* What the bitmap of an image says is what has changed, in pieces of 64 KiB. */
static void judge_bitmap(struct image_disk *d, unsigned point)
{
	const struct image_changes *changes = &d->changes[point];
	uint64_t size = d->file[point]->layer.size, start, len, told = 0;
	char command[PATH_MAX + 128], line[256];
	unsigned dirty;
	FILE *map;

	snprintf(command, sizeof(command),
		 "nbdinfo --map=qemu:dirty-bitmap:changed -- "
		 "[ qemu-nbd --read-only --format=qcow2 --bitmap=changed %s ]",
		 image_path(d, point, "qcow2"));
	map = popen(command, "re");
	ASSERT_NE(map, NULL);
	while (fgets(line, sizeof(line), map)) {
		ASSERT_EQ(sscanf(line, "%lu %lu %u", &start, &len, &dirty), 3, "%s",
			  line);
		ASSERT_EQ(start, told, "%s", line);
		for (told = start; told < start + len; told += 64 * KIB)
			EXPECT_EQ(
				any_change(changes, told, min_u64(told + 64 * KIB, size)),
				dirty, "point %u at %lu", point, told);
		told = start + len;
	}
	ASSERT_EQ(pclose(map), 0, "%s", command);
	ASSERT_EQ(told, size);
}

void image_judge_qemu(struct image_disk *d, unsigned point)
{
	const char *name = d->file[point]->format->name;
	const char *path = image_path(d, point, name);
	char padded[PATH_MAX + 8], copy[PATH_MAX + 8];

	image_run("qemu-img check -q -f %s %s", name, path);
	image_run("qemu-img compare -q -f raw -F %s %s %s", name,
		  image_path(d, point, "raw"), path);
	pad(d, point, padded);
	snprintf(copy, sizeof(copy), "%s/copied", d->dir);
	if (d->file[point]->layer.size)
		image_run("nbdcopy -- [ qemu-nbd --read-only --format=%s %s ] %s", name,
			  path, copy);
	else
		close(data_create(copy, 0));
	ASSERT_TRUE(data_same(padded, copy), "point %u through NBD", point);
	unlink(padded);
	unlink(copy);
	if (d->file[point]->based && d->file[point]->layer.size)
		judge_bitmap(d, point);
}

void image_judge_vhdi(struct image_disk *d, unsigned point)
{
	char padded[PATH_MAX + 8], command[256] = "";
	unsigned first = point;

	while (d->file[first]->based)
		first--;
	pad(d, point, padded);
	for (unsigned i = point + 1; i-- > first;)
		snprintf(command + strlen(command), sizeof(command) - strlen(command),
			 " %u/vda.vhdx", i);
	image_run("/usr/bin/python3 tests/vhdi_compare.py %s padded%s", d->dir, command);
	unlink(padded);
}

void image_free(struct image_disk *d)
{
	for (unsigned i = 0; i < d->points; i++) {
		free(d->changes[i].sector);
		if (d->layer[i])
			layer_close(d->layer[i]);
		if (!d->file[i])
			free(d->layer[i]);
		image_close(d->file[i]);
	}
}
