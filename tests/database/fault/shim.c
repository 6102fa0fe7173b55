/* Loaded before libc by the fault tests: counts what a process does to the files of one folder, and lets one such call
 * (or every one from it on) fail as a full or a broken disk makes it fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long passed;

static int ours_path(const char *path) {
  const char *folder = getenv("KITH_FAULT_FOLDER");
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int ours(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return ours_path(path);
}

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}

/* Whether the call that is being made is to fail. */
static int fails(void) {
  long at = number("KITH_FAULT_AT"), now = atomic_fetch_add(&passed, 1) + 1;
  if (at == 0 || now < at || (now > at && !number("KITH_FAULT_STAYS"))) return 0;
  if (now == at) {
    const char *told = getenv("KITH_FAULT_TOLD");
    FILE *file = told ? fopen(told, "w") : NULL;
    if (file) fclose(file);
  }
  errno = (int)number("KITH_FAULT_ERRNO");
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
  if (ours(fd) && fails()) {
    /* A full disk takes a part of it. */
    if (length > 1 && !number("KITH_FAULT_STAYS")) return NEXT(write)(fd, bytes, length / 2);
    return -1;
  }
  return NEXT(write)(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return ours(fd) && fails() ? -1 : NEXT(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  return ours(fd) && fails() ? -1 : NEXT(pwrite64)(fd, bytes, length, at);
}

int fsync(int fd) { return ours(fd) && fails() ? -1 : NEXT(fsync)(fd); }

int fdatasync(int fd) { return ours(fd) && fails() ? -1 : NEXT(fdatasync)(fd); }

int ftruncate(int fd, off_t length) { return ours(fd) && fails() ? -1 : NEXT(ftruncate)(fd, length); }

int ftruncate64(int fd, off64_t length) { return ours(fd) && fails() ? -1 : NEXT(ftruncate64)(fd, length); }

int sync_file_range(int fd, off64_t from, off64_t length, unsigned flags) {
  return ours(fd) && fails() ? -1 : NEXT(sync_file_range)(fd, from, length, flags);
}

int rename(const char *from, const char *to) { return ours_path(to) && fails() ? -1 : NEXT(rename)(from, to); }

int unlink(const char *path) { return ours_path(path) && fails() ? -1 : NEXT(unlink)(path); }

int rmdir(const char *path) { return ours_path(path) && fails() ? -1 : NEXT(rmdir)(path); }

int unlinkat(int folder, const char *path, int flags) {
  return (path[0] == '/' ? ours_path(path) : ours(folder)) && fails() ? -1 : NEXT(unlinkat)(folder, path, flags);
}
