/* SPDX-License-Identifier: MIT */
/*
 * settings_test.c - ExportSettingData: what is accepted and as what, what is
 * refused and with which words, and that parsing has no other effect
 */
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/doc.h"
#include "engine/journal.h"
#include "engine/settings.h"
#include "io/base.h"
#include "tests/harness.h"
#include "tests/intercept.h"

#define CLASS	       "Msvm_VirtualSystemReferencePointExportSettingData"
#define INSTANCE(body) "<INSTANCE CLASSNAME=\"" CLASS "\">" body "</INSTANCE>"
#define STRING(name, body) \
	"<PROPERTY NAME=\"" name "\" TYPE=\"string\">" body "</PROPERTY>"
#define STRINGS(name, body) \
	"<PROPERTY.ARRAY NAME=\"" name "\" TYPE=\"string\">" body "</PROPERTY.ARRAY>"
#define BASE(body)    STRING("BaseReferencePoint", body)
#define DISKS(body)   STRINGS("DisksToExport", "<VALUE.ARRAY>" body "</VALUE.ARRAY>")
#define VALUE(text)   "<VALUE>" text "</VALUE>"
#define OPTIONS(body) "{\"Options\": {" body "}}"

#define JSON_TEXT                                                                          \
	"{\"BaseReferencePoint\": \"web1@1c9f\", \"DisksToExport\": [\"vda\", \"vdb\"],\n" \
	" \"Options\": {\"Io\": \"aio\", \"Clone\": \"never\", \"Digest\": \"always\", "   \
	"\"Timeout\": 3600}}"

/* As SWbemObject.GetText_(1) writes it, and indented. */
#define XML_TEXT                                                                           \
	"<INSTANCE CLASSNAME=\"" CLASS "\">\n"                                             \
	"  <QUALIFIER NAME=\"dynamic\" TYPE=\"boolean\"><VALUE>TRUE</VALUE></QUALIFIER>\n" \
	"  <PROPERTY NAME=\"__PATH\" CLASSORIGIN=\"___SYSTEM\" TYPE=\"string\">"           \
	"<VALUE>\\\\HOST\\root\\virtualization\\v2:" CLASS "</VALUE></PROPERTY>\n"         \
	"  <PROPERTY NAME=\"__PROPERTY_COUNT\" CLASSORIGIN=\"___SYSTEM\" "                 \
	"TYPE=\"sint32\"><VALUE>6</VALUE></PROPERTY>\n"                                    \
	"  <PROPERTY.ARRAY NAME=\"__DERIVATION\" CLASSORIGIN=\"___SYSTEM\" "               \
	"TYPE=\"string\"><VALUE.ARRAY><VALUE>CIM_SettingData</VALUE></VALUE.ARRAY>"        \
	"</PROPERTY.ARRAY>\n"                                                              \
	"  <PROPERTY NAME=\"BaseReferencePoint\" CLASSORIGIN=\"" CLASS "\" "               \
	"MODIFIED=\"TRUE\" TYPE=\"string\">\n"                                             \
	"    <QUALIFIER NAME=\"write\" TYPE=\"boolean\"><VALUE>TRUE</VALUE></QUALIFIER>\n" \
	"    <VALUE>web1@1c9f</VALUE>\n  </PROPERTY>\n"                                    \
	"  <PROPERTY NAME=\"Caption\" PROPAGATED=\"true\" TYPE=\"string\"></PROPERTY>\n"   \
	"  <PROPERTY NAME=\"Description\" PROPAGATED=\"true\" TYPE=\"string\"/>\n"         \
	"  <PROPERTY NAME=\"ElementName\" TYPE=\"string\"><VALUE>x</VALUE></PROPERTY>\n"   \
	"  <PROPERTY NAME=\"InstanceID\" TYPE=\"string\"><VALUE/></PROPERTY>\n"            \
	"  <!-- two of three -->\n"                                                        \
	"  <PROPERTY.ARRAY NAME=\"DisksToExport\" TYPE=\"string\">\n"                      \
	"    <VALUE.ARRAY>\n      <VALUE>vda</VALUE>\n      <VALUE>vdb</VALUE>\n"          \
	"    </VALUE.ARRAY>\n  </PROPERTY.ARRAY>\n"                                        \
	"</INSTANCE>"

