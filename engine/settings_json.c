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

#include "doc.h"
#include "error.h"
#include "io/base.h"
#include "settings.h"

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

/* What an option is about. */
enum about {
	HOW,  /* bytes are moved: an interrupted export may go on with another */
	WHAT, /* is exported: it goes on only with the same */
	ONCE, /* is done, at the beginning: no record repeats it */
};

/*
 * A member of an object. What has no functions of its own is one of @words, which end in
 * NULL; if there are none, a whole number from @least to @most; if that is 0, a flag.
 */
struct member {
	const char *name;
	enum about about;
	size_t at, size; /* in struct rp_export_options */
	const char *const *words;
	uint64_t least, most;
	uint32_t (*read)(struct rp_export_options *s, const json_t *value,
			 struct rp_error *err);
	json_t *(*write)(const struct rp_export_options *s);
};

#define AT(field)                                        \
	.at = offsetof(struct rp_export_options, field), \
	.size = sizeof(((struct rp_export_options *)0)->field)

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

static uint64_t number_of(const struct member *m, const struct rp_export_options *s)
{
	const void *at = (const char *)s + m->at;

	return m->size == sizeof(uint64_t) ? *(const uint64_t *)at
					   : *(const uint32_t *)at;
}

static void set_number(const struct member *m, struct rp_export_options *s,
		       uint64_t number)
{
	void *at = (char *)s + m->at;

	if (m->size == sizeof(uint64_t))
		*(uint64_t *)at = number;
	else
		*(uint32_t *)at = (uint32_t)number;
}

/* The value's place among the words. */
static uint32_t read_word(const struct member *m, struct rp_export_options *s,
			  const json_t *value, struct rp_error *err)
{
	char listed[64] = "";
	size_t used = 0;

	if (!json_is_string(value))
		return wrong_type(err, m->name, "a string", value);
	for (unsigned i = 0; m->words[i]; i++) {
		if (!strcmp(m->words[i], json_string_value(value))) {
			set_number(m, s, i);
			return RP_OK;
		}
		used += (size_t)snprintf(listed + used, sizeof(listed) - used, "%s%s",
					 i ? ", " : "", m->words[i]);
	}
	return rp_fail(
		err, RP_INVALID_PARAMETER, "settings",
		"ExportSettingData: option %s is \"%.64s\", but can only be one of %s",
		m->name, json_string_value(value), listed);
}

static uint32_t read_number(const struct member *m, struct rp_export_options *s,
			    const json_t *value, struct rp_error *err)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(err, m->name, "a whole number", value);
	if (number < (json_int_t)m->least || number > (json_int_t)m->most)
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData: option %s is %lld, but must be from "
			       "%llu to %llu",
			       m->name, (long long)number, (unsigned long long)m->least,
			       (unsigned long long)m->most);
	set_number(m, s, (uint64_t)number);
	return RP_OK;
}

static uint32_t read_flag(const struct member *m, struct rp_export_options *s,
			  const json_t *value, struct rp_error *err)
{
	if (!json_is_boolean(value))
		return wrong_type(err, m->name, "true or false", value);
	*(bool *)((char *)s + m->at) = json_is_true(value);
	return RP_OK;
}

static uint32_t read_member(const struct member *m, struct rp_export_options *s,
			    const json_t *value, struct rp_error *err)
{
	if (m->read)
		return m->read(s, value, err);
	if (m->words)
		return read_word(m, s, value, err);
	return m->most ? read_number(m, s, value, err) : read_flag(m, s, value, err);
}

static uint32_t read_members(struct rp_export_options *s, const json_t *object,
			     const struct member *members, size_t count,
			     uint32_t unknown_code, struct rp_error *err)
{
	const char *key;
	json_t *value;

	/* The macro only reads, but jansson's iterator wants a writable object. */
	json_object_foreach((json_t *)object, key, value) {
		size_t i = 0;
		uint32_t rc;

		while (i < count && strcmp(members[i].name, key))
			i++;
		if (i == count)
			return rp_fail(err, unknown_code, "settings",
				       "ExportSettingData: unknown %s \"%.64s\"",
				       unknown_code == RP_INVALID_TYPE ? "property"
								       : "option",
				       key);
		rc = read_member(&members[i], s, value, err);
		if (rc)
			return rc;
	}
	return RP_OK;
}

static uint32_t read_base(struct rp_export_options *s, const json_t *value,
			  struct rp_error *err)
{
	if (json_is_null(value))
		return RP_OK;
	if (!json_is_string(value))
		return wrong_type(err, "BaseReferencePoint", "a string or null", value);
	return settings_set_base(s, json_string_value(value), err);
}

static uint32_t read_disks(struct rp_export_options *s, const json_t *value,
			   struct rp_error *err)
{
	size_t i;
	json_t *disk;

	if (json_is_null(value))
		return RP_OK;
	if (!json_is_array(value))
		return wrong_type(err, "DisksToExport", "an array of strings or null",
				  value);
	json_array_foreach(value, i, disk) {
		uint32_t rc;

		if (!json_is_string(disk))
			return wrong_type(err, "every entry of DisksToExport", "a string",
					  disk);
		rc = settings_add_disk(s, json_string_value(disk), err);
		if (rc)
			return rc;
	}
	return RP_OK;
}

