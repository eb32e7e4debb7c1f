/* Makes the n-th call that writes below a directory fail; to be preloaded (Linux). See failing_disk.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char below[PATH_MAX];
static atomic_long seen, failed_calls;
static long at;   /* the first failing call, counted from 1; 0: none */
static int how;   /* the error number; -1: write only half of the data; -2: another byte; -3: nothing, and report success */
static int persists; /* whether all later calls fail, too */
static atomic_int armed;

void break_arm(const char *folder, long number, int error, int for_good) {
    atomic_store(&armed, 0);
    strncpy(below, folder, sizeof below - 1);
    at = number, how = error, persists = for_good;
    atomic_store(&seen, 0);
    atomic_store(&failed_calls, 0);
    atomic_store(&armed, 1);
}

/* Returns the number of calls; stores the number of failed ones in `failed`. */
long break_disarm(long *failed) {
    atomic_store(&armed, 0);
    *failed = atomic_load(&failed_calls);
    return atomic_load(&seen);
}

static int lies_below(const char *path) { return strncmp(path, below, strlen(below)) == 0; }

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return lies_below(path);
}

/* 0: proceed; otherwise the error number, or -1 for a short write. */
static int meets(int counts) {
    if (!counts) return 0;
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (!at || number < at || (number > at && !persists)) return 0;
    atomic_fetch_add(&failed_calls, 1);
    return how;
}

#define REAL(name, type) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)
#define ON_FD(fd) (atomic_load(&armed) && is_below(fd))

typedef ssize_t (*write_t)(int, const void *, size_t);
typedef ssize_t (*pwrite_t)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_t)(int, const struct iovec *, int);
typedef ssize_t (*pwritev_t)(int, const struct iovec *, int, off_t);
typedef ssize_t (*pwritev2_t)(int, const struct iovec *, int, off_t, int);
typedef int (*rename_t)(const char *, const char *);
typedef int (*renameat_t)(int, const char *, int, const char *);
typedef int (*truncate_t)(int, off_t);
typedef int (*sync_t)(int);

#define FAIL(error) do { errno = (error); return -1; } while (0)

ssize_t write(int fd, const void *data, size_t count) {
    REAL("write", write_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    if (met_with == -3) return (ssize_t)count;
    if (met_with == -2 && count) {
        char changed = *(const char *)data ^ 1;
        return real(fd, &changed, 1);
    }
    return real(fd, data, met_with && count > 1 ? count / 2 : count);
}

static ssize_t positional(pwrite_t real, int fd, const void *data, size_t count, off_t offset) {
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, data, met_with && count > 1 ? count / 2 : count, offset);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    REAL("pwrite", pwrite_t);
    return positional(real, fd, data, count, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off_t offset) {
    REAL("pwrite64", pwrite_t);
    return positional(real, fd, data, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL("writev", writev_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, parts, met_with && count > 1 ? count / 2 : count);
}

static ssize_t vectors(pwritev_t real, int fd, const struct iovec *parts, int count, off_t offset) {
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, parts, met_with && count > 1 ? count / 2 : count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL("pwritev", pwritev_t);
    return vectors(real, fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL("pwritev64", pwritev_t);
    return vectors(real, fd, parts, count, offset);
}

static ssize_t flagged(pwritev2_t real, int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, parts, met_with && count > 1 ? count / 2 : count, offset, flags);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    REAL("pwritev2", pwritev2_t);
    return flagged(real, fd, parts, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    REAL("pwritev64v2", pwritev2_t);
    return flagged(real, fd, parts, count, offset, flags);
}

int rename(const char *from, const char *to) {
    REAL("rename", rename_t);
    int met_with = meets(atomic_load(&armed) && lies_below(to));
    if (met_with > 0) FAIL(met_with);
    return real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL("renameat", renameat_t);
    int met_with = meets(atomic_load(&armed) && (lies_below(to) || (to[0] != '/' && is_below(to_folder))));
    if (met_with > 0) FAIL(met_with);
    return real(from_folder, from, to_folder, to);
}

int ftruncate(int fd, off_t length) {
    REAL("ftruncate", truncate_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, length);
}

int ftruncate64(int fd, off_t length) {
    REAL("ftruncate64", truncate_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd, length);
}

int fsync(int fd) {
    REAL("fsync", sync_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd);
}

int fdatasync(int fd) {
    REAL("fdatasync", sync_t);
    int met_with = meets(ON_FD(fd));
    if (met_with > 0) FAIL(met_with);
    return real(fd);
}
