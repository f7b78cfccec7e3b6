/* Makes every sync of a file take longer, as a cloud disk does: preloaded into a server, with the
 * delay in BENCH_FSYNC_DELAY_US. The sync itself still happens, after the delay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef int (*sync_call)(int);

static void delay(void) {
    const char *text = getenv("BENCH_FSYNC_DELAY_US");
    long microseconds = text ? strtol(text, NULL, 10) : 0;
    struct timespec left = {microseconds / 1000000, (microseconds % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0) {
    }
}

int fsync(int file) {
    delay();
    return ((sync_call)dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    delay();
    return ((sync_call)dlsym(RTLD_NEXT, "fdatasync"))(file);
}
