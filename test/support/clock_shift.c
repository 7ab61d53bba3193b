// SPDX-License-Identifier: Apache-2.0
// Preloaded into a daemon under test, it sets that process's clock and nobody else's: UTC and TAI are off by the
// nanoseconds that stand in the file $CLOCK_SHIFT, as a signed 64-bit number, at any time. What the kernel stamps
// packets with stays as it is.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*real)(clockid_t, struct timespec *);
static volatile const int64_t *shift;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_SHIFT");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page;

	real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		shift = page;
	close(fd);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *now)
{
	int result;
	int64_t ns;

	if (!real)
		begin();
	result = real(id, now);
	if (result || !shift || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE && id != CLOCK_TAI))
		return result;
	ns = now->tv_nsec + *shift % 1000000000;
	now->tv_sec += *shift / 1000000000 + (ns >= 1000000000) - (ns < 0);
	now->tv_nsec = ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000 : ns;
	return 0;
}
