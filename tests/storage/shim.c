/* Preloaded into the daemon by tests/storage: counts the file operations below one directory, makes chosen ones fail,
 * and records them for the power cut. shim.rs has the other side of the masks, the control file and the record.
 *
 * SHIM_DIR      the watched directory, absolute
 * SHIM_CONTROL  a file of 64-bit words that the test writes and reads while the daemon runs, see `enum word`
 * SHIM_RECORD   optional: every change of a file or name and every sync is appended here, in the order of execution
 *
 * A sync never reaches the disk: the tests end processes, and model the power cut from the record.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum operation { WRITE, SYNC, TRUNCATE, MAP, OPEN, CREATE, RENAME, UNLINK, MKDIR, CHMOD, READ, OPERATIONS };
enum file { DATABASE, WAL, SHM, LOCK, IN_FLIGHT, OTHER, SCRATCH, DIRECTORY, FILES };

/* ARMED_FROM, SPAN: the matching operations from number ARMED_FROM on fail, SPAN of them, or all where SPAN is 0.
 * COUNTS: one word for each operation and file, operation * FILES + file. */
enum word { MATCHED, ARMED_FROM, SPAN, EFFECT, ERRNO, OPERATION_MASK, FILE_MASK, HITS, HIT_OPERATION, HIT_FILE, COUNTS };
enum effect { FAIL = 1, SHORT, KILL };
enum verdict { PASS, DENY, HALVE };

enum kind { R_CREATE = 1, R_WRITE, R_TRUNCATE, R_SYNC, R_SYNC_FAILED, R_RENAME, R_UNLINK, R_MKDIR };
struct header { uint32_t kind, path; uint64_t offset, length; };

#define CONTROL_BYTES 4096
#define DESCRIPTORS 4096
#define PATH_BYTES 4096

static volatile uint64_t *control;
static char root[PATH_BYTES];
static size_t root_length;
static int record = -1;
/* Serializes operations with their record, so that both have one order. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
/* By descriptor: the file's class plus 1, and its path; 0 where it is not watched. */
static struct { unsigned char class; char *path; } watched[DESCRIPTORS];

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, pread64, int, void *, size_t, off_t);
REAL(int, ftruncate64, int, off_t);
REAL(int, fallocate64, int, int, off_t, off_t);
REAL(int, fsync, int);
REAL(int, close, int);
REAL(void *, mmap64, void *, size_t, int, int, int, off_t);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, rmdir, const char *);
REAL(int, rename, const char *, const char *);
REAL(int, mkdir, const char *, mode_t);
REAL(int, chmod, const char *, mode_t);
REAL(int, fchmod, int, mode_t);

static void end_process(const char *what) {
    syscall(SYS_write, 2, "shim: ", 6);
    syscall(SYS_write, 2, what, strlen(what));
    syscall(SYS_write, 2, "\n", 1);
    syscall(SYS_exit_group, 99);
}

__attribute__((constructor)) static void start(void) {
    if (real_close) return;
#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name)
    FIND(write); FIND(writev); FIND(pwrite64); FIND(read); FIND(pread64); FIND(ftruncate64); FIND(fallocate64);
    FIND(fsync); FIND(mmap64); FIND(unlink); FIND(unlinkat); FIND(rmdir); FIND(rename); FIND(mkdir); FIND(chmod);
    FIND(fchmod); FIND(close);
    const char *dir = getenv("SHIM_DIR"), *file = getenv("SHIM_CONTROL"), *log = getenv("SHIM_RECORD");
    if (!dir || !file) return;
    root_length = strlen(dir);
    if (root_length >= sizeof root) end_process("SHIM_DIR is too long");
    memcpy(root, dir, root_length);
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    void *words = (void *)syscall(SYS_mmap, 0, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || words == MAP_FAILED) end_process("SHIM_CONTROL cannot be mapped");
    syscall(SYS_close, fd);
    control = words;
    if (log) {
        record = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record < 0) end_process("SHIM_RECORD cannot be opened");
    }
}

/* The class of a path plus 1; 0 where it is not below the watched directory. */
static int class_of(const char *path) {
    if (!control || strncmp(path, root, root_length) != 0) return 0;
    const char *name = path + root_length;
    if (*name == 0) return 1 + DIRECTORY;
    if (*name++ != '/') return 0;
    if (!strcmp(name, "relabeld.db")) return 1 + DATABASE;
    if (!strcmp(name, "relabeld.db-wal")) return 1 + WAL;
    if (!strcmp(name, "relabeld.db-shm")) return 1 + SHM;
    if (!strcmp(name, "lock")) return 1 + LOCK;
    if (!strcmp(name, "begun")) return 1 + IN_FLIGHT;
    if (!strncmp(name, ".scratch", 8)) return 1 + SCRATCH;
    return 1 + OTHER;
}

