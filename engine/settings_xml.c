/* SPDX-License-Identifier: MIT */
/*
 * settings_xml.c - ExportSettingData as a CIM-XML instance (DSP0201)
 *
 *	<INSTANCE CLASSNAME="Msvm_VirtualSystemReferencePointExportSettingData">
 *	  <PROPERTY NAME="BaseReferencePoint" TYPE="string">
 *	    <VALUE>...</VALUE>
 *	  </PROPERTY>
 *	  <PROPERTY.ARRAY NAME="DisksToExport" TYPE="string">
 *	    <VALUE.ARRAY><VALUE>...</VALUE></VALUE.ARRAY>
 *	  </PROPERTY.ARRAY>
 *	</INSTANCE>
 *
 * What is not well-formed XML is RP_INVALID_PARAMETER; what is, but is not such
 * an instance, is RP_INVALID_TYPE. A property without a value is not given.
 * Only this element structure counts: QUALIFIERs, comments and attributes that
 * are not named here (PROPAGATED, CLASSORIGIN, MODIFIED, ...) are passed over.
 */
#include <string.h>

#include "error.h"
#include "io/base.h"
#include "settings.h"
#include "xml.h"

#define CLASS "Msvm_VirtualSystemReferencePointExportSettingData"

static uint32_t no_memory(struct rp_error *err)
{
	return rp_fail(err, RP_OUT_OF_MEMORY, "settings",
		       "ExportSettingData: no memory to parse the XML text");
}

static bool is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

/* @node or the first of its followers that says something. */
static xmlNode *telling(xmlNode *node)
{
	while (node && (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE ||
			xml.IsBlankNode(node) || is_element(node, "QUALIFIER")))
		node = node->next;
	return node;
}

static uint32_t unexpected(struct rp_error *err, const xmlNode *node)
{
	return rp_fail(err, RP_INVALID_TYPE, "settings",
		       "ExportSettingData line %ld: unexpected %.64s in %.64s",
		       xml.GetLineNo(node),
		       node->type == XML_ELEMENT_NODE ? (const char *)node->name : "text",
		       (const char *)node->parent->name);
}

static uint32_t read_attribute(const xmlNode *node, const char *name, xmlChar **ret,
			       struct rp_error *err)
{
	if (!xml.HasProp(node, BAD_CAST name))
		return rp_fail(err, RP_INVALID_TYPE, "settings",
			       "ExportSettingData line %ld: %s has no attribute %s",
			       xml.GetLineNo(node), (const char *)node->name, name);
	*ret = xml.GetProp(node, BAD_CAST name);
	return *ret ? RP_OK : no_memory(err);
}

/* The only child of @parent that says something: an @element, or NULL if none. */
static uint32_t only_child(const xmlNode *parent, const char *element, xmlNode **ret,
			   struct rp_error *err)
{
	xmlNode *child = telling(parent->children);
	xmlNode *second = child ? telling(child->next) : NULL;

	if (child && !is_element(child, element))
		return unexpected(err, child);
	if (second)
		return unexpected(err, second);
	*ret = child;
	return RP_OK;
}

static uint32_t read_value(xmlNode *value, xmlChar **ret, struct rp_error *err)
{
	for (const xmlNode *n = value->children; n; n = n->next)
		if (n->type == XML_ELEMENT_NODE)
			return unexpected(err, n);
	*ret = xml.NodeGetContent(value);
	return *ret ? RP_OK : no_memory(err);
}

static uint32_t read_base(struct rp_export_options *s, xmlNode *property,
			  struct rp_error *err)
{
	_cleanup_xml_text_ xmlChar *text = NULL;
	xmlNode *value;
	uint32_t rc;

	rc = only_child(property, "VALUE", &value, err);
	if (rc || !value)
		return rc;
	rc = read_value(value, &text, err);
	return rc ? rc : settings_set_base(s, (const char *)text, err);
}

static uint32_t read_disk(struct rp_export_options *s, xmlNode *value,
			  struct rp_error *err)
{
	_cleanup_xml_text_ xmlChar *text = NULL;
	uint32_t rc;

	if (!is_element(value, "VALUE"))
		return unexpected(err, value);
	rc = read_value(value, &text, err);
	return rc ? rc : settings_add_disk(s, (const char *)text, err);
}

static uint32_t read_disks(struct rp_export_options *s, xmlNode *property,
			   struct rp_error *err)
{
	xmlNode *array;
	uint32_t rc;

	rc = only_child(property, "VALUE.ARRAY", &array, err);
	if (rc || !array)
		return rc;
	for (xmlNode *n = telling(array->children); n; n = telling(n->next)) {
		rc = read_disk(s, n, err);
		if (rc)
			return rc;
	}
	return RP_OK;
}

