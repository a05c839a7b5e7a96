/* SPDX-License-Identifier: MIT */
/*
 * xml.c - XML that may come from anybody, parsed into a tree
 *
 * libxml2 without its dangerous half: no DTD, so no entities to multiply and
 * nothing external to fetch. Its limits on depth and on the length of names hold,
 * because XML_PARSE_HUGE is not given.
 */
#include "xml.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/base.h"

#define ATTRIBUTES_MAX 1000 /* in one tag */
#define NAMESPACES_MAX 100  /* in one text */

#define ROOM (64 * MIB) /* of addresses: it needs some 40 */

#if LIBXML_VERSION >= 21400
#define SONAME "libxml2.so.16"
#else
#define SONAME "libxml2.so.2"
#endif

struct xml_library xml;

/* Is there once it is loaded. It stays: what it has set up for the program cannot be
 * taken back. */
static void *library;

static void *look_up(void *from, const char *name, struct xml_flaw *why)
{
	void *symbol = dlsym(from, name);

	if (!symbol && !why->reason[0])
		snprintf(why->reason, sizeof(why->reason), "%s", dlerror());
	return symbol;
}

/* The loader does not tell: -errno of what there is too little of now, else -ENOSYS. */
static int what_lacks(void)
{
	_cleanup_close_ int fd = open("/", O_PATH | O_CLOEXEC);
	volatile char *room;

	if (fd < 0 && is_shortage(-errno))
		return -errno;
	room = malloc(ROOM);
	if (!room)
		return -ENOMEM;
	room[0] = 0; /* or the compiler spares itself both */
	free((void *)room);
	return -ENOSYS;
}

/* With the lock. */
static int load(struct xml_flaw *why)
{
	void *found = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!found) {
		snprintf(why->reason, sizeof(why->reason), "%s", dlerror());
		return what_lacks();
	}
#define LOOK_UP(name) xml.name = (typeof(xml.name))look_up(found, "xml" #name, why);
	XML_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	xml.free = look_up(found, "xmlFree", why);
	if (why->reason[0]) {
		dlclose(found);
		return -ENOSYS;
	}
	xml.InitParser(); /* libxml2 asks for it where several threads may be the first */
	library = found;
	return 0;
}

/* What it lacks now may be there the next time. */
static int load_once(struct xml_flaw *why)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int r;

	pthread_mutex_lock(&lock);
	r = library ? 0 : load(why);
	pthread_mutex_unlock(&lock);
	return r;
}

void xml_cleanup(xmlDoc **doc)
{
	if (*doc)
		xml.FreeDoc(*doc);
}

void xml_text_cleanup(xmlChar **text)
{
	if (*text)
		(*xml.free)(*text);
}

/* What one run of the parser says besides the tree. */
struct verdict {
	struct xml_flaw flaw; /* reason is "" if there is none */
	bool no_memory;
};

/* The first flaw counts; what libxml2 finds later only follows from it. */
static void add_flaw(struct xml_flaw *flaw, int line, int column, const char *reason)
{
	if (flaw->reason[0])
		return;
	flaw->line = line;
	flaw->column = column;
	snprintf(flaw->reason, sizeof(flaw->reason), "%.*s", (int)strcspn(reason, "\n"),
		 reason);
}

#if LIBXML_VERSION >= 21200
static void on_error(void *context, const xmlError *error)
#else
static void on_error(void *context, xmlError *error)
#endif
{
	xmlParserCtxt *parser = context;
	struct verdict *v = parser->_private;

	if (error->code == XML_ERR_NO_MEMORY)
		v->no_memory = true;
	if (error->level >= XML_ERR_ERROR)
		add_flaw(&v->flaw, error->line, error->int2,
			 error->message ? error->message : "not well-formed");
}

/* Stops before the first declaration of the DTD is read. */
static void on_doctype(void *context, const xmlChar *name, const xmlChar *public_id,
		       const xmlChar *system_id)
{
	xmlParserCtxt *parser = context;
	struct verdict *v = parser->_private;

	(void)name, (void)public_id, (void)system_id;
	add_flaw(&v->flaw, xml.SAX2GetLineNumber(parser), xml.SAX2GetColumnNumber(parser),
		 "a DOCTYPE is not accepted");
	xml.StopParser(parser);
}

/*
 * libxml2 compares each attribute of a tag with all others, and looks a prefix up
 * among all namespaces declared around it: texts of a megabyte can take it minutes.
 * So both are counted before. No tag begins inside another, every attribute has its
 * = sign, and what the rest of the text has of either does not come near the limits.
 */
static void look_for_crowds(const char *text, size_t len, struct xml_flaw *flaw)
{
	unsigned attributes = 0, namespaces = 0;
	int line = 1, column = 1;

	for (size_t i = 0; i < len && !flaw->reason[0]; i++, column++) {
		if (text[i] == '\n') {
			line++;
			column = 0;
		} else if (text[i] == '<')
			attributes = 0;
		else if (text[i] == '=' && ++attributes > ATTRIBUTES_MAX)
			add_flaw(flaw, line, column, "a tag has too many attributes");
		else if (len - i > 5 && !memcmp(text + i, "xmlns", 5) &&
			 ++namespaces > NAMESPACES_MAX)
			add_flaw(flaw, line, column, "there are too many namespaces");
	}
}

static xmlDoc *run_parser(const char *text, size_t len, struct verdict *v)
{
	const int flags = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
			  XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC;
	xmlParserCtxt *parser;
	xmlDoc *doc;

	parser = xml.NewParserCtxt();
	if (!parser)
		return NULL;
	parser->_private = v;
	parser->sax->serror = on_error;
	parser->sax->internalSubset = on_doctype;
	doc = xml.CtxtReadMemory(parser, text, (int)len, NULL, NULL, flags);
	xml.FreeParserCtxt(parser);
	return doc;
}

int xml_parse(const char *text, size_t len, xmlDoc **ret, struct xml_flaw *ret_flaw)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct verdict v = {0};
	int r;

	*ret_flaw = (struct xml_flaw){0};
	r = load_once(ret_flaw);
	if (r < 0)
		return r;
	look_for_crowds(text, len, &v.flaw);
	if (!v.flaw.reason[0])
		doc = run_parser(text, len, &v);
	/* Neither a tree nor a flaw: it did not even get a parser. */
	if (v.no_memory || (!doc && !v.flaw.reason[0]))
		return -ENOMEM;
	if (v.flaw.reason[0]) {
		*ret_flaw = v.flaw;
		return -EINVAL;
	}
	*ret = take_ptr(doc);
	return 0;
}
