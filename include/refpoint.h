/* SPDX-License-Identifier: MIT */
/*
 * refpoint.h - reference points of virtual machine disks, and their export
 *
 * The only installed header of librefpoint, for C11 and C++11. Every method
 *   - returns 0 (or RP_JOB_STARTED) or one of the error values below;
 *   - takes an optional struct rp_error, cleared first and filled on failure;
 *   - leaves its ret_ arguments untouched on failure;
 *   - never prints, never exits, never changes signal handlers or the umask. (With a
 *     RLIMIT_FSIZE, ignore SIGXFSZ: then a write beyond the limit is RP_FAILED, else
 *     the kernel ends the process.)
 *
 * Option structs (and struct rp_watch) begin with their size, sizeof the struct. In a
 * larger one, of a newer header, the members that this library does not know must be
 * zero; otherwise, or if the size is smaller, that is RP_INVALID_PARAMETER.
 *
 * Units are bytes, ranges are half-open [start, end). Strings are UTF-8.
 * Handles are independent: one handle belongs to one thread at a time, and any number of
 * handles (and processes) of one host, but not of several, may work on one store at once:
 * its flock(2) locks and FIFOs may work within one host only, as on NFS, SMB and FUSE.
 * Children may be forked at any time; but until all have ended or called exec, nobody
 * sees that the parent has died or exited at work, and a block device that was being
 * restored to stays in use.
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
	RP_IN_USE = 32774,	  /* locked by another operation */
	RP_INVALID_STATE = 32775, /* exists, is needed, base does not fit, released */
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
	/* "waiting" (a job for its turn), "planning", "mapping", "comparing", "proving",
	 * "cloning", "copying", "verifying", "syncing" or "publishing" */
	const char *phase;
	/* Data bytes to clone, copy or read; grows while planning. What is found to be
	 * there when an export goes on counts no longer. */
	uint64_t bytes_total;
	/* Never goes back; but a job that is resumed begins at 0 again. */
	uint64_t bytes_done;
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
	/* Called at least once a second, unless one call of the kernel (a clone, a
	 * sync) takes longer; a return other than 0 cancels: the method cleans up and
	 * returns RP_FAILED with os_error ECANCELED. */
	int (*progress)(void *context, const struct rp_progress *progress);
	/* One sentence the operator should read; the work goes on. */
	void (*warning)(void *context, const char *text);
};

/* ------------------------------------------------------------------- store */

struct rp_store;

/**
 * rp_store_init() - make a new store in @directory
 * @directory: an absolute path; created (mode 0700) if it does not exist,
 *             otherwise it must be an empty directory, which becomes private
 *
 * A reference point is taken without copying only if the store lies on the
 * same reflink-capable file system (XFS, Btrfs, ...) as the disks.
 *
 * Errors: RP_INVALID_PARAMETER, RP_INVALID_STATE (is a store already, lies in one or
 * in an export, or is not empty), RP_NOT_AVAILABLE (parent does not exist),
 * RP_ACCESS_DENIED, RP_TIMEOUT (another makes one there), RP_FAILED.
 */
uint32_t rp_store_init(const char *directory, struct rp_error *reterr);

struct rp_store_options {
	size_t size; /* sizeof(struct rp_store_options) */
	/* How long to wait for a lock that another process holds, in
	 * milliseconds. Locks of the store itself are held briefly and are
	 * waited for (0 = 30 seconds); when the time is up: RP_TIMEOUT.
	 * A locked reference point, export or target is RP_IN_USE at once,
	 * unless a limit is given here, or is the time limit of the export; then it is
	 * waited for as well. */
	uint64_t lock_timeout_ms;
};

/**
 * rp_store_open() - open an existing store
 * @directory: its absolute path
 * @options:   borrowed for the call; NULL means defaults
 * @ret:       set on success only; release with rp_store_close()
 *
 * Removes what operations that died have left behind, but not what others still work on;
 * what lies where no server answers within two seconds, or nothing is mounted, is left
 * for later. JobLimit and TimeBeforeRemoval, which may be edited in store.json, are read
 * here and stay the same for all that is done with the handle, its jobs included.
 *
 * Errors: RP_INVALID_PARAMETER, RP_NOT_AVAILABLE (no store there), RP_NOT_SUPPORTED
 * (made by a newer version), RP_UNKNOWN_STATUS (damaged), RP_ACCESS_DENIED.
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
 * Errors: RP_INVALID_PARAMETER (name, no disk, ID or base name twice, one disk twice,
 * also by another path, path not absolute, not a file or block device),
 * RP_NOT_AVAILABLE (a path does not exist), RP_INVALID_STATE (the system exists),
 * RP_ACCESS_DENIED.
 */
uint32_t rp_system_add(struct rp_store *store, const char *name,
		       const struct rp_disk *disks, size_t disk_count,
		       const char *const *configs, size_t config_count,
		       struct rp_error *reterr);

