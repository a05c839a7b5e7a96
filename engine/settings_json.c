/* SPDX-License-Identifier: MIT */
/*
 * settings_json.c - ExportSettingData as a JSON object
 *
 * The properties of the class, and under "Options" what the model has no
 * property for. Names and values are matched exactly.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "engine/doc.h"
#include "engine/error.h"
#include "engine/settings.h"
#include "io/base.h"

static const char *const io_words[] = {
	[RP_IO_AUTO] = "auto",
	[RP_IO_URING] = "uring",
	[RP_IO_AIO] = "aio",
	[RP_IO_SYNC] = "sync",
	NULL,
};

static const char *const clone_words[] = {
	[RP_CLONE_AUTO] = "auto",
	[RP_CLONE_NEVER] = "never",
	[RP_CLONE_ALWAYS] = "always",
	NULL,
};

static const char *const digest_words[] = {
	[RP_DIGEST_AUTO] = "auto",
	[RP_DIGEST_ALWAYS] = "always",
	[RP_DIGEST_NEVER] = "never",
	NULL,
};

static const char *const ionice_words[] = {
	[RP_IONICE_NONE] = "none",
	[RP_IONICE_LOW] = "low",
	[RP_IONICE_IDLE] = "idle",
	NULL,
};

static const char *const format_words[] = {
	[RP_FORMAT_RAW] = "raw",
	[RP_FORMAT_QCOW2] = "qcow2",
	[RP_FORMAT_VHDX] = "vhdx",
	NULL,
};

/* One member of an object: its name, and who reads its value into the settings. */
struct member {
	const char *name;
	uint32_t (*read)(struct settings *s, const json_t *value, struct rp_error *err);
};

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static uint32_t wrong_type(struct rp_error *err, const char *name, const char *expected,
			   const json_t *value)
{
	return rp_fail(err, RP_INVALID_TYPE, "settings",
		       "ExportSettingData: %s must be %s, not %s", name, expected,
		       type_name(value));
}

static uint32_t read_members(struct settings *s, const json_t *object,
			     const struct member *members, size_t count,
			     uint32_t unknown_code, struct rp_error *err)
{
	const char *key;
	json_t *value;

	/* The macro only reads, but jansson's iterator wants a writable object. */
	json_object_foreach((json_t *)object, key, value) {
		size_t i = 0;
		uint32_t code;

		while (i < count && strcmp(members[i].name, key))
			i++;
		if (i == count)
			return rp_fail(err, unknown_code, "settings",
				       "ExportSettingData: unknown %s \"%.64s\"",
				       unknown_code == RP_INVALID_TYPE ? "property"
								       : "option",
				       key);
		code = members[i].read(s, value, err);
		if (code)
			return code;
	}
	return RP_OK;
}

static uint32_t read_base(struct settings *s, const json_t *value, struct rp_error *err)
{
	if (json_is_null(value))
		return RP_OK;
	if (!json_is_string(value))
		return wrong_type(err, "BaseReferencePoint", "a string or null", value);
	return settings_set_base(s, json_string_value(value), err);
}

static uint32_t read_disks(struct settings *s, const json_t *value, struct rp_error *err)
{
	size_t i;
	json_t *disk;

	if (json_is_null(value))
		return RP_OK;
	if (!json_is_array(value))
		return wrong_type(err, "DisksToExport", "an array of strings or null",
				  value);
	json_array_foreach(value, i, disk) {
		uint32_t code;

		if (!json_is_string(disk))
			return wrong_type(err, "every entry of DisksToExport", "a string",
					  disk);
		code = settings_add_disk(s, json_string_value(disk), err);
		if (code)
			return code;
	}
	return RP_OK;
}

