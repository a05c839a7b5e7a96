/* SPDX-License-Identifier: MIT */
/*
 * settings.h - ExportSettingData: the settings of one export, given as text
 *
 * One value, two forms: JSON, and the CIM-XML form of the class
 * Msvm_VirtualSystemReferencePointExportSettingData. The text may come from
 * anywhere; nothing in it makes the parser open, fetch or print anything.
 */
#ifndef ENGINE_SETTINGS_H
#define ENGINE_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <refpoint.h>

struct settings {
	char *base;   /* the base point; NULL = a full export, never "" */
	char **disks; /* their IDs: none empty, none twice; NULL = all */
	size_t disk_count;
	enum rp_io io;
	enum rp_clone clone;
	enum rp_digest digest;
	uint64_t timeout_ms;	     /* 0 = none */
	uint64_t block_size, memory; /* 0 = not given */
	unsigned queue_depth;
	uint64_t bandwidth;	     /* 0 = no limit */
	uint32_t iops, max_pressure; /* the same */
	char *pressure_of;	     /* NULL = the system's */
	uint32_t priority;	     /* 0 = the usual one */
	enum rp_ionice ionice;
	bool strict, merge;
	bool restart;
	enum rp_format format;
	uint64_t cluster_size; /* 0 = not given */
};

/**
 * settings_parse() - read ExportSettingData
 * @text: UTF-8, at most 1 MiB; NULL or only white space means defaults
 * @ret:  set on success only; release with settings_free()
 * @err:  may be NULL
 *
 * White space, and the byte order mark that editors leave, may come first.
 * Whether the disks and the base exist is for the caller to find out. Thread-safe.
 *
 * Errors: RP_INVALID_PARAMETER (does not parse, or a value that cannot be),
 * RP_INVALID_TYPE (class, property or type that is not the model's),
 * RP_OUT_OF_MEMORY.
 */
uint32_t settings_parse(const char *text, struct settings *ret, struct rp_error *err);

/* As options of an export, which borrow @s. */
void settings_options(const struct settings *s, struct rp_export_options *ret);

/* The other way round: the JSON form of @options, as a record of a job has it: without
 * restart, which is done once. NULL = no memory. */
json_t *settings_doc(const struct rp_export_options *options);

void settings_free(struct settings *s); /* what it points to; twice is fine */

/*
 * The two forms, which only settings_parse() calls: they add what @text says to
 * @s. On failure @s holds a part of it, fit for settings_free().
 */
uint32_t settings_from_json(struct settings *s, const char *text, size_t len,
			    struct rp_error *err);
uint32_t settings_from_xml(struct settings *s, const char *text, size_t len,
			   struct rp_error *err);

/* What both forms put together; @base and @id are copied. */
uint32_t settings_set_base(struct settings *s, const char *base, struct rp_error *err);
uint32_t settings_add_disk(struct settings *s, const char *id, struct rp_error *err);

#endif
