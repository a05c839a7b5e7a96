/* SPDX-License-Identifier: MIT */
/*
 * refpoint.h - reference points of virtual machine disks, and their export
 *
 * The only installed header of librefpoint. Every method
 *   - returns 0 (or RP_JOB_STARTED) or one of the error values below;
 *   - takes an optional struct rp_error, cleared first and filled on failure;
 *   - leaves its ret_ arguments untouched on failure;
 *   - never prints, never exits, never changes signal handlers or the umask.
 *
 * Units are bytes, ranges are half-open [start, end). Strings are UTF-8.
 * Handles are independent: one handle belongs to one thread at a time, any
 * number of handles (and processes) may work on one store at once.
 *
 * Documents: methods that describe something return it as a JSON text whose
 * keys are those of the CIM model (VirtualSystemIdentifier, ReferencePointId,
 * ...). The caller frees it with rp_free().
 */
#ifndef REFPOINT_H
#define REFPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ values */

/* What every method returns; the numbers are those of ExportReferencePoint. */
enum rp_return {
	RP_OK = 0,		   /* completed with no error */
	RP_JOB_STARTED = 4096,	   /* parameters checked, job started */
	RP_FAILED = 32768,	   /* kernel or device refused: EIO, ENOSPC, bad digest */
	RP_ACCESS_DENIED = 32769,  /* EACCES, EPERM, EROFS */
	RP_NOT_SUPPORTED = 32770,  /* file system or format cannot do it */
	RP_UNKNOWN_STATUS = 32771, /* metadata unreadable or damaged */
	RP_TIMEOUT = 32772,	   /* a lock's or a job's time limit passed */
	RP_INVALID_PARAMETER = 32773,
	RP_IN_USE = 32774, /* locked by another operation */
	RP_INVALID_STATE = 32775,
	RP_INVALID_TYPE = 32776,  /* settings of a wrong class, property or type */
	RP_NOT_AVAILABLE = 32777, /* does not exist or is gone */
	RP_OUT_OF_MEMORY = 32778,
};

#define RP_NO_OFFSET UINT64_MAX

/*
 * What went wrong. Filled by the library, never allocated by it; all strings
 * end in NUL and are empty where they do not apply.
 */
struct rp_error {
	uint32_t code;	    /* the value the method returned */
	int os_error;	    /* errno of the failed step, 0 if none */
	uint64_t offset;    /* byte offset in the disk, RP_NO_OFFSET if none */
	char step[32];	    /* the step that failed: "open", "clone", "write", ... */
	char system[136];   /* virtual system */
	char disk[136];	    /* disk ID */
	char message[1024]; /* one sentence: disk, step, path, reason */
};

/**
 * rp_return_name() - the model's words for a return value
 *
 * Return: a static string such as "Failed"; never NULL.
 */
const char *rp_return_name(uint32_t code);

/**
 * rp_version() - version of the library in use
 *
 * Return: a static string such as "0.1.0".
 */
const char *rp_version(void);

/**
 * rp_free() - free a string this library returned
 * @string: may be NULL
 */
void rp_free(char *string);

/* ---------------------------------------------------------------- watching */

struct rp_progress {
	/* "planning", "cloning", "copying", "verifying", "syncing" or "publishing" */
	const char *phase;
	/* Data bytes to clone, copy or read; grows while planning. */
	uint64_t bytes_total;
	uint64_t bytes_done; /* never goes back */
	uint64_t bytes_per_second;
};

/*
 * Callbacks of a long method, called from its own thread between steps; keep
 * them short. A callback may be NULL. No method of the same store may be
 * called from inside one.
 */
struct rp_watch {
	size_t size; /* sizeof(struct rp_watch) */
	void *context;
	/* Called at least once a second; a return other than 0 cancels: the
	 * method cleans up and returns RP_FAILED with os_error ECANCELED. */
	int (*progress)(void *context, const struct rp_progress *progress);
	/* One sentence the operator should read; the work goes on. */
	void (*warning)(void *context, const char *text);
};

/* ------------------------------------------------------------------- store */

struct rp_store;