/* The value's place among @words, which end in NULL. */
static uint32_t read_word(const char *option, const char *const words[],
			  const json_t *value, unsigned *ret, struct rp_error *err)
{
	char listed[64] = "";
	size_t used = 0;

	if (!json_is_string(value))
		return wrong_type(err, option, "a string", value);
	for (unsigned i = 0; words[i]; i++) {
		if (!strcmp(words[i], json_string_value(value))) {
			*ret = i;
			return RP_OK;
		}
		used += (size_t)snprintf(listed + used, sizeof(listed) - used, "%s%s",
					 i ? ", " : "", words[i]);
	}
	return rp_fail(
		err, RP_INVALID_PARAMETER, "settings",
		"ExportSettingData: option %s is \"%.64s\", but can only be one of %s",
		option, json_string_value(value), listed);
}

static uint32_t read_io(struct settings *s, const json_t *value, struct rp_error *err)
{
	unsigned word = RP_IO_AUTO;
	uint32_t code = read_word("Io", io_words, value, &word, err);

	s->io = word;
	return code;
}

static uint32_t read_clone(struct settings *s, const json_t *value, struct rp_error *err)
{
	unsigned word = RP_CLONE_AUTO;
	uint32_t code = read_word("Clone", clone_words, value, &word, err);

	s->clone = word;
	return code;
}

static uint32_t read_digest(struct settings *s, const json_t *value, struct rp_error *err)
{
	unsigned word = RP_DIGEST_AUTO;
	uint32_t code = read_word("Digest", digest_words, value, &word, err);

	s->digest = word;
	return code;
}

#define TIMEOUT_MAX UINT32_MAX /* seconds */

/* Seconds; the limit of 136 years keeps every later sum of nanoseconds in range. */
static uint32_t read_timeout(struct settings *s, const json_t *value,
			     struct rp_error *err)
{
	_cleanup_free_ char *text = NULL;
	double seconds = json_number_value(value);

	if (!json_is_number(value))
		return wrong_type(err, "Timeout", "a number of seconds", value);
	if (seconds > 0 && seconds <= TIMEOUT_MAX) {
		s->timeout_ms = max_u64(1, (uint64_t)(seconds * 1000 + 0.5));
		return RP_OK;
	}
	text = doc_dump(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	return rp_fail(
		err, RP_INVALID_PARAMETER, "settings",
		"ExportSettingData: option Timeout is %s seconds, but must be more "
		"than 0 and at most %u",
		text ?: "wrong", TIMEOUT_MAX);
}

static uint32_t read_number(const char *option, const json_t *value, uint64_t least,
			    uint64_t most, uint64_t *ret, struct rp_error *err)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(err, option, "a whole number", value);
	if (number < (json_int_t)least || number > (json_int_t)most)
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData: option %s is %lld, but must be from "
			       "%llu to %llu",
			       option, (long long)number, (unsigned long long)least,
			       (unsigned long long)most);
	*ret = (uint64_t)number;
	return RP_OK;
}

static uint32_t read_block_size(struct settings *s, const json_t *value,
				struct rp_error *err)
{
	return read_number("BlockSize", value, 1, INT64_MAX, &s->block_size, err);
}

static uint32_t read_memory(struct settings *s, const json_t *value, struct rp_error *err)
{
	return read_number("Memory", value, 1, INT64_MAX, &s->memory, err);
}

static uint32_t read_queue_depth(struct settings *s, const json_t *value,
				 struct rp_error *err)
{
	uint64_t depth = 0;
	uint32_t code = read_number("QueueDepth", value, 1, UINT32_MAX, &depth, err);

	s->queue_depth = (unsigned)depth;
	return code;
}

static uint32_t read_bandwidth(struct settings *s, const json_t *value,
			       struct rp_error *err)
{
	return read_number("BandwidthLimit", value, 0, INT64_MAX, &s->bandwidth, err);
}

static uint32_t read_iops(struct settings *s, const json_t *value, struct rp_error *err)
{
	uint64_t iops = 0;
	uint32_t code = read_number("IopsLimit", value, 0, UINT32_MAX, &iops, err);

	s->iops = (uint32_t)iops;
	return code;
}

static uint32_t read_max_pressure(struct settings *s, const json_t *value,
				  struct rp_error *err)
{
	uint64_t per_cent = 0;
	uint32_t code = read_number("MaxPressure", value, 1, 99, &per_cent, err);

