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
#include <stddef.h>
#include <stdint.h>

#include <refpoint.h>

/**
 * settings_parse() - read ExportSettingData
 * @text: UTF-8, at most 1 MiB; NULL or only white space means defaults
 * @ret:  set on success only, with strings of its own; release with settings_free()
 * @err:  may be NULL
 *
 * White space, and the byte order mark that editors leave, may come first.
 * Whether the disks and the base exist is for the caller to find out. Thread-safe.
 *
 * Errors: RP_INVALID_PARAMETER (does not parse, or a value that cannot be),
 * RP_INVALID_TYPE (class, property or type that is not the model's),
 * RP_OUT_OF_MEMORY.
 */
uint32_t settings_parse(const char *text, struct rp_export_options *ret,
			struct rp_error *err);

/* A copy with strings of its own, too; what @options have as a text is left out. 0 or
 * -ENOMEM. */
int settings_copy(const struct rp_export_options *options, struct rp_export_options *ret);

/* The other way round: the JSON form of @s, as a record of a job has it: without
 * restart, which is done once. NULL = no memory. */
json_t *settings_doc(const struct rp_export_options *s);

/* The same, but only what shapes the bytes of the export. */
json_t *settings_shape(const struct rp_export_options *s);

/* What settings_parse() and settings_copy() have made; twice is fine. */
void settings_free(struct rp_export_options *s);

/*
 * The two forms, which only settings_parse() calls: they add what @text says to
 * @s. On failure @s holds a part of it, fit for settings_free().
 */
uint32_t settings_from_json(struct rp_export_options *s, const char *text, size_t len,
			    struct rp_error *err);
uint32_t settings_from_xml(struct rp_export_options *s, const char *text, size_t len,
			   struct rp_error *err);

/* What both forms put together; @base and @id are copied. */
uint32_t settings_set_base(struct rp_export_options *s, const char *base,
			   struct rp_error *err);
uint32_t settings_add_disk(struct rp_export_options *s, const char *id,
			   struct rp_error *err);

#endif