/* A limit from C may be beyond what can be said; that much is none, too. */
static json_t *at_most(uint64_t number, uint64_t most)
{
	return json_integer((json_int_t)min_u64(number, most));
}

#define TIMEOUT_MAX UINT32_MAX /* seconds */

/* Seconds; the limit of 136 years keeps every later sum of nanoseconds in range. */
static uint32_t read_timeout(struct rp_export_options *s, const json_t *value,
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

/* Documents have six digits of a real number: enough for milliseconds up to here. */
static json_t *write_timeout(const struct rp_export_options *s)
{
	uint64_t ms = s->timeout_ms, seconds = ms / 1000 + (ms % 1000 != 0);

	return ms < 1000000 ? json_real((double)ms / 1000)
			    : at_most(seconds, TIMEOUT_MAX);
}

static uint32_t read_pressure_of(struct rp_export_options *s, const json_t *value,
				 struct rp_error *err)
{
	if (!json_is_string(value))
		return wrong_type(err, "PressureOf", "a string", value);
	s->pressure_of = strdup(json_string_value(value));
	return s->pressure_of ? RP_OK
			      : rp_fail_os(err, -ENOMEM, "settings", "PressureOf");
}

static json_t *write_pressure_of(const struct rp_export_options *s)
{
	return json_string(s->pressure_of);
}

/* As of Hyper-V's exports: 1 = full and differential ones are kept, 2 = merged. */
static uint32_t read_intent(struct rp_export_options *s, const json_t *value,
			    struct rp_error *err)
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

static json_t *write_intent(const struct rp_export_options *s)
{
	return json_integer(s->merge ? 2 : 1);
}

/* In the order in which records have them. */
static const struct member options[] = {
	{"Io", HOW, AT(io), .words = io_words},
	{"Clone", HOW, AT(clone), .words = clone_words},
	{"Digest", HOW, AT(digest), .words = digest_words},
	{"Timeout", HOW, AT(timeout_ms), .read = read_timeout, .write = write_timeout},
	{"BlockSize", HOW, AT(block_size), .least = 1, .most = INT64_MAX},
	{"QueueDepth", HOW, AT(queue_depth), .least = 1, .most = UINT32_MAX},
	{"Memory", HOW, AT(memory), .least = 1, .most = INT64_MAX},
	{"BandwidthLimit", HOW, AT(bandwidth), .most = INT64_MAX},
	{"IopsLimit", HOW, AT(iops), .most = UINT32_MAX},
	{"MaxPressure", HOW, AT(max_pressure), .least = 1, .most = 99},
	{"PressureOf", HOW, AT(pressure_of), .read = read_pressure_of,
	 .write = write_pressure_of},
	{"Priority", HOW, AT(priority), .least = 1, .most = 99},
	{"IoNice", HOW, AT(ionice), .words = ionice_words},
	{"Strict", WHAT, AT(strict)},
	{"Restart", ONCE, AT(restart)},
	{"Format", WHAT, AT(format), .words = format_words},
	{"ClusterSize", WHAT, AT(cluster_size), .least = 1, .most = INT64_MAX},
	{"BackupIntent", WHAT, AT(merge), .read = read_intent, .write = write_intent},
};

static uint32_t read_options(struct rp_export_options *s, const json_t *value,
			     struct rp_error *err)
{
	if (!json_is_object(value))
		return wrong_type(err, "Options", "an object", value);
	return read_members(s, value, options, ARRAY_SIZE(options), RP_INVALID_PARAMETER,
			    err);
}

uint32_t settings_from_json(struct rp_export_options *s, const char *text, size_t len,
			    struct rp_error *err)
{
	static const struct member properties[] = {
		{"BaseReferencePoint", .read = read_base},
		{"DisksToExport", .read = read_disks},
		{"Options", .read = read_options},
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

static json_t *write_member(const struct member *m, const struct rp_export_options *s)
{
	if (m->write)
		return m->write(s);
	if (m->words)
		return json_string(m->words[number_of(m, s)]);
	return m->most ? at_most(number_of(m, s), m->most) : json_true();
}

/* What is as it is by default is left out. */
static int write_options(json_t *ret, const struct rp_export_options *s, bool shape)
{
	int r = 0;

	for (const struct member *m = options; m < options + ARRAY_SIZE(options); m++)
		if ((m->about == WHAT || (m->about == HOW && !shape)) &&
		    !is_zero((const char *)s + m->at, m->size))
			r |= json_object_set_new(ret, m->name, write_member(m, s));
	return r;
}

static json_t *write_all(const struct rp_export_options *s, bool shape)
{
	_cleanup_doc_ json_t *disks = json_array(), *chosen = json_object();
	int r = disks && chosen ? write_options(chosen, s, shape) : -1;

	for (size_t i = 0; r == 0 && i < s->disk_count; i++)
		r = json_array_append_new(disks, json_string(s->disks[i]));
	return r == 0 ? json_pack("{s:s?, s:O, s:O}", "BaseReferencePoint", s->base,
				  "DisksToExport", disks, "Options", chosen)
		      : NULL;
}

json_t *settings_doc(const struct rp_export_options *s)
{
	return write_all(s, false);
}

json_t *settings_shape(const struct rp_export_options *s)
{
	return write_all(s, true);
}
