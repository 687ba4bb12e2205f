/* A disk that fails: reads, writes or syncs of files named *.db* give EIO while the file that FAILS names holds the
   first letter of what is to fail (r, w or s). For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, char what) {
    const char *switch_file = getenv("FAILS");
    char link[64], name[4096], mode = 0;
    if (!switch_file) return 0;
    int opened = open(switch_file, O_RDONLY | O_CLOEXEC);
    if (opened < 0) return 0;
    ssize_t (*real_read)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    ssize_t got = real_read(opened, &mode, 1);
    close(opened);
    if (got != 1 || mode != what) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    if (!strstr(name, ".db")) return 0;
    errno = EIO;
    return 1;
}

#define REAL(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *to, size_t n) {
    return fails(fd, 'r') ? -1 : REAL(read, ssize_t, int, void *, size_t)(fd, to, n);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
    return fails(fd, 'r') ? -1 : REAL(pread, ssize_t, int, void *, size_t, off_t)(fd, to, n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
    return fails(fd, 'r') ? -1 : REAL(pread64, ssize_t, int, void *, size_t, off64_t)(fd, to, n, at);
}
ssize_t write(int fd, const void *from, size_t n) {
    return fails(fd, 'w') ? -1 : REAL(write, ssize_t, int, const void *, size_t)(fd, from, n);
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
    return fails(fd, 'w') ? -1 : REAL(pwrite, ssize_t, int, const void *, size_t, off_t)(fd, from, n, at);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
    return fails(fd, 'w') ? -1 : REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t)(fd, from, n, at);
}
int fsync(int fd) { return fails(fd, 's') ? -1 : REAL(fsync, int, int)(fd); }
int fdatasync(int fd) { return fails(fd, 's') ? -1 : REAL(fdatasync, int, int)(fd); }