#define LAUGHS                                                                             \
	"<!DOCTYPE INSTANCE [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">"   \
	"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">" \
	"<!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;\"><!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;\">" \
	"<!ENTITY g \"&f;&f;&f;&f;&f;&f;&f;&f;\"><!ENTITY h \"&g;&g;&g;&g;&g;&g;&g;&g;\">]>"

/* ---------------------------------------------------------------- accepted */

/* @disks are joined with commas; the rest is in @want. */
static const struct accepted {
	const char *text, *disks;
	struct rp_export_options want;
} accepted[] = {
	{NULL, "", {0}},
	{"", "", {0}},
	{" \t\r\n ", "", {0}},
	{"\xef\xbb\xbf", "", {0}},
	/* JSON */
	{"{}", "", {0}},
	{"\n\t {} \r\n", "", {0}},
	{"\xef\xbb\xbf{}", "", {0}},
	{JSON_TEXT,
	 "vda,vdb",
	 {.base = "web1@1c9f",
	  .io = RP_IO_AIO,
	  .clone = RP_CLONE_NEVER,
	  .digest = RP_DIGEST_ALWAYS,
	  .timeout_ms = 3600000}},
	{"{\"BaseReferencePoint\": null, \"DisksToExport\": null}", "", {0}},
	{"{\"BaseReferencePoint\": \"\", \"DisksToExport\": [], \"Options\": {}}",
	 "",
	 {0}},
	{"{\"BaseReferencePoint\": \"caf\\u00e9 \xf0\x9f\x98\x80\"}",
	 "",
	 {.base = "caf\xc3\xa9 \xf0\x9f\x98\x80"}},
	{"{\"DisksToExport\": [\"b\", \"a\", \"A\", \" \"]}", "b,a,A, ", {0}},
	{OPTIONS("\"Io\": \"auto\", \"Clone\": \"auto\", \"Digest\": \"auto\""), "", {0}},
	{OPTIONS("\"Io\": \"uring\""), "", {.io = RP_IO_URING}},
	{OPTIONS("\"Io\": \"sync\""), "", {.io = RP_IO_SYNC}},
	{OPTIONS("\"Clone\": \"always\""), "", {.clone = RP_CLONE_ALWAYS}},
	{OPTIONS("\"Digest\": \"never\""), "", {.digest = RP_DIGEST_NEVER}},
	{OPTIONS("\"Timeout\": 1.5"), "", {.timeout_ms = 1500}},
	{OPTIONS("\"Timeout\": 1.1"), "", {.timeout_ms = 1100}},
	{OPTIONS("\"Timeout\": 1e-9"), "", {.timeout_ms = 1}},
	{OPTIONS("\"Timeout\": 4294967295"), "", {.timeout_ms = 4294967295000}},
	/* CIM-XML */
	{XML_TEXT, "vda,vdb", {.base = "web1@1c9f"}},
	{INSTANCE(""), "", {0}},
	{"\n " INSTANCE("") "\n", "", {0}},
	{"\xef\xbb\xbf<?xml version=\"1.0\"?>\n" INSTANCE(""), "", {0}},
	{"<?xml version=\"1.0\" encoding=\"utf-16\"?>" INSTANCE(BASE(VALUE("\xc3\xa9"))),
	 "",
	 {.base = "\xc3\xa9"}},
	{"<?xml version=\"1.0\" encoding=\"nonsense\"?>" INSTANCE(""), "", {0}},
	{INSTANCE(BASE("") STRINGS("DisksToExport", "")), "", {0}},
	{INSTANCE(BASE("<VALUE/>") DISKS("")), "", {0}},
	{INSTANCE(BASE(VALUE(" a "))), "", {.base = " a "}},
	{INSTANCE(DISKS(VALUE("b") VALUE("a"))), "b,a", {0}},
	{INSTANCE(BASE(VALUE("&lt;&#x41;<![CDATA[<&]]><!-- - --><?p?>z"))),
	 "",
	 {.base = "<A<&z"}},
	{"<INSTANCE classname=\"x\" "
	 "CLASSNAME=\"MSVM_virtualsystemreferencepointexportsettingdata\">" STRING(
		 "BASEREFERENCEPOINT", VALUE("b")) STRING("caption", "")
		 STRINGS("disksToexport",
			 "<VALUE.ARRAY><VALUE>d</VALUE></VALUE.ARRAY>") "</INSTANCE>",
	 "d",
	 {.base = "b"}},
};