/**
 * rp_system_change() - replace the disks and config files of a system by others
 *
 * The arguments are those of rp_system_add(), the whole new description. Its reference
 * points have records of their own and stay as they are; they can be bases of points
 * taken later, for the disks they have. Whoever takes a point meanwhile has the one
 * description or the other.
 *
 * Errors: as rp_system_add() but for that of a system that exists; RP_NOT_AVAILABLE also
 * if there is no such system, RP_UNKNOWN_STATUS (it is damaged), RP_TIMEOUT (another
 * operation on it).
 */
uint32_t rp_system_change(struct rp_store *store, const char *name,
			  const struct rp_disk *disks, size_t disk_count,
			  const char *const *configs, size_t config_count,
			  struct rp_error *reterr);

/**
 * rp_system_list() - all systems: a JSON array of the documents of rp_system_show()
 *
 * A system whose metadata cannot be read is listed with a Status, "damaged" or, of
 * another user's, "not permitted to be read", and a StatusReason. Errors: RP_FAILED,
 * RP_ACCESS_DENIED, RP_OUT_OF_MEMORY.
 */
uint32_t rp_system_list(struct rp_store *store, char **ret_json, struct rp_error *reterr);

/**
 * rp_system_show() - one system: its disks, config files and reference points
 *
 * Errors: RP_NOT_AVAILABLE, RP_UNKNOWN_STATUS, RP_NOT_SUPPORTED (made by a newer
 * version), RP_INVALID_PARAMETER, RP_ACCESS_DENIED.
 */
uint32_t rp_system_show(struct rp_store *store, const char *name, char **ret_json,
			struct rp_error *reterr);

/**
 * rp_system_remove() - forget a system; its disks are not touched
 *
 * Errors: RP_INVALID_STATE (it still has reference points, or among them there is a file
 * of others), RP_NOT_AVAILABLE, RP_TIMEOUT (another operation on it).
 */
uint32_t rp_system_remove(struct rp_store *store, const char *name,
			  struct rp_error *reterr);

/* -------------------------------------------------------- reference points */

/* Which backend moves bytes, and reads those that are compared or checked; AUTO takes the
 * one that was measured to be the fastest (rp_probe()), else the first of this order that
 * works, but SYNC before AIO where the destination goes by the page cache. */
