/* Paths: reading, making, changing and removing what is not the decoder's business. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/takeover/takeover.h"

/* A name beside the path that the scene gives. */
static const char *beside(const struct scene *scene, const char *ending)
{
    static char name[128];
    (void)snprintf(name, sizeof name, "%s%s", scene->path, ending);
    return name;
}

static bool try_open(const struct scene *scene)
{
    char byte;
    int descriptor = open(scene->path, O_RDONLY | O_CLOEXEC);
    return descriptor >= 0 && read(descriptor, &byte, 1) == 1;
}

static bool try_open_how(const struct scene *scene)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};
    return syscall(SYS_openat2, AT_FDCWD, scene->path, &how, sizeof how) >= 0;
}

static bool try_open_path(const struct scene *scene)
{
    return open(scene->path, O_PATH | O_CLOEXEC) >= 0;
}

static bool try_create(const struct scene *scene)
{
    return open(beside(scene, ".made"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0;
}

static bool try_overwrite(const struct scene *scene)
{
    int descriptor = open(scene->path, O_WRONLY | O_CLOEXEC);
    return descriptor >= 0 && write(descriptor, "overwritten", 11) == 11;
}

static bool try_truncate(const struct scene *scene)
{
    return truncate(scene->path, 1) == 0;
}

static bool try_stat(const struct scene *scene)
{
    struct stat status;
    return stat(scene->path, &status) == 0;
}

static bool try_statx(const struct scene *scene)
{
    struct statx status;
    return statx(AT_FDCWD, scene->path, 0, STATX_BASIC_STATS, &status) == 0;
}

static bool try_access(const struct scene *scene)
{
    return access(scene->path, F_OK) == 0;
}

static bool try_readlink(const struct scene *scene)
{
    char target[256];
    (void)scene;
    return readlink("/proc/self/exe", target, sizeof target) > 0;
}

static bool try_list(const struct scene *scene)
{
    (void)scene;
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0;
}

static bool try_unlink(const struct scene *scene)
{
    return unlink(scene->path) == 0;
}

static bool try_rename(const struct scene *scene)
{
    return rename(scene->path, beside(scene, ".renamed")) == 0;
}

static bool try_link(const struct scene *scene)
{
    return link(scene->path, beside(scene, ".linked")) == 0;
}

static bool try_symlink(const struct scene *scene)
{
    return symlink("/etc", beside(scene, ".symlink")) == 0;
}

static bool try_mkdir(const struct scene *scene)
{
    return mkdir(beside(scene, ".folder"), 0700) == 0;
}

static bool try_mkfifo(const struct scene *scene)
{
    return mkfifo(beside(scene, ".fifo"), 0600) == 0;
}

static bool try_chmod(const struct scene *scene)
{
    return chmod(scene->path, 0777) == 0;
}

static bool try_chown(const struct scene *scene)
{
    return chown(scene->path, 65532, 65532) == 0;
}

static bool try_utimes(const struct scene *scene)
{
    return utimes(scene->path, NULL) == 0;
}

static bool try_chdir(const struct scene *scene)
{
    (void)scene;
    return chdir("/") == 0;
}

static bool try_chroot(const struct scene *scene)
{
    (void)scene;
    return chroot("/") == 0;
}

static bool try_mount(const struct scene *scene)
{
    return mount("none", scene->path, "tmpfs", 0, NULL) == 0;
}

static bool try_inotify(const struct scene *scene)
{
    (void)scene;
    return inotify_init1(IN_CLOEXEC) >= 0;
}

static bool try_memory(const struct scene *scene)
{
    char byte;
    (void)scene;
    int descriptor = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    return descriptor >= 0 && pread(descriptor, &byte, 1, (off_t)(uintptr_t)&byte) == 1;
}

static bool try_open_environ(const struct scene *scene)
{
    (void)scene;
    return open("/proc/self/environ", O_RDONLY | O_CLOEXEC) >= 0;
}

/* In memory, where no confinement could hide it. */
static bool try_environ(const struct scene *scene)
{
    (void)scene;
    errno = ENOENT;
    return environ != NULL && environ[0] != NULL;
}

const struct attempt attempts_on_files[] = {
    {"open", try_open},           {"openat2", try_open_how},
    {"open-path", try_open_path}, {"create", try_create},
    {"overwrite", try_overwrite}, {"truncate", try_truncate},
    {"stat", try_stat},           {"statx", try_statx},
    {"access", try_access},       {"readlink", try_readlink},
    {"list", try_list},           {"unlink", try_unlink},
    {"rename", try_rename},       {"link", try_link},
    {"symlink", try_symlink},     {"mkdir", try_mkdir},
    {"mkfifo", try_mkfifo},       {"chmod", try_chmod},
    {"chown", try_chown},         {"utimes", try_utimes},
    {"chdir", try_chdir},         {"chroot", try_chroot},
    {"mount", try_mount},         {"inotify", try_inotify},
    {"own-memory", try_memory},   {"open-environ", try_open_environ},
    {"environ", try_environ},     {NULL, NULL},
};