	s->max_pressure = (uint32_t)per_cent;
	return code;
}

static uint32_t read_pressure_of(struct settings *s, const json_t *value,
				 struct rp_error *err)
{
	if (!json_is_string(value))
		return wrong_type(err, "PressureOf", "a string", value);
	s->pressure_of = strdup(json_string_value(value));
	return s->pressure_of ? RP_OK
			      : rp_fail_os(err, -ENOMEM, "settings", "PressureOf");
}

static uint32_t read_priority(struct settings *s, const json_t *value,
			      struct rp_error *err)
{
	uint64_t priority = 0;
	uint32_t code = read_number("Priority", value, 1, 99, &priority, err);

	s->priority = (uint32_t)priority;
	return code;
}

static uint32_t read_ionice(struct settings *s, const json_t *value, struct rp_error *err)
{
	unsigned word = RP_IONICE_NONE;
	uint32_t code = read_word("IoNice", ionice_words, value, &word, err);

	s->ionice = word;
	return code;
}

static uint32_t read_flag(const char *option, const json_t *value, bool *ret,
			  struct rp_error *err)
{
	if (!json_is_boolean(value))
		return wrong_type(err, option, "true or false", value);
	*ret = json_is_true(value);
	return RP_OK;
}

static uint32_t read_strict(struct settings *s, const json_t *value, struct rp_error *err)
{
	return read_flag("Strict", value, &s->strict, err);
}

static uint32_t read_restart(struct settings *s, const json_t *value,
			     struct rp_error *err)
{
	return read_flag("Restart", value, &s->restart, err);
}

static uint32_t read_format(struct settings *s, const json_t *value, struct rp_error *err)
{
	unsigned word = RP_FORMAT_RAW;
	uint32_t code = read_word("Format", format_words, value, &word, err);

	s->format = word;
	return code;
}

static uint32_t read_cluster_size(struct settings *s, const json_t *value,
				  struct rp_error *err)
{
	return read_number("ClusterSize", value, 1, INT64_MAX, &s->cluster_size, err);
}

/* As of Hyper-V's exports: 1 = full and differential ones are kept, 2 = merged. */
static uint32_t read_intent(struct settings *s, const json_t *value, struct rp_error *err)
{
	if (!json_is_integer(value))
		return wrong_type(err, "BackupIntent", "1 or 2", value);
	if (json_integer_value(value) != 1 && json_integer_value(value) != 2)
		return rp_fail(
			err, RP_INVALID_PARAMETER, "settings",
			"ExportSettingData: option BackupIntent is %" JSON_INTEGER_FORMAT
			", but must be 1 (keep the chain) or 2 (merge)",
			json_integer_value(value));
	s->merge = json_integer_value(value) == 2;
	return RP_OK;
}

static uint32_t read_options(struct settings *s, const json_t *value,
			     struct rp_error *err)
{
	static const struct member options[] = {
		{"Io", read_io},
		{"Clone", read_clone},
		{"Digest", read_digest},
		{"Timeout", read_timeout},
		{"BlockSize", read_block_size},
		{"QueueDepth", read_queue_depth},
		{"Memory", read_memory},
		{"BandwidthLimit", read_bandwidth},
		{"Priority", read_priority},
		{"IopsLimit", read_iops},
		{"MaxPressure", read_max_pressure},
		{"PressureOf", read_pressure_of},
		{"IoNice", read_ionice},
		{"Strict", read_strict},
		{"Restart", read_restart},
		{"Format", read_format},
		{"ClusterSize", read_cluster_size},
		{"BackupIntent", read_intent},
	};

	if (!json_is_object(value))
		return wrong_type(err, "Options", "an object", value);
	return read_members(s, value, options, ARRAY_SIZE(options), RP_INVALID_PARAMETER,
			    err);
}

uint32_t settings_from_json(struct settings *s, const char *text, size_t len,
			    struct rp_error *err)
{
	static const struct member properties[] = {
		{"BaseReferencePoint", read_base},
		{"DisksToExport", read_disks},
		{"Options", read_options},
	};
	_cleanup_doc_ json_t *root = NULL;
	json_error_t error;