enum rp_io {
	RP_IO_AUTO,
	RP_IO_URING,
	RP_IO_AIO,
	RP_IO_SYNC,
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
 * Errors: RP_NOT_SUPPORTED (no FICLONE between disk and store, and no allow_copy: the
 * step is "clone"; or the system was made by a newer version), RP_NOT_AVAILABLE (system
 * or a disk is gone, or a device has no medium: its size is 0), RP_TIMEOUT (another
 * operation on the system), RP_IN_USE (the disk changed while it was copied, or another
 * file took its place; a device is mounted or held), RP_INVALID_PARAMETER (label),
 * RP_UNKNOWN_STATUS (the system is damaged), RP_ACCESS_DENIED, RP_FAILED,
 * RP_OUT_OF_MEMORY.
 */
uint32_t rp_create_reference_point(struct rp_store *store, const char *system,
				   const struct rp_create_options *options,
				   char **ret_point, struct rp_error *reterr);

/**
 * rp_list_reference_points() - a JSON array of points, system by system, oldest first
 * @system: NULL = of all systems, by name
 *
 * A point whose metadata cannot be read is listed with a Status and a StatusReason, as
 * systems are by rp_system_list(), before those of its system whose age is known. A
 * system that cannot be read hides no other: it is left out, unless it is the one asked
 * for. Errors: of that one, as rp_system_show(); RP_FAILED, RP_OUT_OF_MEMORY.
 */
uint32_t rp_list_reference_points(struct rp_store *store, const char *system,
				  char **ret_json, struct rp_error *reterr);

/**
 * rp_show_reference_point() - one point as a JSON object
 * @point: "SYSTEM@POINT", POINT being a UUID, an unambiguous prefix of at least
 *         4 characters, "latest" or "latest~N"
 *
 * Errors: RP_INVALID_PARAMETER (syntax, ambiguous), RP_NOT_AVAILABLE,
 * RP_UNKNOWN_STATUS (its metadata is damaged), RP_NOT_SUPPORTED (made by a newer
 * version), RP_ACCESS_DENIED.
 */
uint32_t rp_show_reference_point(struct rp_store *store, const char *point,
				 char **ret_json, struct rp_error *reterr);

/**
 * rp_destroy_reference_point() - delete a point and its data
 *
 * Errors: RP_IN_USE (an export or rp_changes() reads it, also as the base; RP_TIMEOUT if
 * it still does after lock_timeout_ms), RP_ACCESS_DENIED (also: its disks are immutable,
 * and the caller has no CAP_LINUX_IMMUTABLE; nothing has changed), as
 * rp_show_reference_point() except that a point with damaged metadata can be destroyed by
 * its full UUID. If the point has gone but not all of its data, the message names the
 * folder of the store that is left; the next rp_store_open() removes it.
 */
uint32_t rp_destroy_reference_point(struct rp_store *store, const char *point,
				    struct rp_error *reterr);

/* ----------------------------------------------------------------- changes */

/* One range of a disk that differs. */
struct rp_change {
	const char *disk; /* ID; good while the method runs */
	uint64_t offset, length;
	bool zero; /* reads as zeros in the newer point */
};

struct rp_changes_options {
	size_t size;	  /* sizeof(struct rp_changes_options) */
	const char *disk; /* ID of the one disk that is asked for; NULL = all */
	bool prove;	  /* read, and compare, what is called unchanged or zero */
	const struct rp_watch *watch;
	/* If given, it is called for each range, disk by disk, after all is known, and
	 * the report has no arrays; a return other than 0 cancels. The memory needed
	 * does not grow with the number of ranges then. */
	int (*change)(void *context, const struct rp_change *change);
	void *context;
};

/**
 * rp_changes() - which bytes of a system's disks differ between two points
 * @point:      the newer point, as rp_show_reference_point()
 * @base:       the older one, also "@POINT"
 * @options:    borrowed for the call; NULL means defaults
 * @ret_report: a JSON object with Disks[]: DiskId, Source, SourceReason, HasBase,
 *              sizes, sums, and ChangedByteOffsets[], ChangedByteLengths[],
 *              ChangedByteZero[]; may be NULL
 *
 * No byte that differs is missing. More may be listed: ranges are whole blocks of 4096
 * bytes (the last one may end with the disk), and the same bytes written again count
 * where the evidence, Source, is "extents" or "tree". A disk for which the base is of no
 * use (HasBase false: it is new, its data was released without a digest, or what is left
 * of it is damaged) is listed as a whole, with a warning. What lies behind the end of a
 * smaller disk counts as zeros.
 *
 * Errors: RP_INVALID_STATE (the base is of another system, is the same point or newer;
 * the data of @point was released, or of @base and it is to be proved),
 * RP_INVALID_PARAMETER (unknown disk), RP_NOT_AVAILABLE, RP_IN_USE (with lock_timeout_ms
 * RP_TIMEOUT), RP_FAILED (a read failed, cancelled; proof failed: @reterr has the disk
 * and the offset), RP_UNKNOWN_STATUS, RP_NOT_SUPPORTED (made by a newer version),
 * RP_ACCESS_DENIED, RP_OUT_OF_MEMORY.
 */
uint32_t rp_changes(struct rp_store *store, const char *point, const char *base,
		    const struct rp_changes_options *options, char **ret_report,
		    struct rp_error *reterr);

/* ----------------------------------------------------------------- exports */

struct rp_job; /* a reference to a job: its holder need not be who works on it */

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

/*
 * What the exported disks are. With options->base an image holds the clusters that have
 * changed, and is based on the image in the same directory that the base was exported
 * to: qcow2 on qcow2 or a full raw one, VHDX on a VHDX of the same size. A disk that has
 * none there is exported in full, with a warning.
 */
enum rp_format {
	RP_FORMAT_RAW,	 /* the bytes of the disk, or of the image it is */
	RP_FORMAT_QCOW2, /* QEMU's, version 3 */
	RP_FORMAT_VHDX,	 /* Hyper-V's; up to 64 TiB */
};

/* I/O priority of the thread that works (ioprio_set(2)); restored afterwards. */
enum rp_ionice {
	RP_IONICE_NONE, /* as it is */
	RP_IONICE_LOW,	/* best effort, the last of its levels */
	RP_IONICE_IDLE, /* only when nobody else wants the device */
};

struct rp_export_options {
	size_t size;		  /* sizeof(struct rp_export_options) */
	const char *const *disks; /* IDs of the disks to export */
	size_t disk_count;	  /* 0 = all of them */
	enum rp_io io;
	enum rp_clone clone;
	enum rp_digest digest;
	uint64_t timeout_ms; /* of all of it, waits for locks included; 0 = none */
	/* How bytes are moved; 0 = what suits the machine (see rp_probe()). */
	uint64_t block_size;  /* of a request: a power of two, 1 MiB to 64 MiB */
	unsigned queue_depth; /* blocks on their way at once, up to 256 */
	uint64_t memory;      /* limit of all buffers together, in steps of 2 MiB; if it
			       * cannot hold one set of them: RP_OUT_OF_MEMORY */
	/* Only what has changed since this older point of the same system is exported:
	 * "SYSTEM@POINT", or "@POINT" for the system of each point exported. "@exported"
	 * is the newest older point that DIRECTORY has an export of. A system that has no
	 * such "@latest~N" or "@exported" is exported in full, with a warning; with
	 * "@exported" so is a disk that could not be restored from there. NULL = all. */
	const char *base;
	/* RP_INVALID_STATE where there would be a warning: a disk has no usable base, or
	 * DIRECTORY has no export of the base from which the disk could be restored. */
	bool strict;
	/* With a base: if DIRECTORY holds an export of it, the new one is whole, at the
	 * cost of what has changed. */
	bool merge;
	const struct rp_watch *watch;
	/* Bytes a second that are moved, all disks together; 0 = as fast as it goes.
	 * Cloning moves no bytes and is not slowed. */
	uint64_t bandwidth;
	/* Reads and writes a second, the same way, and also the reads of bytes that are
	 * only compared or checked; 0 = no limit. */
	uint32_t iops;
	/* Give way to others: move, compare and check slower while tasks wait for I/O
	 * more than this per cent of the time, 1 to 99; 0 = do not look. Of the whole
	 * system or, with pressure_of, of those in a cgroup (the absolute path of its
	 * folder).
	 * RP_NOT_SUPPORTED where the kernel does not know, RP_NOT_AVAILABLE without such
	 * a folder. */
	uint32_t max_pressure;
	const char *pressure_of;
	uint32_t priority; /* 1 (first) to 99 (last); 0 = 50 */
	enum rp_ionice ionice;
	bool restart; /* throw away what an interrupted export has left there */
	enum rp_format format;
	/* Of qcow2: bytes of a cluster, 64 KiB to 2 MiB; of VHDX: of a block, 1 MiB to
	 * 256 MiB; a power of two. 0 = what suits the disk. A raw one has none:
	 * RP_INVALID_PARAMETER. */
	uint64_t cluster_size;
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
 *              with Job, ExportPath, Seconds, Warnings and the manifest; may be NULL
 *
 * Writes DIRECTORY/SYSTEM/UUID/ with one file per disk, the config files and
 * export.json, or nothing: the folder appears by one rename after everything in
 * it is on stable storage. What an export has moved when it is cancelled, killed or
 * fails by a device stays in DIRECTORY/SYSTEM/.UUID.partial/ with a journal, and the same
 * export again goes on from there, after it has read it and compared it with the point;
 * if it differs, that is RP_INVALID_STATE, and options->restart starts over. Blocks are
 * shared where the file system can, else moved; holes stay holes. The source is only
 * read.
 *
 * With options->base a disk's file holds only what has changed since, and has a list
 * of that beside it (refpoint(1), "Differential disks"). A disk for which the base is
 * of no use is exported in full, with a warning to options->watch. There is a warning,
 * too, if DIRECTORY has no export of the base from which the disk could be restored; with
 * "@exported" the base is then of no use.
 *
 * Errors: RP_INVALID_PARAMETER (relative path or one into a store or an export, unknown
 * disk), RP_NOT_AVAILABLE (point or directory), RP_IN_USE (the same export is running),
 * RP_UNKNOWN_STATUS (the point, or the base, is damaged),
 * RP_INVALID_STATE (it exists already, and os_error is EEXIST; the base is of another
 * system, the same point or a newer one; options->strict and a disk has no usable base),
 * RP_TIMEOUT, RP_NOT_SUPPORTED (RP_CLONE_ALWAYS; options->format cannot hold such a disk,
 * or the disk is an image itself), RP_ACCESS_DENIED, RP_FAILED (EIO, ENOSPC, ... with
 * disk and offset; cancelled), RP_OUT_OF_MEMORY.
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
 *                                    "Memory": 33554432, "Strict": false,
 *                                    "BackupIntent": 1,
 *                                    "BandwidthLimit": 52428800,
 *                                    "IopsLimit": 500, "MaxPressure": 20,
 *                                    "PressureOf": "/sys/fs/cgroup/machine.slice",
 *                                    "Priority": 50, "IoNice": "none",
 *                                    "Restart": false,
 *                                    "Format": "qcow2", "ClusterSize": 65536}}
 *                       (Timeout in seconds, sizes in bytes, BandwidthLimit in bytes
 *                       a second; BackupIntent 1 keeps the chain, 2 merges, as
 *                       options->merge)
 * @ret_job:             NULL: run now, return RP_OK. Otherwise start, return
 *                       RP_JOB_STARTED: see rp_export_start()
 *
 * Errors: those of rp_export(); for the settings RP_INVALID_PARAMETER (text that
 * does not parse, unknown option), RP_INVALID_TYPE (unknown property or class,
 * wrong type).
 */
