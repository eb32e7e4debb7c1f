/* A slow disk for one process: every write to a regular file is delayed to a rate of
 * BENCH_BYTES_PER_SECOND, as without a page cache. Preloaded by benchmarks/throttle.py. Writes
 * through a memory map or io_uring are not delayed, which the reported rate reveals. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double rate = -1.0;
static double free_at = 0.0;

static void delay(int fd, size_t bytes) {
    struct stat status;
    struct timespec now, until;
    if (bytes == 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return;
    pthread_mutex_lock(&lock);
    if (rate < 0) {
        const char *text = getenv("BENCH_BYTES_PER_SECOND");
        rate = text ? atof(text) : 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    double start = now.tv_sec + now.tv_nsec * 1e-9;
    if (free_at < start) free_at = start;
    if (rate > 0) free_at += bytes / rate;
    double end = free_at;
    pthread_mutex_unlock(&lock);
    until.tv_sec = (time_t)end;
    until.tv_nsec = (long)((end - until.tv_sec) * 1e9);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
}

static size_t total(const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

#define DELAYED(NAME, BYTES, PARAMETERS, ...)                                        \
    ssize_t NAME PARAMETERS {                                                       \
        static ssize_t(*next) PARAMETERS;                                           \
        if (!next) next = (ssize_t(*) PARAMETERS)dlsym(RTLD_NEXT, #NAME);           \
        int before = errno;                                                         \
        delay(fd, BYTES);                                                          \
        errno = before;                                                             \
        return next(__VA_ARGS__);                                                   \
    }

DELAYED(write, n, (int fd, const void *b, size_t n), fd, b, n)
DELAYED(pwrite, n, (int fd, const void *b, size_t n, off_t at), fd, b, n, at)
DELAYED(pwrite64, n, (int fd, const void *b, size_t n, off64_t at), fd, b, n, at)
DELAYED(writev, total(v, n), (int fd, const struct iovec *v, int n), fd, v, n)
DELAYED(pwritev, total(v, n), (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
DELAYED(pwritev64, total(v, n), (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
DELAYED(pwritev2, total(v, n), (int fd, const struct iovec *v, int n, off_t at, int f), fd, v, n, at, f)
DELAYED(pwritev64v2, total(v, n), (int fd, const struct iovec *v, int n, off64_t at, int f), fd, v, n, at, f)