/**
 * rp_store_init() - make a new store in @directory
 * @directory: an absolute path; created (mode 0700) if it does not exist,
 *             otherwise it must be an empty directory
 *
 * A reference point is taken without copying only if the store lies on the
 * same reflink-capable file system (XFS, Btrfs, ...) as the disks.
 *
 * Errors: RP_INVALID_PARAMETER, RP_INVALID_STATE (is a store already, or not
 * empty), RP_NOT_AVAILABLE (parent does not exist), RP_ACCESS_DENIED, RP_FAILED.
 */
uint32_t rp_store_init(const char *directory, struct rp_error *reterr);

struct rp_store_options {
	size_t size; /* sizeof(struct rp_store_options) */
	/* How long to wait for a lock that another process holds, in
	 * milliseconds. Locks of the store itself are held briefly and are
	 * waited for (0 = 30 seconds); when the time is up: RP_TIMEOUT.
	 * A locked reference point, export or target is RP_IN_USE at once,
	 * unless a limit is given here; then it is waited for as well. */
	uint64_t lock_timeout_ms;
};

/**
 * rp_store_open() - open an existing store
 * @directory: its absolute path
 * @options:   borrowed for the call; NULL means defaults
 * @ret:       set on success only; release with rp_store_close()
 *
 * Removes what operations that died have left behind; what is still being
 * worked on by others is left alone.
 *
 * Errors: RP_NOT_AVAILABLE (no store there), RP_NOT_SUPPORTED (made by a newer
 * version), RP_UNKNOWN_STATUS (damaged), RP_ACCESS_DENIED, RP_TIMEOUT.
 */
uint32_t rp_store_open(const char *directory, const struct rp_store_options *options,
		       struct rp_store **ret, struct rp_error *reterr);

/**
 * rp_store_close() - release a store handle
 * @store: may be NULL
 */
void rp_store_close(struct rp_store *store);

/* ----------------------------------------------------------------- systems */

struct rp_disk {
	const char *id;	  /* 1-127 of [A-Za-z0-9._+-], not beginning with . or - */
	const char *path; /* absolute path of a regular file or block device */
};

/**
 * rp_system_add() - register a virtual system with its disks
 * @name:    as rp_disk.id
 * @configs: absolute paths of config files kept with every reference point;
 *           their base names must differ
 *
 * Errors: RP_INVALID_PARAMETER (name, no disk, ID or base name twice, path not
 * absolute, not a file or block device), RP_NOT_AVAILABLE (a path does not
 * exist), RP_INVALID_STATE (the system exists), RP_ACCESS_DENIED.
 */
uint32_t rp_system_add(struct rp_store *store, const char *name,
		       const struct rp_disk *disks, size_t disk_count,
		       const char *const *configs, size_t config_count,
		       struct rp_error *reterr);

/**
 * rp_system_list() - all systems: a JSON array of the documents of rp_system_show()
 *
 * A system whose metadata is damaged is listed with a Status that says so.
 */
uint32_t rp_system_list(struct rp_store *store, char **ret_json, struct rp_error *reterr);

/**
 * rp_system_show() - one system: its disks, config files and reference points
 *
 * Errors: RP_NOT_AVAILABLE, RP_UNKNOWN_STATUS, RP_INVALID_PARAMETER.
 */
uint32_t rp_system_show(struct rp_store *store, const char *name, char **ret_json,
			struct rp_error *reterr);

/**
 * rp_system_remove() - forget a system; its disks are not touched
 *
 * Errors: RP_INVALID_STATE (it still has reference points), RP_NOT_AVAILABLE.
 */
uint32_t rp_system_remove(struct rp_store *store, const char *name,
			  struct rp_error *reterr);

/* -------------------------------------------------------- reference points */

/* Which backend moves bytes; AUTO takes the first of this order that works. */
enum rp_io {
	RP_IO_AUTO,
	RP_IO_URING,
	RP_IO_AIO,
	RP_IO_SYNC,
};

/* Whether blocks are shared with FICLONE. */
enum rp_clone {
	RP_CLONE_AUTO,	 /* where the file system can, else the bytes are moved */
	RP_CLONE_NEVER,	 /* always move bytes */
	RP_CLONE_ALWAYS, /* RP_NOT_SUPPORTED where it cannot */
};

