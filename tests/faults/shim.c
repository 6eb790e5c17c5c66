/* Faults on demand: loaded before libc, it counts what a process does to files below one folder, and at one of these
   operations kills the process, refuses, or writes half. It can also move the clock, and change a file that is read.

   Every call is the system call itself, so nothing here depends on what it stands in front of. Native libraries
   (DuckDB, Polars, Arrow) call libc as Python does, so they are caught as well; what is written through a memory map is
   not, and none of them does that. The plan lies in memory that the driver shares with the process (`struct plan`). */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN, CREATE, READ, WRITE, RENAME, LINK, UNLINK, RMDIR, MKDIR, SYNC, TRUNCATE, CHMOD, MAP, VOLUME, KINDS };
enum action { NONE, KILL, TORN, REFUSE, SHORT, CUT, GROW, REPLACE, JUMP };

/* The same layout is written in injector.py. */
struct plan {
    int32_t armed, action, number, trace; /* a file to write every operation to; 0 for none */
    uint32_t kinds, then;       /* which operations count towards `at`, and which are refused from then on */
    int64_t at;
    int64_t clock, jump;        /* seconds that the clock is off, from the start and from the fault on */
    _Atomic int64_t seen;       /* operations of `kinds` on paths that hold `only` */
    _Atomic int64_t counts[16]; /* all operations below the root, by kind */
    _Atomic int32_t fired, hit; /* whether the fault happened, and at which kind of operation */
    char root[512], only[256], target[512], where[512];
};

static struct plan *plan;
static _Atomic int64_t offset;

void faults_arm(struct plan *given) { plan = given; offset = given->clock; given->armed = 1; }

static int path_of(int fd, const char *path, char *out) {
    char link[64];
    ssize_t got = 0;
    if (path && path[0] == '/') { snprintf(out, 1024, "%s", path); return 1; }
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    got = syscall(SYS_readlinkat, AT_FDCWD, link, out, 1023 - (path ? (long)strlen(path) + 1 : 0));
    if (got < 0) return 0;
    out[got] = 0;
    if (path && path[0]) { strcat(out, "/"); strcat(out, path); }
    return 1;
}

static void change(enum action action) {
    struct stat about;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, plan->target, O_RDWR | O_CLOEXEC, 0);
    char aside[1024], block[4096];
    if (fd < 0) return;
    fstat(fd, &about);
    if (action == CUT) (void)syscall(SYS_ftruncate, fd, about.st_size / 2);
    if (action == GROW) {
        ssize_t got = (ssize_t)syscall(SYS_pread64, fd, block, sizeof block, about.st_size > 200 ? about.st_size - 200 : 0);
        if (got > 0) (void)syscall(SYS_pwrite64, fd, block, got, about.st_size);
    }
    if (action == REPLACE) {
        snprintf(aside, sizeof aside, "%s.next", plan->target);
        (void)syscall(SYS_renameat, AT_FDCWD, aside, AT_FDCWD, plan->target);
    }
    (void)syscall(SYS_close, fd);
}

static void note(enum kind kind, const char *path) {
    char line[600];
    int size = snprintf(line, sizeof line, "%d %.511s\n", (int)kind, path);
    (void)syscall(SYS_write, plan->trace, line, size);
}

/* Where a name goes, after the line of the operation. */
static void note_target(int fd, const char *path) {
    char found[1024];
    if (plan && plan->armed && plan->trace && path_of(fd, path, found)) note(KINDS, found);
}