static const char *below_root(const char *path) {
    return path[root_length] == '/' ? path + root_length + 1 : path + root_length;
}

static void note(enum kind kind, const char *path, uint64_t offset, const void *bytes, uint64_t length) {
    if (record < 0) return;
    const char *name = below_root(path);
    struct header header = {kind, strlen(name), offset, length};
    struct iovec parts[3] = {{&header, sizeof header}, {(void *)name, header.path}, {(void *)bytes, length}};
    ssize_t all = sizeof header + header.path + length;
    if (syscall(SYS_writev, record, parts, 3) != all) end_process("the record is cut short");
}

/* Counts an operation and decides about it. Sets errno where it denies. */
static enum verdict decide(enum operation operation, int class, uint64_t length) {
    enum file file = class - 1;
    __sync_fetch_and_add(&control[COUNTS + operation * FILES + file], 1);
    if (!(control[OPERATION_MASK] >> operation & 1) || !(control[FILE_MASK] >> file & 1)) return PASS;
    uint64_t number = __sync_add_and_fetch(&control[MATCHED], 1), from = control[ARMED_FROM], span = control[SPAN];
    if (!from || number < from || (span && number >= from + span)) return PASS;
    if (__sync_fetch_and_add(&control[HITS], 1) == 0) {
        control[HIT_OPERATION] = operation;
        control[HIT_FILE] = file;
    }
    if (control[EFFECT] == KILL) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    /* As on a disk that fills up: the first write is cut, later ones fail. */
    if (control[EFFECT] == SHORT && operation == WRITE && number == from && length > 1) return HALVE;
    if (control[EFFECT] == SHORT && span == 1) return PASS;
    errno = control[ERRNO];
    return DENY;
}

static void enter(void) { if (record >= 0) pthread_mutex_lock(&order); }
static void leave(void) {
    int error = errno;
    if (record >= 0) pthread_mutex_unlock(&order);
    errno = error;
}

static int class_of_fd(int fd) { return fd >= 0 && fd < DESCRIPTORS ? watched[fd].class : 0; }

static void forget(int fd) {
    if (!class_of_fd(fd)) return;
    watched[fd].class = 0;
    free(watched[fd].path);
    watched[fd].path = NULL;
}

static ssize_t write_at(int fd, int class, const void *bytes, size_t length, off_t offset) {
    enter();
    ssize_t written = -1;
    enum verdict verdict = decide(WRITE, class, length);
    if (verdict != DENY) {
        written = real_pwrite64(fd, bytes, verdict == HALVE ? length / 2 : length, offset);
        if (written > 0 && class != 1 + SHM) note(R_WRITE, watched[fd].path, offset, bytes, written);
    }
    leave();
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    start();
    int class = class_of_fd(fd);
    return class ? write_at(fd, class, bytes, length, offset) : real_pwrite64(fd, bytes, length, offset);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
    start();
    int class = class_of_fd(fd);
    if (!class) return real_write(fd, bytes, length);
    int append = fcntl(fd, F_GETFL) & O_APPEND;
    off_t at = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    ssize_t written = write_at(fd, class, bytes, length, at);
    if (written > 0) lseek(fd, at + written, SEEK_SET);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    start();
    if (!class_of_fd(fd)) return real_writev(fd, parts, count);
    for (int part = 0; part < count; part++)
        if (parts[part].iov_len) return write(fd, parts[part].iov_base, parts[part].iov_len);
    return 0;
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) {
    start();
    int class = class_of_fd(fd);
    if (class && decide(READ, class, length) == DENY) return -1;
    return real_pread64(fd, bytes, length, offset);
}
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) { return pread64(fd, bytes, length, offset); }

ssize_t read(int fd, void *bytes, size_t length) {
    start();
    int class = class_of_fd(fd);
    if (class && decide(READ, class, length) == DENY) return -1;
    return real_read(fd, bytes, length);
}

int fsync(int fd) {
    start();
    int class = class_of_fd(fd);
    if (!class) return real_fsync(fd);
    enter();
    int denied = decide(SYNC, class, 0) == DENY;
    note(denied ? R_SYNC_FAILED : R_SYNC, watched[fd].path, 0, NULL, 0);
    leave();
    return denied ? -1 : 0;
}
int fdatasync(int fd) { return fsync(fd); }

