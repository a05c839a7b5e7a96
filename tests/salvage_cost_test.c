/* SPDX-License-Identifier: MIT */
/*
 * salvage_cost_test.c - what it costs to salvage a large disk of a chain: nothing is
 * looked at again for every change in it, and who watches can stop it
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/digest.h"
#include "engine_fixture.h"
#include "harness.h"
#include "intercept.h"

#define SIZE	(64 * GIB)
#define CHANGES 256 /* in either disk */
#define PIECES	64  /* in the full image of vdb; that of vda is one hole */
#define BITS	(SIZE / DIGEST_CHUNK / 8 + 1)

/* ---------------------------------------------------- what the library's calls come by
 */

/* Where its layers have a bit for each chunk. The kernel tells of every other page of
 * them that is looked at: only one of each can be. */
#define PAGE   4096
#define LAYERS 8

static char *bits[LAYERS], *open_page[LAYERS];
static unsigned layers;	     /* that have theirs */
static atomic_uint pages;    /* that were looked at */
static atomic_uint calls;    /* to read or to seek */
static atomic_uint seeks;    /* of these */
static atomic_uint pause_us; /* that each of these takes */

/* A sanitizer has functions of its own for memory. */
#if !SANITIZED
void *calloc(size_t count, size_t size)
{
	if (count * size == BITS && layers < LAYERS && bits[layers])
		return bits[layers++];
	return REAL(calloc)(count, size);
}

void free(void *p)
{
	for (unsigned i = 0; i < layers; i++)
		if (p == bits[i])
			return;
	REAL(free)(p);
}
#endif

ssize_t pread(int fd, void *buf, size_t len, off_t start)
{
	calls++;
	return syscall(SYS_pread64, fd, buf, len, start);
}

off_t lseek(int fd, off_t offset, int whence)
{
	calls++;
	seeks++;
	if (pause_us)
		usleep(pause_us);
	return syscall(SYS_lseek, fd, offset, whence);
}

/* ------------------------------------------------------------------------- the disks */

FIXTURE(large)
{
	struct engine e;
	char base[POINT_SIZE];
	char path[PATH_MAX]; /* of the export that is based on it */
};

static void write_disk(const struct large_fixture *self, const char *id, unsigned pieces,
		       uint64_t from)
{
	int fd = open(engine_disk(&self->e, id), O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	for (unsigned i = 0; i < pieces; i++)
		data_write(fd, from, from + i * (SIZE / pieces), 4096);
	close(fd);
}

static void export(struct large_fixture *self, const char *base)
{
	const struct rp_export_options options = {
		.size = sizeof(options), .base = base, .digest = RP_DIGEST_ALWAYS};
	json_t *report;

	json_decref(engine_take(&self->e, NULL));
	report = engine_export(&self->e, self->e.out, &options);
	snprintf(self->path, sizeof(self->path), "%s", json_text(report, "ExportPath"));
	json_decref(report);
}

FIXTURE_SETUP(large)
{
	const char *const ids[] = {"vda", "vdb"};

	engine_open(&self->e, "xfs", GIB, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		close(data_create(engine_disk(&self->e, ids[i]), SIZE));
	engine_add(&self->e, ids, ARRAY_SIZE(ids));
	write_disk(self, "vdb", PIECES, 0);
	export(self, NULL);
	memcpy(self->base, self->e.point, sizeof(self->base));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		write_disk(self, ids[i], CHANGES, MIB);
	export(self, self->base);
}

FIXTURE_TEARDOWN(large)
{
	engine_close(&self->e);
}

static uint32_t salvage(const struct large_fixture *self, const char *disk,
			const struct rp_watch *watch, struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.clone = RP_CLONE_NEVER,
						.salvage = true,
						.watch = watch};

	return rp_restore(self->path, disk, fmt("%s/salvaged", self->e.fs.mnt), &options,
			  NULL, err);
}

/* -------------------------------------------------------------------------- the bits */

static void open_one(int number, siginfo_t *info, void *context)
{
	char *at = info->si_addr;

	(void)context;
	for (unsigned i = 0; i < layers; i++) {
		if (at < bits[i] || at >= bits[i] + BITS)
			continue;
		if (open_page[i])
			mprotect(open_page[i], PAGE, PROT_NONE);
		open_page[i] = bits[i] + round_down((uint64_t)(at - bits[i]), PAGE);
		mprotect(open_page[i], PAGE, PROT_READ | PROT_WRITE);
		pages++;
		return;
	}
	signal(number, SIG_DFL); /* not ours: it happens again */
}

static void count_pages(void)
{
	const struct sigaction action = {.sa_sigaction = open_one,
					 .sa_flags = SA_SIGINFO};

	for (unsigned i = 0; i < LAYERS; i++) {
		bits[i] = mmap(NULL, BITS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(bits[i], MAP_FAILED);
	}
	ASSERT_OK(sigaction(SIGSEGV, &action, NULL));
}

/* Nor is what follows a change looked at to the end of the disk. */
TEST_F(large, a_run_of_good_chunks_is_passed_once)
{
	struct rp_error err;

	if (SANITIZED)
		SKIP("memory is a sanitizer's");
	count_pages();
	GIVES(OK, salvage(self, "vda", NULL, &err));
	EXPECT_EQ(layers, 2);
	EXPECT_GT(pages, 2 * (BITS / PAGE));
	EXPECT_LT(pages, 20 * (BITS / PAGE));
}

/* -------------------------------------------------------------------------- watching */

struct watcher {
	unsigned stop_at; /* so many seeks; 0: when all was verified */
	bool verifies;
	unsigned told; /* seeks */
	unsigned most; /* of them between two calls */
};

static int look(void *context, const struct rp_progress *progress)
{
	struct watcher *w = context;
	bool verified = w->verifies;

	w->verifies = !strcmp(progress->phase, "verifying");
	verified = verified && !w->verifies;
	if ((verified || w->verifies) && seeks - w->told > w->most)
		w->most = seeks - w->told;
	w->told = seeks;
	return w->stop_at ? seeks >= w->stop_at : verified;
}

/* What it ends with. */
static struct rp_error watch_it(const struct large_fixture *self, struct watcher *w)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = w, .progress = look};
	struct rp_error err;

	seeks = 0;
	pause_us = 3000;
	GIVES(FAILED, salvage(self, "vdb", &watch, &err));
	pause_us = 0;
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
	return err;
}

/* When all parts were read, each piece of the full image is sought once more. */
TEST_F(large, who_watches_is_called_while_the_lost_is_listed)
{
	struct watcher first = {0}, second = {0};

	watch_it(self, &first);
	EXPECT_GT(first.told, 6 * PIECES);
	EXPECT_LT(first.most, 2 * PIECES);
	second.stop_at = first.told - PIECES;
	EXPECT_STREQ(watch_it(self, &second).step, "verifying");
}

/* ------------------------------------------------------------------------- the holes */

/* Those where there was nothing before. */
TEST_F(large, chunks_without_data_are_not_looked_at)
{
	struct rp_error err;

	calls = 0;
	GIVES(OK, salvage(self, "vda", NULL, &err));
	EXPECT_LT(calls, SIZE / DIGEST_CHUNK / 16);
}

TEST_MAIN