uint32_t rp_export_reference_point(struct rp_store *store, const char *reference_point,
				   const char *export_directory,
				   const char *export_setting_data,
				   struct rp_job **ret_job, struct rp_error *reterr);

/**
 * rp_export_set() - export many points into a directory at once
 * @points:  as rp_export(); each is exported and published by itself
 * @options: as rp_export(), for each of them; options->watch sees the sum of their
 *           progress. memory and timeout_ms are for all of them together; with a
 *           limit of the rate (bandwidth, iops, max_pressure) they are exported one
 *           after another. The same holds for options->settings. With a base that
 *           names a system or an ID, points of other systems fail. "latest" is looked
 *           up at the beginning, and a point whose base goes or comes after that fails;
 *           "@exported" is looked up when the point's turn comes
 * @done:    called for each as it ends, from the thread that called, with what
 *           rp_export() would have returned: report or error. May be NULL
 *
 * Up to 64 threads of the library, as far as RLIMIT_NOFILE has room, work on the points,
 * those with the smallest disks first, and share one pool of buffers fairly. Each export
 * is on stable storage when @done is called for it. On XFS and ext4, unless the page
 * cache holds much that others have written, they wait together for syncs of the whole
 * file system, each half a second at most until others want one too. A point that fails
 * does not keep the others from being exported. Without points (@points may be NULL) only
 * @options and @directory, which must not be in a store or an export, are checked.
 *
 * Return: RP_OK if all were exported; else the value of the first of @points that was
 * not, with @reterr. Those that exist already (os_error EEXIST), as after a set that was
 * cut off, count only if nothing else has failed. If there are no threads or buffers,
 * that error.
 */