/* All are strings. The last four, inherited and written by GetText(), say nothing. */
static const struct property {
	const char *name;
	const char *element;
	uint32_t (*read)(struct rp_export_options *s, xmlNode *property,
			 struct rp_error *err);
} properties[] = {
	{"BaseReferencePoint", "PROPERTY", read_base},
	{"DisksToExport", "PROPERTY.ARRAY", read_disks},
	{"InstanceID", "PROPERTY", NULL},
	{"Caption", "PROPERTY", NULL},
	{"Description", "PROPERTY", NULL},
	{"ElementName", "PROPERTY", NULL},
};

static const struct property *find_property(const xmlChar *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
		if (!xml.Strcasecmp(name, BAD_CAST properties[i].name))
			return &properties[i];
	return NULL;
}

static uint32_t check_kind(const xmlNode *node, const struct property *p,
			   struct rp_error *err)
{
	_cleanup_xml_text_ xmlChar *type = NULL;
	uint32_t rc;

	rc = read_attribute(node, "TYPE", &type, err);
	if (rc)
		return rc;
	if (is_element(node, p->element) && xml.StrEqual(type, BAD_CAST "string"))
		return RP_OK;
	return rp_fail(err, RP_INVALID_TYPE, "settings",
		       "ExportSettingData line %ld: %s must be a %s of TYPE string, "
		       "not a %s of TYPE %.64s",
		       xml.GetLineNo(node), p->name, p->element, (const char *)node->name,
		       (const char *)type);
}

/* @seen has one bit for each of properties[]. */
static uint32_t read_property(struct rp_export_options *s, xmlNode *node, unsigned *seen,
			      struct rp_error *err)
{
	_cleanup_xml_text_ xmlChar *name = NULL;
	const struct property *p;
	uint32_t rc;

	if (!is_element(node, "PROPERTY") && !is_element(node, "PROPERTY.ARRAY"))
		return unexpected(err, node);
	rc = read_attribute(node, "NAME", &name, err);
	if (rc)
		return rc;
	/* __PATH, __SERVER, ...: no properties, GetText() adds them about itself. */
	if (!xml.Strncmp(name, BAD_CAST "__", 2))
		return RP_OK;
	p = find_property(name);
	if (!p)
		return rp_fail(err, RP_INVALID_TYPE, "settings",
			       "ExportSettingData line %ld: unknown property \"%.64s\"",
			       xml.GetLineNo(node), (const char *)name);
	if (*seen & 1U << (p - properties))
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData line %ld: property %s is given twice",
			       xml.GetLineNo(node), p->name);
	*seen |= 1U << (p - properties);
	rc = check_kind(node, p, err);
	return rc || !p->read ? rc : p->read(s, node, err);
}

static uint32_t read_instance(struct rp_export_options *s, xmlNode *root,
			      struct rp_error *err)
{
	_cleanup_xml_text_ xmlChar *class = NULL;
	unsigned seen = 0;
	uint32_t rc;

	if (!is_element(root, "INSTANCE"))
		return rp_fail(err, RP_INVALID_TYPE, "settings",
			       "ExportSettingData line %ld: a %.64s is not an INSTANCE",
			       xml.GetLineNo(root), (const char *)root->name);
	rc = read_attribute(root, "CLASSNAME", &class, err);
	if (rc)
		return rc;
	if (xml.Strcasecmp(class, BAD_CAST CLASS))
		return rp_fail(
			err, RP_INVALID_TYPE, "settings",
			"ExportSettingData line %ld: the class is \"%.64s\", not " CLASS,
			xml.GetLineNo(root), (const char *)class);
	for (xmlNode *n = telling(root->children); n; n = telling(n->next)) {
		rc = read_property(s, n, &seen, err);
		if (rc)
			return rc;
	}
	return RP_OK;
}

uint32_t settings_from_xml(struct rp_export_options *s, const char *text, size_t len,
			   struct rp_error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct xml_flaw flaw;
	int r = xml_parse(text, len, &doc, &flaw);

	if (is_shortage(r))
		return rp_fail_os(err, r, "settings", "ExportSettingData");
	switch (r) {
	case 0:
		return read_instance(s, xml.DocGetRootElement(doc), err);
	case -ENOSYS:
		return rp_fail(err, RP_NOT_SUPPORTED, "settings",
			       "ExportSettingData: XML cannot be parsed: %s",
			       flaw.reason);
	default:
		return rp_fail(
			err, RP_INVALID_PARAMETER, "settings",
			"ExportSettingData: not valid XML at line %d column %d: %s",
			flaw.line, flaw.column, flaw.reason);
	}
}