static void check_disks(const struct rp_export_options *s, const char *joined)
{
	char all[64] = "";
	size_t used = 0;

	for (size_t i = 0; i < s->disk_count; i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
					 i ? "," : "", s->disks[i]);
	EXPECT_STREQ(all, joined);
}

static void check_accepted(const struct accepted *a)
{
	struct rp_error err;
	struct rp_export_options s;

	ASSERT_EQ(settings_parse(a->text, &s, &err), RP_OK, "%s: %s", a->text,
		  err.message);
	EXPECT_STREQ(s.base, a->want.base, "%s", a->text);
	check_disks(&s, a->disks);
	EXPECT_EQ(s.io, a->want.io, "%s", a->text);
	EXPECT_EQ(s.clone, a->want.clone, "%s", a->text);
	EXPECT_EQ(s.digest, a->want.digest, "%s", a->text);
	EXPECT_EQ(s.timeout_ms, a->want.timeout_ms, "%s", a->text);
	settings_free(&s);
	EXPECT_EQ(s.disks, NULL);
	settings_free(&s);
}

TEST(accepts)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
		check_accepted(&accepted[i]);
}

/* ----------------------------------------------------------------- refused */

static const struct refused {
	const char *text;
	uint32_t code;
	const char *says;
} refused[] = {
	{"x", RP_INVALID_PARAMETER, "neither"},
	{"[", RP_INVALID_PARAMETER, "neither"},
	{"nul", RP_INVALID_PARAMETER, "neither"},
	{"\"x\" 5", RP_INVALID_PARAMETER, "neither"},
	/* JSON that is no object */
	{"[]", RP_INVALID_TYPE, "the JSON must be an object, not an array"},
	{"\xef\xbb\xbf[{}]", RP_INVALID_TYPE, "not an array"},
	{"\"x\"", RP_INVALID_TYPE, "not a string"},
	{" 5\n", RP_INVALID_TYPE, "not a number"},
	{"-0.5", RP_INVALID_TYPE, "not a number"},
	{"null", RP_INVALID_TYPE, "not null"},
	{"true", RP_INVALID_TYPE, "not a boolean"},
	/* JSON that does not parse */
	{"{", RP_INVALID_PARAMETER, "line 1 column 1"},
	{"{}\n}", RP_INVALID_PARAMETER, "line 2 column 1"},
	{"{\"DisksToExport\": [\"a\",]}", RP_INVALID_PARAMETER, "line 1"},
	{"{\"Options\": {}, \"Options\": {}}", RP_INVALID_PARAMETER, "duplicate"},
	{"{\"BaseReferencePoint\": \"\xff\"}", RP_INVALID_PARAMETER, "line 1"},
	{"{\"BaseReferencePoint\": \"\xed\xa0\x80\"}", RP_INVALID_PARAMETER, "line 1"},
	{"{\"BaseReferencePoint\": \"a\\u0000b\"}", RP_INVALID_PARAMETER, "u0000"},
	{"{\"BaseReferencePoint\": 1e999}", RP_INVALID_PARAMETER, "overflow"},
	/* properties and types */
	{"{\"Foo\": 1}", RP_INVALID_TYPE, "unknown property \"Foo\""},
	{"{\"basereferencepoint\": \"a\"}", RP_INVALID_TYPE, "unknown property"},
	{"{\"Fo\\no\\u001b[31m\": 1}", RP_INVALID_TYPE, "\"Fo?o?[31m\""},
	{"{\"BaseReferencePoint\": 1}", RP_INVALID_TYPE,
	 "BaseReferencePoint must be a string"},
	{"{\"BaseReferencePoint\": [\"a\"]}", RP_INVALID_TYPE, "not an array"},
	{"{\"DisksToExport\": \"vda\"}", RP_INVALID_TYPE,
	 "DisksToExport must be an array"},
	{"{\"DisksToExport\": [\"vda\", 1]}", RP_INVALID_TYPE, "not a number"},
	{"{\"DisksToExport\": [null]}", RP_INVALID_TYPE, "not null"},
	{"{\"Options\": null}", RP_INVALID_TYPE, "Options must be an object, not null"},
	{"{\"Options\": []}", RP_INVALID_TYPE, "Options must be an object, not an array"},
	{OPTIONS("\"Io\": true"), RP_INVALID_TYPE, "Io must be a string, not a boolean"},
	{OPTIONS("\"Clone\": null"), RP_INVALID_TYPE, "Clone must be a string"},
	{OPTIONS("\"Digest\": {}"), RP_INVALID_TYPE,
	 "Digest must be a string, not an object"},
	{OPTIONS("\"Timeout\": \"5\""), RP_INVALID_TYPE, "Timeout must be a number"},
	{OPTIONS("\"Timeout\": null"), RP_INVALID_TYPE, "Timeout must be a number"},
	/* options and values */
	{OPTIONS("\"Foo\": 1"), RP_INVALID_PARAMETER, "unknown option \"Foo\""},
	{OPTIONS("\"io\": \"auto\""), RP_INVALID_PARAMETER, "unknown option \"io\""},
	{OPTIONS("\"Io\": \"foo\""), RP_INVALID_PARAMETER,
	 "one of auto, uring, aio, sync"},
	{OPTIONS("\"Io\": \"AUTO\""), RP_INVALID_PARAMETER, "Io is \"AUTO\""},
	{OPTIONS("\"Io\": \"\""), RP_INVALID_PARAMETER, "Io is \"\""},
	{OPTIONS("\"Clone\": \"foo\""), RP_INVALID_PARAMETER,
	 "one of auto, never, always"},
	{OPTIONS("\"Digest\": \"foo\""), RP_INVALID_PARAMETER,
	 "one of auto, always, never"},
	{OPTIONS("\"Timeout\": 0"), RP_INVALID_PARAMETER, "Timeout is 0 seconds"},
	{OPTIONS("\"Timeout\": -0.0"), RP_INVALID_PARAMETER, "more than 0"},
	{OPTIONS("\"Timeout\": -1"), RP_INVALID_PARAMETER, "Timeout is -1 seconds"},
	{OPTIONS("\"Timeout\": 4294967296"), RP_INVALID_PARAMETER, "at most 4294967295"},
	{OPTIONS("\"Timeout\": 1e308"), RP_INVALID_PARAMETER, "at most"},
	{"{\"DisksToExport\": [\"a\", \"\"]}", RP_INVALID_PARAMETER,
	 "entry 2 of DisksToExport"},
	{"{\"DisksToExport\": [\"a\", \"b\", \"a\"]}", RP_INVALID_PARAMETER,
	 "\"a\" twice"},
	/* XML that does not parse */
	{"<", RP_INVALID_PARAMETER, "line 1"},
	{"<INSTANCE>\n</PROPERTY>", RP_INVALID_PARAMETER, "line 2"},
	{"<?xml version=\"1.0\"?>", RP_INVALID_PARAMETER, "line 1"},
	{"\n<?xml version=\"1.0\"?>" INSTANCE(""), RP_INVALID_PARAMETER, "line 2"},
	{INSTANCE("") INSTANCE(""), RP_INVALID_PARAMETER, "Extra content"},
	{INSTANCE("&nbsp;"), RP_INVALID_PARAMETER, "nbsp"},
	{INSTANCE("&#0;"), RP_INVALID_PARAMETER, "line 1"},
	{INSTANCE(BASE(VALUE("\xff"))), RP_INVALID_PARAMETER, "UTF-8"},
	{INSTANCE(BASE(VALUE("\xc0\x80"))), RP_INVALID_PARAMETER, "UTF-8"},
	{INSTANCE(BASE(VALUE("\x01"))), RP_INVALID_PARAMETER, "line 1"},
	{"<?xml version=\"1.0\" encoding=\"SHIFT_JIS\"?><a>\x81</a>",
	 RP_INVALID_PARAMETER, "UTF-8"},
	{"<?xml version=\"9.9\"?>" INSTANCE(""), RP_INVALID_PARAMETER, "version"},
	{INSTANCE("<PROPERTY xmlns=\"\x01\"/>"), RP_INVALID_PARAMETER, "line 1"},
	{INSTANCE("<PROPERTY xmlns=\"relative\"/>"), RP_INVALID_TYPE,
	 "no attribute NAME"},
	{INSTANCE("<x:PROPERTY/>"), RP_INVALID_PARAMETER, "prefix"},
	{"<INSTANCE CLASSNAME=\"a\" CLASSNAME=\"b\"/>", RP_INVALID_PARAMETER,
	 "CLASSNAME"},
	{"<!DOCTYPE INSTANCE>" INSTANCE(""), RP_INVALID_PARAMETER, "DOCTYPE"},
	{"<!DOCTYPE INSTANCE SYSTEM \"file:///etc/passwd\">" INSTANCE(""),
	 RP_INVALID_PARAMETER, "DOCTYPE"},
	{"<!DOCTYPE INSTANCE [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" INSTANCE(
		 BASE(VALUE("&x;"))),
	 RP_INVALID_PARAMETER, "DOCTYPE"},
	{"<!DOCTYPE INSTANCE [<!ENTITY % x SYSTEM \"http://127.0.0.1:9/\">%x;]>" INSTANCE(
		 ""),
	 RP_INVALID_PARAMETER, "DOCTYPE"},
	{LAUGHS INSTANCE(BASE(VALUE("&h;"))), RP_INVALID_PARAMETER, "DOCTYPE"},
	/* classes, properties, types */
	{"<html/>", RP_INVALID_TYPE, "html is not an INSTANCE"},
	{"<instance CLASSNAME=\"" CLASS "\"/>", RP_INVALID_TYPE, "not an INSTANCE"},
	{"<INSTANCE/>", RP_INVALID_TYPE, "no attribute CLASSNAME"},
	{"<INSTANCE CLASSNAME=\"\"/>", RP_INVALID_TYPE, "the class is \"\""},
	{"<INSTANCE CLASSNAME=\"CIM_SettingData\"/>", RP_INVALID_TYPE, "CIM_SettingData"},
	{INSTANCE("text"), RP_INVALID_TYPE, "unexpected text in INSTANCE"},
	{INSTANCE("\n<VALUE/>"), RP_INVALID_TYPE, "line 2: unexpected VALUE in INSTANCE"},
	{INSTANCE("<PROPERTY.REFERENCE NAME=\"Caption\"/>"), RP_INVALID_TYPE,
	 "REFERENCE"},
	{INSTANCE("<PROPERTY TYPE=\"string\"/>"), RP_INVALID_TYPE, "no attribute NAME"},
	{INSTANCE("<PROPERTY NAME=\"Caption\"/>"), RP_INVALID_TYPE, "no attribute TYPE"},
	{INSTANCE(STRING("Foo", "")), RP_INVALID_TYPE, "unknown property \"Foo\""},
	{INSTANCE(STRING("", "")), RP_INVALID_TYPE, "unknown property \"\""},
	{INSTANCE(STRING("Options", "")), RP_INVALID_TYPE,
	 "unknown property \"Options\""},
	{INSTANCE(STRING("DisksToExport", VALUE("a"))), RP_INVALID_TYPE,
	 "PROPERTY.ARRAY of"},
	{INSTANCE(STRINGS("BaseReferencePoint", "")), RP_INVALID_TYPE,
	 "a PROPERTY of TYPE"},
	{INSTANCE("<PROPERTY NAME=\"Caption\" TYPE=\"uint16\"/>"), RP_INVALID_TYPE,
	 "uint16"},
	{INSTANCE(BASE("a")), RP_INVALID_TYPE, "unexpected text in PROPERTY"},
	{INSTANCE(BASE("<VALUE.ARRAY/>")), RP_INVALID_TYPE,
	 "unexpected VALUE.ARRAY in PROPERTY"},
	{INSTANCE(BASE(VALUE("a") VALUE("b"))), RP_INVALID_TYPE,
	 "unexpected VALUE in PROPERTY"},
	{INSTANCE(BASE(VALUE("a<b/>"))), RP_INVALID_TYPE, "unexpected b in VALUE"},
	{INSTANCE(STRINGS("DisksToExport", VALUE("a"))), RP_INVALID_TYPE,
	 "unexpected VALUE in"},
	{INSTANCE(DISKS("<VALUE.NULL/>")), RP_INVALID_TYPE, "unexpected VALUE.NULL"},
	{INSTANCE(DISKS("a")), RP_INVALID_TYPE, "unexpected text in VALUE.ARRAY"},
	/* values */
	{INSTANCE(DISKS(VALUE("a") "<VALUE/>")), RP_INVALID_PARAMETER, "entry 2"},
	{INSTANCE(DISKS(VALUE("a") VALUE("a"))), RP_INVALID_PARAMETER, "\"a\" twice"},
	{INSTANCE(BASE("") "\n" BASE("")), RP_INVALID_PARAMETER, "line 2: property Base"},
	{INSTANCE(STRING("Caption", "") STRING("CAPTION", "")), RP_INVALID_PARAMETER,
	 "twice"},
};