uint32_t rp_export_set(struct rp_store *store, const char *const *points, size_t count,
		       const char *directory, const struct rp_export_options *options,
		       void (*done)(void *context, size_t index, uint32_t value,
				    const char *report, const struct rp_error *error),
		       void *context, struct rp_error *reterr);

/* ----------------------------------------------------------------- probing */

/**
 * rp_probe() - find out what works between two directories, and how fast
 * @store:    keeps the result, if there is a Choice, for later exports that move bytes
 *            between these two mounts and leave io, block size, depth and memory to the
 *            engine, without a limit of the rate; NULL = it is not kept
 * @source:   absolute path of an existing directory
 * @target:   another; NULL = the same
 * @ret_json: Source and Target (file system, direct I/O and its alignment, whether
 *            direct writes are buffered, ...), Reflink and its cost per extent,
 *            CopyFileRange, IoUring, Speeds of the backends, and the Choice
 *
 * Takes a second or two, of a slow device some more, and 64 MiB of space in each while it
 * runs, in files that have no name: nothing is left behind. Whoever measures for the same
 * @store is waited for, a minute at most. A result counts until the kernel or a mount
 * changes; an export that moves 4 GiB or more then measures again. What is null could
 * not be found out, or does not apply. Only for directories that the caller may write to.
 *
 * Errors: RP_INVALID_PARAMETER (a path that is relative or not UTF-8), RP_NOT_AVAILABLE,
 * RP_ACCESS_DENIED (read-only), RP_FAILED, RP_OUT_OF_MEMORY.
 */
uint32_t rp_probe(struct rp_store *store, const char *source, const char *target,
		  char **ret_json, struct rp_error *reterr);

/* -------------------------------------------------------------------- jobs */

/*
 * Every export is a job and has a record in the store, which any process can read at
 * any time, while it runs and for seven days after (TimeBeforeRemoval in store.json,
 * in seconds). A record is a JSON object: InstanceID, Name, JobState, JobStatus, Phase,
 * PercentComplete, BytesTotal, BytesDone, BytesPerSecond, EstimatedTime (seconds left),
 * TimeSubmitted, StartTime, ElapsedTime (seconds from StartTime to its end; by the wall
 * clock while it works, and if it was interrupted or resumed), TimeOfLastStateChange,
 * Owner, Priority, ErrorCode, ErrorDescription, ErrorSummaryDescription, Cancellable,
 * ExportDirectory, VirtualMachineId, ReferencePointId, BaseReferencePointId,
 * ExportedDisks[], ExportedConfigFilePath, Disks[] (what was done, per disk, and why),
 * Warnings[] (sentences, there when it has ended), ProcessId, Resumable, BandwidthLimit,
 * TimeBeforeRemoval (seconds), FormatVersion, VirtualSystemIdentifier, ExportPath (where
 * the export is to appear), Settings (its ExportSettingData) and, if it failed, Error:
 * Step, System, Disk, Errno, Offset. Others are the engine's own.
 *
 * PercentComplete never goes back, and is 100 only in state Completed.
 */
enum rp_job_state {	     /* CIM_ConcreteJob.JobState */
	RP_JOB_NEW = 2,	     /* waits for its turn */
	RP_JOB_STARTING = 3, /* waits for its turn again, or for the same export */
	RP_JOB_RUNNING = 4,
	RP_JOB_SUSPENDED = 5,
	RP_JOB_SHUTTING_DOWN = 6,
	RP_JOB_COMPLETED = 7,
	RP_JOB_TERMINATED = 8,
	RP_JOB_KILLED = 9,
	RP_JOB_EXCEPTION = 10, /* failed, or "interrupted": its process is gone */
};

enum rp_job_request {	  /* CIM_ConcreteJob.RequestStateChange: RequestedState */
	RP_JOB_START = 2, /* resume */
	RP_JOB_SUSPEND = 3,
	RP_JOB_TERMINATE = 4, /* stop cleanly, keep what a resume needs */
	RP_JOB_KILL = 5,      /* stop at once, keep nothing */
	/* Added to RP_JOB_TERMINATE: keep nothing. */
	RP_JOB_DISCARD = 0x10000,
};

enum rp_job_answer { /* what RequestStateChange returns */
	RP_JOB_DONE = 0,
	RP_JOB_UNSPECIFIED = 2,	  /* reterr has more */
	RP_JOB_NOT_IN_TIME = 3,	  /* the request stands, but the time limit has passed */
	RP_JOB_INVALID = 5,	  /* not a request */
	RP_JOB_TRANSITION = 4096, /* started */
	RP_JOB_FORBIDDEN = 4097,  /* invalid state transition */
	RP_JOB_BUSY = 4099,	  /* it is stopping, which is not through yet */
};

