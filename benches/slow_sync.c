// A disk on which every fsync and fdatasync takes 3 ms more. Loaded before the C library by benches/fsync.rs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_3_ms(void) {
  struct timespec wait = {0, 3000000};
  nanosleep(&wait, 0);
}

int fsync(int fd) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  wait_3_ms();
  return next(fd);
}

int fdatasync(int fd) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  wait_3_ms();
  return next(fd);
}