enum rp_digest {
	RP_DIGEST_AUTO,	  /* of disks whose bytes are moved anyway */
	RP_DIGEST_ALWAYS, /* of cloned disks too: reads them once */
	RP_DIGEST_NEVER,
};

struct rp_create_options {
	size_t size;	   /* sizeof(struct rp_create_options) */
	const char *label; /* any text up to 255 bytes; NULL = none */
	bool allow_copy;   /* copy where FICLONE cannot; for stopped machines only */
	enum rp_io io;	   /* for such copies */
	const struct rp_watch *watch;
};

/**
 * rp_create_reference_point() - take a reference point of a system
 * @options:   borrowed for the call; NULL means defaults
 * @ret_point: "NAME@UUID"
 *
 * Each disk is flushed and cloned, one directly after another. One disk's clone
 * is an image of one instant; several disks of a running machine are not
 * consistent with each other, and the point says so. While a disk is cloned its
 * writers wait, some 10-60 us per extent; a long stall is warned of beforehand.
 *
 * Errors: RP_NOT_SUPPORTED (no FICLONE between disk and store, and no
 * allow_copy), RP_NOT_AVAILABLE (system or a disk is gone), RP_TIMEOUT (another
 * operation on the system), RP_IN_USE (the disk changed while it was copied),
 * RP_ACCESS_DENIED, RP_FAILED, RP_OUT_OF_MEMORY.
 */
uint32_t rp_create_reference_point(struct rp_store *store, const char *system,
				   const struct rp_create_options *options,
				   char **ret_point, struct rp_error *reterr);

/**
 * rp_list_reference_points() - a JSON array of points, oldest first
 * @system: NULL = of all systems, except damaged ones: see rp_system_list()
 *
 * A point whose metadata is damaged is listed with a Status that says so.
 */
uint32_t rp_list_reference_points(struct rp_store *store, const char *system,
				  char **ret_json, struct rp_error *reterr);

/**
 * rp_show_reference_point() - one point as a JSON object
 * @point: "SYSTEM@POINT", POINT being a UUID, an unambiguous prefix of at least
 *         4 characters, "latest" or "latest~N"
 *
 * Errors: RP_INVALID_PARAMETER (syntax, ambiguous), RP_NOT_AVAILABLE,
 * RP_UNKNOWN_STATUS (its metadata is damaged).
 */
uint32_t rp_show_reference_point(struct rp_store *store, const char *point,
				 char **ret_json, struct rp_error *reterr);

/**
 * rp_destroy_reference_point() - delete a point and its data
 *
 * Errors: RP_IN_USE (being exported), as rp_show_reference_point() except that
 * a point with damaged metadata can be destroyed by its full UUID.
 */
uint32_t rp_destroy_reference_point(struct rp_store *store, const char *point,
				    struct rp_error *reterr);

/* ----------------------------------------------------------------- exports */

struct rp_job;

struct rp_export_options {
	size_t size;		  /* sizeof(struct rp_export_options) */
	const char *const *disks; /* IDs of the disks to export; NULL = all */
	size_t disk_count;
	enum rp_io io;
	enum rp_clone clone;
	enum rp_digest digest;
	uint64_t timeout_ms; /* of all of it, waits for locks included; 0 = none */
	/* How bytes are moved; 0 = what suits the machine (see rp_probe()). */
	uint64_t block_size;  /* of a request: a power of two, 1 MiB to 64 MiB */
	unsigned queue_depth; /* blocks on their way at once, up to 256 */
	uint64_t memory;      /* limit of all buffers together, in steps of 2 MiB; if it
			       * cannot hold one set of them: RP_OUT_OF_MEMORY */
	const struct rp_watch *watch;
	/* ExportSettingData (see rp_export_reference_point()): counts instead of all
	 * the above but watch. NULL = none. */
	const char *settings;
};