/* What becomes of one operation: 0 it goes on, 1 it writes half, 2 it writes half and the process dies, below 0 an error. */
static int judge(enum kind kind, int fd, const char *path) {
    char found[1024];
    int saved = errno;
    if (!plan || !plan->armed || !path_of(fd, path, found) || strncmp(found, plan->root, strlen(plan->root))) {
        errno = saved;
        return 0;
    }
    errno = saved;
    plan->counts[kind]++;
    if (plan->trace) note(kind, found);
    if (plan->fired && (plan->then >> kind & 1)) return -plan->number;
    if (!(plan->kinds >> kind & 1) || (plan->only[0] && !strstr(found, plan->only))) return 0;
    if (++plan->seen != plan->at) return 0;
    snprintf(plan->where, sizeof plan->where, "%.511s", found);
    plan->hit = (int32_t)kind;
    plan->fired = 1;
    switch (plan->action) {
        case KILL: syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause();
        case TORN: return 2;
        case REFUSE: return -plan->number;
        case SHORT: return 1;
        case JUMP: offset += plan->jump; return 0;
        case CUT: case GROW: case REPLACE: change((enum action)plan->action); return 0;
        default: return 0;
    }
}

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

#define REFUSED(kind, fd, path) do { int said = judge(kind, fd, path); \
    if (said == 2) die(); \
    if (said < 0) { errno = -said; return -1; } } while (0)

/* ---------------------------------------------------------------------------------------------------- opening */

static int opened(int fd, const char *path, int flags, mode_t mode) {
    REFUSED((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT) ? OPEN : CREATE, fd, path);
    return (int)syscall(SYS_openat, fd, path, flags, mode);
}

#define MODE(flags, last) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, last); \
    mode = (mode_t)va_arg(rest, int); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int fd, const char *path, int flags, ...) { MODE(flags, flags) return opened(fd, path, flags, mode); }
int openat64(int fd, const char *path, int flags, ...) { MODE(flags, flags) return opened(fd, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int fd, const char *path, int flags) { return opened(fd, path, flags, 0); }
int __openat64_2(int fd, const char *path, int flags) { return opened(fd, path, flags, 0); }

/* ---------------------------------------------------------------------------------------------------- reading */

ssize_t read(int fd, void *to, size_t size) { REFUSED(READ, fd, 0); return syscall(SYS_read, fd, to, size); }
ssize_t __read_chk(int fd, void *to, size_t size, size_t room) { (void)room; return read(fd, to, size); }
ssize_t pread64(int fd, void *to, size_t size, off_t at) { REFUSED(READ, fd, 0); return syscall(SYS_pread64, fd, to, size, at); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { return pread64(fd, to, size, at); }
ssize_t __pread64_chk(int fd, void *to, size_t size, off_t at, size_t room) { (void)room; return pread64(fd, to, size, at); }
ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t room) { (void)room; return pread64(fd, to, size, at); }
ssize_t readv(int fd, const struct iovec *to, int count) { REFUSED(READ, fd, 0); return syscall(SYS_readv, fd, to, count); }
ssize_t preadv64(int fd, const struct iovec *to, int count, off_t at) {
    REFUSED(READ, fd, 0);
    return syscall(SYS_preadv, fd, to, count, at, 0);
}
ssize_t preadv(int fd, const struct iovec *to, int count, off_t at) { return preadv64(fd, to, count, at); }

/* ---------------------------------------------------------------------------------------------------- writing */

static ssize_t wrote(int fd, const void *from, size_t size, off_t at, int placed) {
    int said = judge(WRITE, fd, 0);
    if (said < 0) { errno = -said; return -1; }
    if (said) size = said == 2 || size > 1 ? size / 2 : size;
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, from, size, at) : syscall(SYS_write, fd, from, size);
    if (said == 2) die();
    return done;
}

static ssize_t wrote_all(int fd, const struct iovec *from, int count, off_t at, int placed) {
    int said = judge(WRITE, fd, 0);
    if (said < 0) { errno = -said; return -1; }
    if (said) {
        ssize_t done = placed ? syscall(SYS_pwrite64, fd, from[0].iov_base, from[0].iov_len / 2, at)
                              : syscall(SYS_write, fd, from[0].iov_base, from[0].iov_len / 2);
        if (said == 2) die();
        return done;
    }
    return placed ? syscall(SYS_pwritev, fd, from, count, at, 0) : syscall(SYS_writev, fd, from, count);
}

