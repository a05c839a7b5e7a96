/* SPDX-License-Identifier: MIT */
/*
 * cmd_probe.c - refpoint probe
 */
#include "cli/cmd_store.h"

#include "cli/out.h"
#include "cli/table.h"
#include "cli/text.h"

static const char *answer(const json_t *object, const char *key, const char *yes,
			  const char *no)
{
	const json_t *value = json_object_get(object, key);

	return json_is_true(value) ? yes : json_is_false(value) ? no : NULL;
}

/* One line of a fact that could be found out. */
static void print_answer(const json_t *object, const char *key, const char *yes,
			 const char *no)
{
	const char *text = answer(object, key, yes, no);

	if (text)
		print_line(text);
}

static void print_mount(const char *title, const json_t *mount)
{
	_cleanup_free_ char *head = format_text(
		"%s: %s, %s on %s, blocks of %s", title, member_text(mount, "Path"),
		member_text(mount, "FileSystem"), member_text(mount, "Device"),
		size_text(member_number(mount, "BlockSize")).s);
	_cleanup_free_ char *direct = format_text(
		"  direct I/O works, aligned to %s bytes",
		number_text(member_number(mount, "DirectIoAlignment")).s);

	print_line(head);
	print_answer(mount, "DirectIo", direct,
		     "  direct I/O is refused: it is buffered");
	print_answer(mount, "DirectWritesBuffered",
		     "  direct writes are buffered by the file system (data checksums?)",
		     "  direct writes pass by the page cache");
	print_answer(mount, "SeekDataSeesMaps",
		     "  SEEK_DATA finds what was written through a map",
		     "  SEEK_DATA MISSES what was written through a map");
	print_answer(mount, "NocowMismatchRefused",
		     "  files with and without copy-on-write cannot share blocks", NULL);
	print_answer(mount, "ReverseMap",
		     "  has a reverse map (rmapbt): clones cost several times as much",
		     "  has no reverse map (rmapbt)");
}

static void print_pair(const json_t *probe)
{
	const json_t *clone = json_object_get(probe, "Reflink");
	const json_t *copy = json_object_get(probe, "CopyFileRange");
	_cleanup_free_ char *works = format_text(
		"Reflink works: %.0f us, and %.1f us for each extent",
		json_number_value(json_object_get(clone, "Microseconds")),
		json_number_value(json_object_get(clone, "MicrosecondsPerExtent")));
	_cleanup_free_ char *refused = format_text("Reflink does not work: %s",
						   member_text(clone, "Reason"));
	_cleanup_free_ char *no_copy = format_text("copy_file_range does not work: %s",
						   member_text(copy, "Reason"));

	print_answer(clone, "Works", works, refused);
	print_answer(clone, "PartialTailRefused", NULL,
		     "Reflink TAKES a partial last block into the middle of a file");
	print_answer(copy, "Works", NULL, no_copy);
	print_answer(copy, "EndsAtTheEnd",
		     "copy_file_range copies to the end of the file",
		     "copy_file_range ENDS before the end of the file");
}

static void print_speeds(const json_t *probe)
{
	struct table table = {
		{"BACKEND", ">BLOCK", ">DEPTH", ">PER SECOND", NULL}, NULL, 0};
	const json_t *uring = json_object_get(probe, "IoUring"), *speed;
	_cleanup_free_ char *line = format_text(
		"io_uring %s: %s",
		answer(uring, "Allowed", "works", "does not work") ?: "is unknown",
		member_text(uring, "Reason"));
	_cleanup_free_ char *choice = format_text(
		"Choice: %s", member_text(json_object_get(probe, "Choice"), "Reason"));
	size_t i;

	print_line(line);
	json_array_foreach(json_object_get(probe, "Speeds"), i, speed)
		table_row(&table, member_text(speed, "Backend"),
			  size_text(member_number(speed, "BlockSize")).s,
			  number_text(member_number(speed, "QueueDepth")).s,
			  size_text(member_number(speed, "BytesPerSecond")).s);
	if (table.count) {
		table_print(&table, "  ");
		print_line(choice);
	} else {
		_cleanup_free_ char *why = format_text("Speed was not measured: %s",
						       member_text(probe, "SpeedReason"));

		print_line(why);
	}
}

int cmd_probe(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *operand = cli->args.operands[0];
	_cleanup_free_ char *source = NULL, *target = NULL;
	json_auto_t *probe = NULL;
	struct rp_error error;
	int status;
	char *text;

	if (absolute_path(operand, &source, &error) ||
	    (cli->args.operand_count > 1 &&
	     absolute_path(cli->args.operands[1], &target, &error)))
		return fail(cli, operand, &error);
	status = open_store_if_any(cli, operand, &store);
	if (status)
		return status;
	if (rp_probe(store, source, target, &text, &error))
		return fail(cli, operand, &error);
	probe = document(text);
	if (cli->json) {
		print_result(NULL, probe);
		return 0;
	}
	print_mount(target ? "Source" : "Mount", json_object_get(probe, "Source"));
	if (target)
		print_mount("Target", json_object_get(probe, "Target"));
	print_pair(probe);
	print_speeds(probe);
	return 0;
}
