/* SPDX-License-Identifier: MIT */
/*
 * slip_test.c - documents rewritten in place are read whole, however often they are
 * rewritten meanwhile; bells wake their owner, and tell of its end
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/slip.h"
#include "harness.h"
#include "io/bell.h"
#include "stage.h"

#define READS 2000

static int folder(void)
{
	int fd = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	return fd;
}

/* Documents of all lengths, each with its number twice. */
static void write_all(int fd, unsigned rounds)
{
	char fill[800];

	memset(fill, 'x', sizeof(fill));
	for (unsigned i = 1; i <= rounds; i++) {
		json_t *doc = json_pack("{s:i, s:s#, s:i}", "First", (int)i, "Fill", fill,
					(int)(i % sizeof(fill)), "Last", (int)i);

		ASSERT_OK(slip_write(fd, doc));
		json_decref(doc);
	}
}

TEST(is_read_whole_while_it_is_rewritten)
{
	int dir = folder(), fd = slip_open(dir, "slip"), status;
	int64_t last = 0, first;
	json_t *doc;
	pid_t pid;

	ASSERT_GE(fd, 0);
	write_all(fd, 1);
	pid = fork();
	if (pid == 0) {
		write_all(fd, UINT_MAX);
		_exit(0);
	}
	for (unsigned reads = 0; reads < READS || last == 1; reads++) {
		ASSERT_OK(slip_read(dir, "slip", &doc));
		first = json_number(doc, "First");
		EXPECT_EQ(first, json_number(doc, "Last"));
		EXPECT_GE(first, last);
		last = first;
		json_decref(doc);
	}
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status), "it wrote until then");
	close(fd);
	close(dir);
}

TEST(is_known_when_it_is_damaged)
{
	int dir = folder(), fd = slip_open(dir, "slip");
	json_t *doc = json_pack("{s:i}", "Key", 1), *read;

	EXPECT_EQ(slip_read(dir, "none", &read), -ENOENT);
	EXPECT_EQ(slip_read(dir, "slip", &read), -ENOENT); /* made, not written yet */
	ASSERT_OK(slip_write(fd, doc));
	ASSERT_OK(slip_read(dir, "slip", &read));
	EXPECT_TRUE(json_equal(doc, read));
	json_decref(read);
	ASSERT_EQ(pwrite(fd, "2", 1, 24), 1);
	EXPECT_EQ(slip_read(dir, "slip", &read), -EBADMSG);
	json_decref(doc);
	close(fd);
	close(dir);
}

TEST(bell_wakes_its_owner)
{
	int dir = folder(), own, watched;

	io_bell_ring(dir, "bell"); /* there is none: nothing happens */
	ASSERT_OK(io_bell_make(dir, "bell"));
	io_bell_ring(dir, "bell"); /* nobody owns it */
	own = io_bell_own(dir, "bell");
	ASSERT_GE(own, 0);
	watched = io_bell_watch(dir, "bell");
	ASSERT_GE(watched, 0);
	EXPECT_FALSE(io_bell_rung(own));
	EXPECT_FALSE(io_bell_wait(own, NULL, 0, 0));
	EXPECT_FALSE(io_bell_is_ringing(watched));
	for (int i = 0; i < 100000; i++) /* more than a pipe holds */
		io_bell_ring(dir, "bell");
	EXPECT_TRUE(io_bell_wait(own, NULL, 0, 0));
	EXPECT_TRUE(io_bell_is_ringing(watched));
	EXPECT_TRUE(io_bell_rung(own));
	EXPECT_FALSE(io_bell_is_ringing(watched));
	EXPECT_FALSE(io_bell_rung(own));
	EXPECT_FALSE(io_bell_is_ringing(-1));
	close(watched);
	close(own);
	close(dir);
}

TEST(bell_tells_of_the_end_of_its_owner)
{
	int dir = folder(), mine, watched, ready[2];
	pid_t pid;
	char byte;

	ASSERT_OK(io_bell_make(dir, "mine"));
	ASSERT_OK(io_bell_make(dir, "bell"));
	mine = io_bell_own(dir, "mine");
	EXPECT_EQ(io_bell_watch(dir, "bell"), -ENXIO);
	ASSERT_OK(pipe(ready));
	pid = fork();
	if (pid == 0) {
		ASSERT_GE(io_bell_own(dir, "bell"), 0);
		ASSERT_EQ(write(ready[1], "", 1), 1);
		pause();
	}
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	watched = io_bell_watch(dir, "bell");
	ASSERT_GE(watched, 0);
	EXPECT_FALSE(io_bell_wait(mine, &watched, 1, 0));
	io_bell_ring(dir, "bell"); /* another that comes and goes is not its owner */
	EXPECT_FALSE(io_bell_wait(mine, &watched, 1, 0));
	ASSERT_OK(kill(pid, SIGKILL));
	EXPECT_TRUE(io_bell_wait(mine, &watched, 1, 20000));
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	EXPECT_EQ(io_bell_watch(dir, "bell"), -ENXIO);
	close(watched);
	close(mine);
	close(dir);
}

/* Only a FIFO is one, whatever lies there under its name. */
TEST(bell_is_no_other_file)
{
	int dir = folder();

	save_text(fmt("%s/file", test_dir()), "x");
	ASSERT_OK(symlink("file", fmt("%s/link", test_dir())));
	EXPECT_EQ(io_bell_own(dir, "file"), -EINVAL);
	EXPECT_EQ(io_bell_watch(dir, "file"), -EINVAL);
	EXPECT_EQ(io_bell_own(dir, "link"), -ELOOP);
	close(dir);
}

TEST_MAIN