ssize_t write(int fd, const void *from, size_t size) { return wrote(fd, from, size, 0, 0); }
ssize_t pwrite64(int fd, const void *from, size_t size, off_t at) { return wrote(fd, from, size, at, 1); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { return wrote(fd, from, size, at, 1); }
ssize_t writev(int fd, const struct iovec *from, int count) { return wrote_all(fd, from, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *from, int count, off_t at) { return wrote_all(fd, from, count, at, 1); }
ssize_t pwritev64(int fd, const struct iovec *from, int count, off_t at) { return wrote_all(fd, from, count, at, 1); }

ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    REFUSED(READ, from, 0);
    REFUSED(WRITE, to, 0);
    return syscall(SYS_sendfile, to, from, at, size);
}
ssize_t sendfile64(int to, int from, off_t *at, size_t size) { return sendfile(to, from, at, size); }
ssize_t copy_file_range(int from, off_t *at, int to, off_t *place, size_t size, unsigned flags) {
    REFUSED(READ, from, 0);
    REFUSED(WRITE, to, 0);
    return syscall(SYS_copy_file_range, from, at, to, place, size, flags);
}
int ftruncate64(int fd, off_t size) { REFUSED(TRUNCATE, fd, 0); return (int)syscall(SYS_ftruncate, fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fallocate64(int fd, int mode, off_t at, off_t size) {
    REFUSED(TRUNCATE, fd, 0);
    return (int)syscall(SYS_fallocate, fd, mode, at, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) { return fallocate64(fd, mode, at, size); }
int posix_fallocate64(int fd, off_t at, off_t size) { return fallocate64(fd, 0, at, size) ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t size) { return fallocate64(fd, 0, at, size) ? errno : 0; }
int fsync(int fd) { REFUSED(SYNC, fd, 0); return (int)syscall(SYS_fsync, fd); }
int syncfs(int fd) { REFUSED(VOLUME, fd, 0); return (int)syscall(SYS_syncfs, fd); }
int fdatasync(int fd) { REFUSED(SYNC, fd, 0); return (int)syscall(SYS_fdatasync, fd); }

void *mmap64(void *near, size_t size, int protection, int flags, int fd, off_t at) {
    int said = fd >= 0 ? judge(MAP, fd, 0) : 0;
    if (said == 2) die();
    if (said < 0) { errno = -said; return MAP_FAILED; }
    return (void *)syscall(SYS_mmap, near, size, protection, flags, fd, at);
}
void *mmap(void *near, size_t size, int protection, int flags, int fd, off_t at) {
    return mmap64(near, size, protection, flags, fd, at);
}

/* ------------------------------------------------------------------------------------------------------ names */

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    REFUSED(RENAME, from, old);
    note_target(to, new);
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    REFUSED(LINK, to, new);
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int fd, const char *path, int flags) {
    REFUSED(flags & AT_REMOVEDIR ? RMDIR : UNLINK, fd, path);
    return (int)syscall(SYS_unlinkat, fd, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int fd, const char *path, mode_t mode) {
    REFUSED(MKDIR, fd, path);
    return (int)syscall(SYS_mkdirat, fd, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int fchmodat(int fd, const char *path, mode_t mode, int flags) {
    (void)flags;
    REFUSED(CHMOD, fd, path);
    return (int)syscall(SYS_fchmodat, fd, path, mode);
}
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }
int fchmod(int fd, mode_t mode) { REFUSED(CHMOD, fd, 0); return (int)syscall(SYS_fchmod, fd, mode); }

/* ------------------------------------------------------------------------------------------------------ clock */

int clock_gettime(clockid_t which, struct timespec *now) {
    int done = (int)syscall(SYS_clock_gettime, which, now);
    if (!done && plan && plan->armed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += offset;
    return done;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