static void check_refused(const struct refused *r)
{
	struct rp_export_options s, before;
	struct rp_error err;

	memset(&before, 0xa5, sizeof(before));
	s = before;
	EXPECT_EQ(settings_parse(r->text, &s, &err), r->code, "%.200s", r->text);
	EXPECT_EQ(memcmp(&s, &before, sizeof(s)), 0, "%.200s", r->text);
	EXPECT_EQ(err.code, r->code, "%.200s", r->text);
	EXPECT_EQ(err.os_error, 0);
	EXPECT_EQ(err.offset, RP_NO_OFFSET);
	EXPECT_STREQ(err.step, "settings");
	EXPECT_NE(strstr(err.message, r->says), NULL, "%.200s: %s", r->text, err.message);
	EXPECT_EQ(settings_parse(r->text, &s, NULL), r->code, "%.200s", r->text);
}

TEST(refuses)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		check_refused(&refused[i]);
}

/* ------------------------------------------------------------ side effects */

static void parse_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
		check_accepted(&accepted[i]);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		check_refused(&refused[i]);
}

/* As a job that is resumed reads what its record has of what it was started with. */
static void read_again(const struct rp_export_options *options,
		       struct rp_export_options *ret)
{
	json_t *doc = settings_doc(options);
	char *text = doc_text(doc);
	struct rp_error err;

