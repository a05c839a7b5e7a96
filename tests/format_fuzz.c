/* SPDX-License-Identifier: MIT */
/*
 * format_fuzz.c - images from strangers: nothing of them crashes, loops or is believed
 */
#include "format_fuzz.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vhdx.h"
#include "io/small_file.h"

#define PAGE	  512u
#define MAX_STEPS 3000 /* ranges looked at */

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void write_at(int fd, const void *data, size_t size, uint64_t at)
{
	require(io_pwrite_all(fd, data, size, at) == 0);
}

static void sum_up(int fd, uint64_t at, size_t size)
{
	static uint8_t buf[VHDX_TABLE_SIZE];
	uint32_t sum = 0;

	if (io_pread_all(fd, buf, size, at) < 0)
		return;
	memcpy(buf + 4, &sum, sizeof(sum));
	sum = htole32(vhdx_crc32c(buf, size));
	write_at(fd, &sum, sizeof(sum), at + 4);
}

/* The file that @data describes; how far it goes. */
static uint64_t unpack(int fd, const uint8_t *data, size_t size)
{
	uint32_t pages, page;
	uint16_t len;
	size_t at = 5;

	memcpy(&pages, data + 1, sizeof(pages));
	while (at + 6 <= size) {
		memcpy(&len, data + at, sizeof(len));
		memcpy(&page, data + at + 2, sizeof(page));
		at += 6;
		len = (uint16_t)min_u64(min_u64(le16toh(len), PAGE), size - at);
		write_at(fd, data + at, len, (uint64_t)le32toh(page) * PAGE);
		at += len;
	}
	if (data[0] & FUZZ_SUMS) {
		for (unsigned i = 0; i < 2; i++) {
			sum_up(fd, VHDX_HEADER_AT + i * 64 * KIB, VHDX_HEADER_SIZE);
			sum_up(fd, VHDX_REGIONS_AT + i * 64 * KIB, VHDX_TABLE_SIZE);
		}
	}
	return (uint64_t)le32toh(pages) * PAGE;
}

static void check_range(const struct image_file *im, uint64_t pos,
			const struct layer_range *range)
{
	uint64_t len = range->end - range->start;

	require(range->start == pos && range->end > pos);
	require(range->end <= im->layer.size);
	require(range->state != LAYER_BELOW || im->based);
	if (range->state == LAYER_DATA)
		require(range->at < im->layer.file.size &&
			len <= im->layer.file.size - range->at);
}

static void read_all(struct image_file *im)
{
	struct layer_range range;
	uint64_t pos = 0, at, end;
	unsigned steps = 0;

	while (pos < im->layer.size && steps++ < MAX_STEPS) {
		bool known = im->layer.at(&im->layer, pos, &range) == 0;

		if (known)
			check_range(im, pos, &range);
		if (im->place.at(&im->place, pos, &at, &end) == 0)
			require(known && at < im->layer.file.size && end > pos);
		/* Behind a refused grain the next one is looked at all the same. */
		pos = known ? range.end : round_down(pos, im->grain) + im->grain;
	}
	/* What lies far behind is found as well as what is next. */
	if (im->layer.size && im->layer.at(&im->layer, im->layer.size - 1, &range) == 0)
		check_range(im, im->layer.size - 1, &range);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct format *format;
	struct io_file file = IO_FILE_NONE;
	struct image_file *im;
	int fd;

	if (size < 5)
		return 0;
	fd = memfd_create("image", MFD_CLOEXEC);
	require(fd >= 0);
	file.fd = fd;
	file.size = unpack(fd, data, size);
	require(ftruncate(fd, (off_t)file.size) == 0);
	format = data[0] & FUZZ_VHDX ? &format_vhdx : &format_qcow2;
	if (format_open(format, &file, &im) == 0) {
		read_all(im);
		image_close(im);
	}
	close(fd);
	return 0;
}

size_t fuzz_pack(int fd, uint8_t flags, uint8_t *ret, size_t room)
{
	uint8_t page[PAGE], zeros[PAGE] = {0};
	struct stat st;
	uint32_t number;
	size_t at = 5;

	require(fstat(fd, &st) == 0 && room >= at);
	ret[0] = flags;
	number = htole32((uint32_t)((uint64_t)st.st_size / PAGE));
	memcpy(ret + 1, &number, sizeof(number));
	for (uint64_t pos = 0; pos + PAGE <= (uint64_t)st.st_size; pos += PAGE) {
		uint16_t len = PAGE;

		require(io_pread_all(fd, page, PAGE, pos) == 0);
		if (!memcmp(page, zeros, PAGE))
			continue;
		while (!page[len - 1])
			len--;
		if (at + 6 + len > room)
			return 0;
		number = htole32((uint32_t)(pos / PAGE));
		memcpy(ret + at + 2, &number, sizeof(number));
		memcpy(ret + at + 6, page, len);
		at += 6 + len;
		len = htole16(len);
		memcpy(ret + at - 6 - le16toh(len), &len, sizeof(len));
	}
	return at;
}
