/* nolink.h: opening, renaming and removing below a folder without following a link.
 *
 * An output folder may be one that others can write in. Whoever exchanges a folder in it for a link while we
 * work must not make us write, rename or remove elsewhere: the folder that a path's last name lies in is
 * opened without following any link, and the call is made in it. openat2() where it is there, else component
 * by component.
 *
 * All are as their namesakes: they return -1 (nolink_open() a descriptor, else 0) and errno, which is ELOOP
 * where a folder on the way, or what is to be opened, is a link, and EXDEV where a path
 * has a "..". Paths are relative to `dir`; nolink_open() and nolink_unlink() also take an
 * absolute one, which then begins at "/". */
#ifndef NIFFLER_COMMON_NOLINK_H
#define NIFFLER_COMMON_NOLINK_H

#include <stdint.h>
#include <sys/stat.h>

/* O_CLOEXEC and O_NOCTTY are added to the flags. */
int nolink_open(int dir, const char *path, int flags, mode_t mode);

/* The same for a file that is there already, or may be: it must be a regular one (else ENXIO, and a FIFO does
 * not block), and have this name only (else EMLINK): what is written to it would be written to the other. */
int nolink_open_file(int dir, const char *path, int flags, mode_t mode);

int nolink_mkdir(int dir, const char *path, mode_t mode);
int nolink_rename(int dir, const char *from, const char *to);
int nolink_unlink(int dir, const char *path, int flags);

/* Of a link, its own. */
int nolink_stat(int dir, const char *path, struct stat *status);

/* openat2() itself, again where a rename meanwhile made the kernel unsure. */
int nolink_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve);

#endif