int ftruncate64(int fd, off_t length) {
    start();
    int class = class_of_fd(fd);
    if (!class) return real_ftruncate64(fd, length);
    enter();
    int result = decide(TRUNCATE, class, 0) == DENY ? -1 : real_ftruncate64(fd, length);
    if (!result && class != 1 + SHM) note(R_TRUNCATE, watched[fd].path, length, NULL, 0);
    leave();
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fallocate64(int fd, int mode, off_t offset, off_t length) {
    start();
    int class = class_of_fd(fd);
    if (!class) return real_fallocate64(fd, mode, offset, length);
    enter();
    struct stat before;
    int result = decide(TRUNCATE, class, 0) == DENY ? -1 : fstat(fd, &before);
    if (!result) result = real_fallocate64(fd, mode, offset, length);
    int grows = !result && !(mode & FALLOC_FL_KEEP_SIZE) && offset + length > before.st_size;
    if (grows && class != 1 + SHM) note(R_TRUNCATE, watched[fd].path, offset + length, NULL, 0);
    leave();
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off_t offset, off_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (!real_mmap64) return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
    int class = (flags & MAP_TYPE) == MAP_PRIVATE ? 0 : class_of_fd(fd);
    if (class && decide(MAP, class, length) == DENY) return MAP_FAILED;
    return real_mmap64(at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, length, protection, flags, fd, offset);
}

/* The path that a call names, in `full` where it is relative to a watched directory. */
static const char *resolve(int at, const char *path, char full[PATH_BYTES]) {
    if (path[0] == '/' || !class_of_fd(at)) return path;
    snprintf(full, PATH_BYTES, "%s/%s", watched[at].path, path);
    return full;
}

static int open_at(int at, const char *name, int flags, mode_t mode) {
    start();
    char full[PATH_BYTES];
    const char *path = resolve(at, name, full);
    int class = class_of(path);
    if (!class) {
        int fd = syscall(SYS_openat, at, name, flags, mode);
        forget(fd);
        return fd;
    }
    enter();
    struct stat about;
    int creates = (flags & O_CREAT) && syscall(SYS_newfstatat, at, name, &about, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = decide(creates ? CREATE : OPEN, class, 0) == DENY ? -1 : syscall(SYS_openat, at, name, flags, mode);
    if (fd >= DESCRIPTORS) end_process("too many descriptors");
    if (fd >= 0) {
        forget(fd);
        watched[fd].path = strdup(path);
        watched[fd].class = class;
        if (creates && class != 1 + SHM) note(R_CREATE, path, 0, NULL, 0);
        else if ((flags & O_TRUNC) && class != 1 + SHM) note(R_TRUNCATE, path, 0, NULL, 0);
    }
    leave();
    return fd;
}

#define OPTIONAL_MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, int); \
        va_end(rest); \
    }
int open(const char *path, int flags, ...) { OPTIONAL_MODE return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPTIONAL_MODE return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { OPTIONAL_MODE return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { OPTIONAL_MODE return open_at(at, path, flags | O_LARGEFILE, mode); }

int close(int fd) {
    start();
    forget(fd);
    return real_close(fd);
}

/* A change of one name. `call` is the real one; it sees the enclosing function's arguments. */
#define CHANGE_NAME(operation, class, call, kind, path, bytes, length) \
    do { \
        enter(); \
        int result = decide(operation, class, 0) == DENY ? -1 : (call); \
        if (!result && (class) != 1 + SHM) note(kind, path, 0, bytes, length); \
        leave(); \
        return result; \
    } while (0)

int unlink(const char *path) {
    start();
    int class = class_of(path);
    if (!class) return real_unlink(path);
    CHANGE_NAME(UNLINK, class, real_unlink(path), R_UNLINK, path, NULL, 0);
}
int unlinkat(int at, const char *name, int flags) {
    start();
    char full[PATH_BYTES];
    const char *path = resolve(at, name, full);
    int class = class_of(path);
    if (!class) return real_unlinkat(at, name, flags);
    CHANGE_NAME(UNLINK, class, real_unlinkat(at, name, flags), R_UNLINK, path, NULL, 0);
}
int rmdir(const char *path) {
    start();
    int class = class_of(path);
    if (!class) return real_rmdir(path);
    CHANGE_NAME(UNLINK, class, real_rmdir(path), R_UNLINK, path, NULL, 0);
}
int rename(const char *from, const char *to) {
    start();
    int class = class_of(to);
    if (!class) return real_rename(from, to);
    const char *name = below_root(to);
    CHANGE_NAME(RENAME, class, real_rename(from, to), R_RENAME, from, name, strlen(name));
}
int mkdir(const char *path, mode_t mode) {
    start();
    int class = class_of(path);
    if (!class) return real_mkdir(path, mode);
    CHANGE_NAME(MKDIR, class, real_mkdir(path, mode), R_MKDIR, path, NULL, 0);
}
int chmod(const char *path, mode_t mode) {
    start();
    int class = class_of(path);
    if (class && decide(CHMOD, class, 0) == DENY) return -1;
    return real_chmod(path, mode);
}
int fchmod(int fd, mode_t mode) {
    start();
    int class = class_of_fd(fd);
    if (class && decide(CHMOD, class, 0) == DENY) return -1;
    return real_fchmod(fd, mode);
}