/**
 * rp_export_start() - as rp_export(), as a job of its own
 * @options: as rp_export(); options->watch is called by the job's thread and must stay
 *           valid until the job has ended
 * @ret_job: set if RP_JOB_STARTED is returned; release with rp_job_close()
 *
 * Checks the parameters, begins the record and returns; a thread of this process does
 * the work, with all signals blocked and a store handle of its own. It ends with the
 * process: a job that must outlive it needs a process of its own, as
 * "refpoint export --async" makes. At most JobLimit (store.json, default 4) started jobs
 * of a store work at once, from whatever processes; the others wait as New, by Priority,
 * then in the order they were started. One that is suspended, waits for the same export,
 * was told to stop or is beyond its time limit does not count, and rp_export() neither
 * waits nor counts.
 *
 * Errors: as far as they are known before work begins, those of rp_export(); RP_FAILED
 * also if there can be no record, RP_OUT_OF_MEMORY if there can be no thread: the job
 * that was begun then has ended with that, and may be resumed.
 */
uint32_t rp_export_start(struct rp_store *store, const char *point, const char *directory,
			 const struct rp_export_options *options, struct rp_job **ret_job,
			 struct rp_error *reterr);

/**
 * rp_job_list() - a JSON array of all job records, oldest first
 *
 * Of one that cannot be read there are InstanceID and JobStatus, "damaged", "made by a
 * newer version" or, of another user's, "not permitted to be read". Errors: RP_FAILED
 * (EMFILE, ...), RP_OUT_OF_MEMORY.
 */
uint32_t rp_job_list(struct rp_store *store, char **ret_json, struct rp_error *reterr);

/**
 * rp_job_show() - one job's record
 * @id: its InstanceID, or an unambiguous beginning of at least 4 characters
 *
 * Errors: RP_INVALID_PARAMETER (syntax, ambiguous), RP_NOT_AVAILABLE,
 * RP_UNKNOWN_STATUS (its record is damaged; while somebody works on the job it is written
 * again), RP_NOT_SUPPORTED (made by a newer version), RP_ACCESS_DENIED, RP_FAILED
 * (EMFILE, ...), RP_OUT_OF_MEMORY.
 */
uint32_t rp_job_show(struct rp_store *store, const char *id, char **ret_json,
		     struct rp_error *reterr);

/**
 * rp_job_open() - a reference to a job, whoever works on it
 * @id:  as rp_job_show()
 * @ret: set on success only; release with rp_job_close()
 *
 * The reference does not need @store any more. Its record is not read yet. Errors:
 * RP_INVALID_PARAMETER, RP_NOT_AVAILABLE, RP_FAILED (EMFILE, ...), RP_OUT_OF_MEMORY.
 */
uint32_t rp_job_open(struct rp_store *store, const char *id, struct rp_job **ret,
		     struct rp_error *reterr);

/**
 * rp_job_close() - release a reference; the job goes on
 * @job: may be NULL
 */
void rp_job_close(struct rp_job *job);

/** rp_job_id() - its InstanceID, valid as long as @job */
const char *rp_job_id(const struct rp_job *job);

/**
 * rp_job_state() - what a job is doing
 * @ret_state:    may be NULL
 * @ret_progress: may be NULL
 *
 * Also makes rp_job_fd() unreadable until the next change.
 *
 * Errors: RP_NOT_AVAILABLE (its record was removed), RP_UNKNOWN_STATUS,
 * RP_NOT_SUPPORTED, both as rp_job_show(); RP_FAILED (EMFILE, ...) and RP_OUT_OF_MEMORY
 * if this process lacks something to look with, and nothing is known of the job. All of
 * them with the step "read", and no system.
 */
uint32_t rp_job_state(struct rp_job *job, enum rp_job_state *ret_state,
		      struct rp_progress *ret_progress, struct rp_error *reterr);

/**
 * rp_job_fd() - a descriptor for poll(2) and event loops
 *
 * Readable (POLLIN) when the job's state or progress may have changed, at most some 20
 * times a second, and always once rp_job_state() says that the job has ended; also while
 * a process that worked on it dies, until that is through. It belongs to @job.
 *
 * Return: the descriptor, or -errno.
 */
int rp_job_fd(struct rp_job *job);

/**
 * rp_job_wait() - wait until a job has ended, however
 * @watch:      its progress is called when there is some; a return other than 0 ends the
 *              wait, not the job. Its warning is called at the end, for each that the
 *              export gave. May be NULL
 * @timeout_ms: 0 = no limit
 *
 * Return: what the job returned, with @reterr as it was. If it has not ended: RP_TIMEOUT
 * (@timeout_ms) or RP_FAILED (ECANCELED, by @watch), both with the step "wait". If it
 * cannot be told, as rp_job_state(): the job may go on. An error that the job has failed
 * with names its system.
 */
