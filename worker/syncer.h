/* syncer.h: what lies in output folders, put on disk by a thread of its own: the worker goes on meanwhile.
 *
 * syncfs() of the folder's file system, once for all that was written since the last time: data, names and
 * folders. It is the cheapest way that is correct. A hundred pictures cost one commit of the file system's
 * journal and one flush of the disk, where fdatasync() of each and fsync() of its folders cost a hundred or
 * more; sync_file_range() writes no names, and flushes no disk. The price: what others have written to the
 * same file system is waited for, too. Linux tells by syncfs() of writes that failed since 5.8; FUSE file
 * systems that do not know it do nothing: there, Durability: file is the right setting. */
#ifndef NIFFLER_WORKER_SYNCER_H
#define NIFFLER_WORKER_SYNCER_H

#include <stddef.h>

#include "common/error.h"

struct syncer;

/* Start the thread. Fails with ERROR_FATAL. */
MUST_CHECK bool syncer_open(struct syncer **syncer, struct error *err);
void syncer_close(struct syncer *syncer); /* waits for what it is at; accepts NULL */

/* Begin to sync the file systems of these folders (descriptors, borrowed until it is done). Only when the
 * last order was taken back by syncer_take(). */
void syncer_begin(struct syncer *syncer, const int *folders, size_t count);

/* Readable when what was begun is done. Borrowed; to be polled only. */
int syncer_descriptor(const struct syncer *syncer);

/* Take back what was begun. *is_done: it is, well or not. Fails with ERROR_RETRY: the storage could not write
 * it. */
MUST_CHECK bool syncer_take(struct syncer *syncer, bool *is_done, struct error *err);

#endif