	/* jansson reports a failed allocation as a bad token, or not at all. */
	errno = 0;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!root && errno == ENOMEM)
		return rp_fail(err, RP_OUT_OF_MEMORY, "settings",
			       "ExportSettingData: no memory to parse the JSON text");
	if (!root)
		return rp_fail(
			err, RP_INVALID_PARAMETER, "settings",
			"ExportSettingData: not valid JSON at line %d column %d: %s",
			error.line, error.column, error.text);
	if (!json_is_object(root))
		return wrong_type(err, "the JSON", "an object", root);
	return read_members(s, root, properties, ARRAY_SIZE(properties), RP_INVALID_TYPE,
			    err);
}

/* A limit from C may be beyond what can be said; that much is none, too. */
static json_t *at_most(uint64_t number, uint64_t most)
{
	return json_integer((json_int_t)min_u64(number, most));
}

/* Documents have six digits of a real number: enough for milliseconds up to here. */
static json_t *timeout_doc(uint64_t ms)
{
	uint64_t seconds = ms / 1000 + (ms % 1000 != 0);

	return ms < 1000000 ? json_real((double)ms / 1000)
			    : at_most(seconds, TIMEOUT_MAX);
}

/* What is as it is by default is left out. */
static int add_options(json_t *options, const struct rp_export_options *o)
{
	int r = 0;

	if (o->io)
		r |= json_object_set_new(options, "Io", json_string(io_words[o->io]));
	if (o->clone)
		r |= json_object_set_new(options, "Clone",
					 json_string(clone_words[o->clone]));
	if (o->digest)
		r |= json_object_set_new(options, "Digest",
					 json_string(digest_words[o->digest]));
	if (o->timeout_ms)
		r |= json_object_set_new(options, "Timeout", timeout_doc(o->timeout_ms));
	if (o->block_size)
		r |= json_object_set_new(options, "BlockSize",
					 json_integer((json_int_t)o->block_size));
	if (o->queue_depth)
		r |= json_object_set_new(options, "QueueDepth",
					 json_integer((json_int_t)o->queue_depth));
	if (o->memory)
		r |= json_object_set_new(options, "Memory",
					 at_most(o->memory, INT64_MAX));
	if (o->bandwidth)
		r |= json_object_set_new(options, "BandwidthLimit",
					 at_most(o->bandwidth, INT64_MAX));
	if (o->iops)
		r |= json_object_set_new(options, "IopsLimit", json_integer(o->iops));
	if (o->max_pressure)
		r |= json_object_set_new(options, "MaxPressure",
					 json_integer(o->max_pressure));
	if (o->pressure_of)
		r |= json_object_set_new(options, "PressureOf",
					 json_string(o->pressure_of));
	if (o->priority)
		r |= json_object_set_new(options, "Priority",
					 json_integer((json_int_t)o->priority));
	if (o->ionice)
		r |= json_object_set_new(options, "IoNice",
					 json_string(ionice_words[o->ionice]));
	if (o->strict)
		r |= json_object_set_new(options, "Strict", json_true());
	if (o->format)
		r |= json_object_set_new(options, "Format",
					 json_string(format_words[o->format]));
	if (o->cluster_size)
		r |= json_object_set_new(options, "ClusterSize",
					 json_integer((json_int_t)o->cluster_size));
	if (o->merge)
		r |= json_object_set_new(options, "BackupIntent", json_integer(2));
	return r;
}

json_t *settings_doc(const struct rp_export_options *o)
{
	_cleanup_doc_ json_t *disks = json_array(), *options = json_object();
	int r = disks && options ? add_options(options, o) : -1;

	for (size_t i = 0; r == 0 && i < o->disk_count; i++)
		r = json_array_append_new(disks, json_string(o->disks[i]));
	return r == 0 ? json_pack("{s:s?, s:O, s:O}", "BaseReferencePoint", o->base,
				  "DisksToExport", disks, "Options", options)
		      : NULL;
}