uint32_t rp_job_wait(struct rp_job *job, const struct rp_watch *watch,
		     uint64_t timeout_ms, struct rp_error *reterr);

/**
 * rp_job_error() - the error a job has ended with (GetError)
 *
 * Return: what the job returned, with @reterr as it was: RP_OK if it is Completed,
 * RP_JOB_STARTED if it has not ended; if it cannot be told, as rp_job_wait().
 */
uint32_t rp_job_error(struct rp_job *job, struct rp_error *reterr);

/**
 * rp_job_request_state_change() - suspend, resume, stop or kill a job
 * @requested:  of enum rp_job_request
 * @timeout_ms: how long to wait for the transition; 0 = not at all
 *
 *	            Start   Suspend  Terminate  Kill
 *	New         4097    4096     4096       4096
 *	Starting    4097    4096     4096       4096
 *	Running     4097    4096     4096       4096
 *	Suspended   4096    4097     4096       4096
 *	Shut. Down  4099    4099     4099       4096
 *	Completed   4097    4097     4097       4097
 *	Terminated  4097    4097     4097       4097
 *	Killed      4097    4097     4097       4097
 *	Exception   4097    4097     4097       4097
 *	these, if Resumable:
 *	            4096    4097     4097       0
 *
 * Where the table says 4096 and there is a timeout, the transition is waited for: 0 when
 * it is through, RP_JOB_FORBIDDEN if the job came to another end before, else
 * RP_JOB_NOT_IN_TIME, and the request stands. A Suspend or Start that was not carried out
 * yet is taken back by the other one, which then gives 4096 and takes its place; whoever
 * waits for the first gets RP_JOB_FORBIDDEN. The same request again gives 4096 and
 * changes nothing; a stop cannot be taken back. A job that has ended and is Resumable
 * (always if something of it was kept) is started in a thread of this process, as after
 * rp_export_start(), which must be able to do its work; Kill discards what it has kept.
 * A requested stop takes effect within 200 ms, as long as the devices answer.
 *
 * Return: a value of enum rp_job_answer; @reterr is filled if it is not 0 or 4096, with
 * the rp_return that is nearest: RP_INVALID_STATE for 4097, RP_IN_USE for 4099,
 * RP_TIMEOUT for 3, RP_INVALID_PARAMETER for 5.
 */
uint32_t rp_job_request_state_change(struct rp_job *job, uint32_t requested,
				     uint64_t timeout_ms, struct rp_error *reterr);

/**
 * rp_job_set_bandwidth() - change the limit of a job that has not ended
 * @bandwidth: bytes a second; 0 = none
 *
 * Errors: RP_INVALID_PARAMETER (above INT64_MAX), RP_INVALID_STATE (it has ended),
 * RP_NOT_AVAILABLE, RP_ACCESS_DENIED, RP_TIMEOUT (others keep asking things of it); those
 * of rp_job_state().
 */
uint32_t rp_job_set_bandwidth(struct rp_job *job, uint64_t bandwidth,
			      struct rp_error *reterr);

/* --------------------------------------------------------- reading exports */

struct rp_read_options {
	size_t size; /* sizeof(struct rp_read_options) */
	enum rp_io io;
	enum rp_clone clone; /* restore and merge only */
	bool replace;	     /* restore only: replace an existing regular file */
	/* Where bases of a differential export are looked for, besides its own folder and
	 * those of the bases that were found: absolute paths of directories that were
	 * exported to, with the base in DIR/SYSTEM/UUID or DIR/UUID: its own identifier.
	 */
	const char *const *search;
	size_t search_count;
	bool chain; /* verify only: read the data and config files of the bases too */
	/* restore only: of a damaged export or chain, what can be had; see rp_restore()
	 */
	bool salvage;
	const struct rp_watch *watch;
};

/**
 * rp_verify() - read an export again and compare it with its manifest
 * @export_path: a published export folder (holds export.json)
 * @options:     borrowed for the call; NULL means defaults
 * @ret_report:  a JSON object: per disk what was compared; may be NULL
 *
 * Needs no store. Compares sizes, config files, the tables of images and, where the
 * export has digests, every chunk of data; a disk without digests says so in the report.
 * Of a differential export, the exports of its bases must be there (beside it, or in
 * options->search) and fit; with options->chain their data is read as well.
 *
 * Errors: RP_FAILED (differs: @reterr has the disk and the offset of the first
 * bad chunk), RP_UNKNOWN_STATUS (the manifest, a digest file or an image's tables are
 * damaged), RP_NOT_AVAILABLE (no export there, or not of a base; or a file of one is
 * missing), RP_NOT_SUPPORTED (newer format, or an image that has what is not written
 * here).
 */
uint32_t rp_verify(const char *export_path, const struct rp_read_options *options,
		   char **ret_report, struct rp_error *reterr);