	ASSERT_EQ(settings_parse(text, ret, &err), RP_OK, "%s", err.message);
	free(text);
	json_decref(doc);
}

TEST(options_without_limits_are_read_again)
{
	const struct rp_export_options options = {
		.size = sizeof(options),
		.timeout_ms = UINT64_MAX,
		.memory = UINT64_MAX,
		.bandwidth = UINT64_MAX,
		.iops = UINT32_MAX,
	};
	struct rp_export_options s = {0};

	read_again(&options, &s);
	EXPECT_EQ(s.timeout_ms, UINT32_MAX * UINT64_C(1000));
	EXPECT_EQ(s.memory, (uint64_t)INT64_MAX);
	EXPECT_EQ(s.bandwidth, (uint64_t)INT64_MAX);
	EXPECT_EQ(s.iops, UINT32_MAX);
	settings_free(&s);
}

TEST(a_timeout_is_read_again)
{
	static const uint64_t timeouts[][2] = {
		{1, 1},
		{1500, 1500},
		{999999, 999999},
		{86400000, 86400000},
		{12345678000, 12345678000},
		{12345678001, 12345679000}, /* rather later than sooner */
		{UINT32_MAX * UINT64_C(1000) - 1, UINT32_MAX * UINT64_C(1000)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		const struct rp_export_options options = {.size = sizeof(options),
							  .timeout_ms = timeouts[i][0]};
		struct rp_export_options s = {0};

		read_again(&options, &s);
		EXPECT_EQ(s.timeout_ms, timeouts[i][1]);
		settings_free(&s);
	}
}

static const char *const two_disks[] = {"vda", "vdb"};

static const struct rp_export_options all_options = {
	.size = sizeof(all_options),
	.disks = two_disks,
	.disk_count = 2,
	.io = RP_IO_SYNC,
	.clone = RP_CLONE_NEVER,
	.digest = RP_DIGEST_ALWAYS,
	.timeout_ms = 1500,
	.block_size = 1048576,
	.queue_depth = 4,
	.memory = 8388608,
	.base = "web1@1c9f",
	.strict = true,
	.merge = true,
	.bandwidth = 5000000000,
	.iops = 500,
	.max_pressure = 20,
	.pressure_of = "/sys/fs/cgroup/a",
	.priority = 7,
	.ionice = RP_IONICE_IDLE,
	.restart = true,
	.format = RP_FORMAT_QCOW2,
	.cluster_size = 65536,
};

#define RECORD(options)                                                              \
	"{\"BaseReferencePoint\":\"web1@1c9f\",\"DisksToExport\":[\"vda\",\"vdb\"]," \
	"\"Options\":{" options "}}"

static void check_text(const json_t *doc, const char *want)
{
	char *text = json_dumps(doc, JSON_COMPACT);

	EXPECT_STREQ(text, want);
	free(text);
}

/* To the byte: another version of the engine goes on with the job. */
TEST(a_record_has_every_option_but_restart)
{
	static const char want[] = RECORD(
		"\"Io\":\"sync\",\"Clone\":\"never\",\"Digest\":\"always\",\"Timeout\":1.5,"
		"\"BlockSize\":1048576,\"QueueDepth\":4,\"Memory\":8388608,"
		"\"BandwidthLimit\":5000000000,\"IopsLimit\":500,\"MaxPressure\":20,"
		"\"PressureOf\":\"/sys/fs/cgroup/a\",\"Priority\":7,\"IoNice\":\"idle\","
		"\"Strict\":true,\"Format\":\"qcow2\",\"ClusterSize\":65536,"
		"\"BackupIntent\":2");
	struct rp_export_options s = {0};
	json_t *doc = settings_doc(&all_options);

	check_text(doc, want);
	json_decref(doc);
	read_again(&all_options, &s);
	EXPECT_FALSE(s.restart);
	doc = settings_doc(&s);
	check_text(doc, want);
	json_decref(doc);
	settings_free(&s);
}

TEST(a_journal_has_what_shapes_the_bytes)
{
	const struct point point = {.system = "web1", .id = "x"};
	json_t *identity = journal_identity(&point, &all_options);

	check_text(json_object_get(identity, "Settings"),
		   RECORD("\"Strict\":true,\"Format\":\"qcow2\",\"ClusterSize\":65536,"
			  "\"BackupIntent\":2"));
	json_decref(identity);
}

TEST(nothing_is_printed)
{
	int out = dup(STDOUT_FILENO), error = dup(STDERR_FILENO);
	int fd = open(test_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat st;

	ASSERT_GE(fd, 0);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	parse_all();
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(error, STDERR_FILENO);
	ASSERT_OK(fstat(fd, &st));
	EXPECT_EQ(st.st_size, 0);
}

static unsigned calls;

static void count_structured(void *context, xmlErrorPtr error)
{
	(void)context, (void)error;
	calls++;
}

static void count_generic(void *context, const char *format, ...)
{
	(void)context, (void)format;
	calls++;
}

static xmlParserInputPtr count_entity(const char *url, const char *id,
				      xmlParserCtxtPtr parser)
{
	(void)url, (void)id, (void)parser;
	calls++;
	return NULL;
}

/* A program that uses libxml2 itself. Its loader would see whatever was fetched. */
TEST(handlers_of_the_program_are_left_alone)
{
	xmlInitParser();
	xmlSetStructuredErrorFunc(&calls, count_structured);
	xmlSetGenericErrorFunc(&calls, count_generic);
	xmlSetExternalEntityLoader(count_entity);
	xmlSubstituteEntitiesDefault(1);
	parse_all();
	EXPECT_EQ(calls, 0);
	EXPECT_EQ(xmlStructuredError, count_structured);
	EXPECT_EQ(xmlStructuredErrorContext, &calls);
	EXPECT_EQ(xmlGenericError, count_generic);
	EXPECT_EQ(xmlGetExternalEntityLoader(), count_entity);
	EXPECT_EQ(xmlSubstituteEntitiesDefault(1), 1);
}

static void *parse_often(void *unused)
{
	for (int i = 0; i < 20; i++)
		parse_all();
	return unused;
}

/* They also race for being the first to use the two libraries. */
TEST(threads_parse_at_once)
{
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_OK(-pthread_create(&threads[i], NULL, parse_often, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_OK(-pthread_join(threads[i], NULL));
}

static bool is_missing;

void *dlopen(const char *name, int flags)
{
	return REAL(dlopen)(is_missing ? "/nowhere/lib.so" : name, flags);
}

/* What it lacks may be there the next time. */
TEST(xml_is_tried_again)
{
	struct rlimit all, none;
	struct rp_error err;
	struct rp_export_options s;
	int next = dup(0);

	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &all));
	none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = all.rlim_max};
	close(next);
	is_missing = true;
	EXPECT_EQ(settings_parse(XML_TEXT, &s, &err), RP_NOT_SUPPORTED, "%s",
		  err.message);
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(settings_parse(XML_TEXT, &s, &err), RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, EMFILE);
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &all));
	is_missing = false;
	ASSERT_EQ(settings_parse(XML_TEXT, &s, &err), RP_OK, "%s", err.message);
	settings_free(&s);
}

TEST_MAIN