/**
 * rp_export() - export one point, whole, into a directory
 * @point:      as rp_show_reference_point()
 * @directory:  absolute path of an existing directory
 * @options:    borrowed for the call; NULL means defaults
 * @ret_report: what rp_export_reference_point() does not return: a JSON object
 *              with Job, ExportPath and the manifest; may be NULL
 *
 * Writes DIRECTORY/SYSTEM/UUID/ with one raw file per disk, the config files and
 * export.json, or nothing: the folder appears by one rename after everything in
 * it is on stable storage. Blocks are shared where the file system can, else
 * moved; holes stay holes. The source is only read.
 *
 * Errors: RP_INVALID_PARAMETER (relative path, unknown disk), RP_NOT_AVAILABLE
 * (point or directory), RP_IN_USE (the same export is running), RP_INVALID_STATE
 * (it exists already), RP_TIMEOUT, RP_NOT_SUPPORTED (RP_CLONE_ALWAYS),
 * RP_ACCESS_DENIED, RP_FAILED (EIO, ENOSPC, ... with disk and offset; cancelled),
 * RP_OUT_OF_MEMORY.
 */
uint32_t rp_export(struct rp_store *store, const char *point, const char *directory,
		   const struct rp_export_options *options, char **ret_report,
		   struct rp_error *reterr);

/**
 * rp_export_reference_point() - the method ExportReferencePoint
 * @reference_point:     "system@id"
 * @export_directory:    absolute path of an existing directory
 * @export_setting_data: NULL or "" = defaults; else JSON, or the CIM-XML form of
 *                       Msvm_VirtualSystemReferencePointExportSettingData:
 *                       {"BaseReferencePoint": "...", "DisksToExport": ["vda"],
 *                        "Options": {"Io": "auto", "Clone": "auto",
 *                                    "Digest": "auto", "Timeout": 3600,
 *                                    "BlockSize": 2097152, "QueueDepth": 8,
 *                                    "Memory": 33554432}}
 *                       (Timeout in seconds, sizes in bytes)
 * @ret_job:             NULL: run now. Otherwise RP_NOT_SUPPORTED in this version
 *
 * Errors: those of rp_export(); for the settings RP_INVALID_PARAMETER (text that
 * does not parse, unknown option), RP_INVALID_TYPE (unknown property or class,
 * wrong type), RP_NOT_SUPPORTED (BaseReferencePoint: differential exports are
 * not in this version).
 */
uint32_t rp_export_reference_point(struct rp_store *store, const char *reference_point,
				   const char *export_directory,
				   const char *export_setting_data,
				   struct rp_job **ret_job, struct rp_error *reterr);

struct rp_read_options {
	size_t size; /* sizeof(struct rp_read_options) */
	enum rp_io io;
	enum rp_clone clone; /* restore only */
	bool replace;	     /* restore only: replace an existing regular file */
	const struct rp_watch *watch;
};

/**
 * rp_verify() - read an export again and compare it with its manifest
 * @export_path: a published export folder (holds export.json)
 * @options:     borrowed for the call; NULL means defaults
 * @ret_report:  a JSON object: per disk what was compared; may be NULL
 *
 * Needs no store. Compares sizes, config files and, where the export has
 * digests, every chunk of data; a disk without digests says so in the report.
 *
 * Errors: RP_FAILED (differs: @reterr has the disk and the offset of the first
 * bad chunk), RP_UNKNOWN_STATUS (the manifest or a digest file is damaged),
 * RP_NOT_AVAILABLE (no export there), RP_NOT_SUPPORTED (newer format).
 */
uint32_t rp_verify(const char *export_path, const struct rp_read_options *options,
		   char **ret_report, struct rp_error *reterr);

/**
 * rp_restore() - write one exported disk to a file or block device
 * @output: a path that does not exist, or a block device at least as large as
 *          the disk; with options->replace also an existing regular file
 *
 * A file appears under its name only when it is complete and on stable storage.
 * A block device is written in place; what lies behind the disk's size stays.
 * Where the export has digests the bytes are checked while they pass.
 *
 * Errors: as rp_verify(); RP_INVALID_STATE (output exists), RP_IN_USE (device
 * is mounted), RP_INVALID_PARAMETER (unknown disk, device too small).
 */
uint32_t rp_restore(const char *export_path, const char *disk, const char *output,
		    const struct rp_read_options *options, char **ret_report,
		    struct rp_error *reterr);

#ifdef __cplusplus
}
#endif

#endif /* REFPOINT_H */