/**
 * rp_merge() - make a differential export a whole one, in its place
 * @export_path: a published differential export
 * @options:     io, clone, search and watch; NULL means defaults
 * @ret_report:  a JSON object: ExportPath and the new manifest; may be NULL
 *
 * Whole disks are made of the full export at the end of its chain and all changes since,
 * by sharing blocks where the file system can, in a folder beside the export; then the
 * two change places at one instant, and the old one is removed. There is a warning if not
 * all of it can be removed; a later merge tries again. The bases are not touched, and not
 * needed by it any more. Digest trees go on from that of the full export; all parts are
 * read and compared with theirs first. Whoever reads a chain with the export in it
 * meanwhile begins again with the whole one. Needs no store.
 *
 * Errors: as rp_verify() with a chain; RP_INVALID_STATE (it is whole already: Kind in its
 * manifest is not "differential"; or there is something in its folder that is no part of
 * it and would be removed with it),
 * RP_IN_USE (another merge of it runs), RP_NOT_SUPPORTED (the full export has an image
 * that is not raw; RP_CLONE_ALWAYS; a file system that cannot exchange two folders, NFS),
 * RP_FAILED, RP_ACCESS_DENIED.
 */
uint32_t rp_merge(const char *export_path, const struct rp_read_options *options,
		  char **ret_report, struct rp_error *reterr);

/**
 * rp_restore() - write one exported disk to a file or block device
 * @output: a path that does not exist, or a block device at least as large as
 *          the disk; with options->replace also an existing regular file; it may not
 *          lie in an export or a store
 *
 * A file appears under its name only when it is complete and on stable storage. One that
 * replaces another has the other's owner, mode and access control list. If the folder
 * cannot be synced then, the file is removed again; but one that has replaced another
 * keeps the name, and the error says so.
 * A block device is written in place; what lies behind the disk's size stays.
 * Where the export has digests the bytes are checked while they pass, and those that are
 * shared are read for it; a disk that is put together from a chain of exports is checked
 * before anything is written.
 *
 * With options->salvage damage is no failure: what cannot be read, differs from its
 * digest, or was to come from a base that is missing or damaged reads as zeros, never as
 * what an older base has there. The report says what that is: LostBytes, LostCount and
 * Lost[], {Offset, Length}, at most the first 10000 of them. What has no digest cannot
 * be told to be wrong.
 *
 * Errors: as rp_verify(); RP_INVALID_STATE (output exists, or lies in an export or a
 * store), RP_IN_USE (device is mounted, device or file is locked), RP_ACCESS_DENIED (may
 * not be written, or an existing file be read to see whether it is locked; the new file
 * cannot be given to the owner of the old one, or that is immutable),
 * RP_INVALID_PARAMETER (unknown disk, device too small, a file name of more than 246
 * bytes), RP_NOT_AVAILABLE (the device has no medium: its size is 0).
 */
uint32_t rp_restore(const char *export_path, const char *disk, const char *output,
		    const struct rp_read_options *options, char **ret_report,
		    struct rp_error *reterr);

/* ------------------------------------------------- points without their data */

/**
 * rp_release() - RemoveAssociatedData: a point gives up its data and stays
 * @options: io and watch count; borrowed for the call; NULL means defaults
 *
 * Reads every disk once, for a digest tree that is kept: with it the point still serves
 * as a base, with a grain of 64 KiB. It cannot be exported any more, and what interrupted
 * exports of it have kept goes. There is the point with its data or the point without,
 * whatever happens meanwhile.
 *
 * Errors: RP_IN_USE (as rp_destroy_reference_point()),
 * RP_INVALID_STATE (released already), RP_NOT_SUPPORTED (the store's file system cannot
 * exchange two folders), RP_ACCESS_DENIED (also: its disks are immutable, and the caller
 * has no CAP_LINUX_IMMUTABLE; nothing has changed), RP_FAILED, as
 * rp_show_reference_point(). If the point has been released but not all of its data has
 * gone, the message names the folder of the store that is left; who opens the store next
 * removes it.
 */
uint32_t rp_release(struct rp_store *store, const char *point,
		    const struct rp_read_options *options, struct rp_error *reterr);

/**
 * rp_import() - ImportReferencePointMetadata: a point is registered from its export
 * @export_path: a published export folder (holds export.json)
 * @ret_point:   "NAME@UUID", as it was
 *
 * It comes back as one without data, as after rp_release(); it can be a base if the
 * export has digests of whole disks: its Warnings name the disks for which it cannot. A
 * differential export must be merged first. Among the system's points it is as old as its
 * creation time says, with the number that it had if that lies there; what is taken next
 * has a higher one, so that exports of a store that was lost and of the new one are
 * numbered as they were made. The system must be registered.
 *
 * Errors: RP_INVALID_STATE (the point exists), RP_NOT_AVAILABLE (no export there; the
 * system is not registered), RP_UNKNOWN_STATUS (the export is damaged), RP_FAILED (a
 * config file differs from the manifest), RP_NOT_SUPPORTED (newer format), RP_TIMEOUT.
 */
uint32_t rp_import(struct rp_store *store, const char *export_path, char **ret_point,
		   struct rp_error *reterr);

#ifdef __cplusplus
}
#endif

#endif /* REFPOINT_H */
