// SPDX-License-Identifier: Apache-2.0
#include "lib/handles.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <set>

namespace fieldline::lib {

namespace {

constexpr std::uint64_t kExitTimeout = 500 * kNanosPerMilli;

struct Registry {
  std::mutex mutex;
  std::set<fieldline_handle*> handles;
  std::set<fieldline_handle*> ended;  // by the process's exit, whose they are from then on
};

// Never destroyed: threads may use it up to the process's end.
Registry& registry() {
  static Registry& one = *new Registry;
  return one;
}

// A parent's handles are not a child's to end. None is freed: threads may still write to it, and
// destructors that run later switch it off.
void end_all() {
  {
    std::lock_guard lock(registry().mutex);
    registry().ended.merge(registry().handles);
  }
  for (fieldline_handle* handle : registry().ended) {
    if (handle->owner == ::getpid()) handle->monitor->switch_off(kExitTimeout);
  }
}

}  // namespace

// OpenSSL registers its own end when it begins: ours, registered later, runs before it. A child of
// a fork finds the mutex as the forking thread holds it.
void end_with_process() {
  static const bool done = [] {
    registry();
    OPENSSL_init_ssl(0, nullptr);
    std::atexit(end_all);
    ::pthread_atfork([] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); },
                     [] { registry().mutex.unlock(); });
    return true;
  }();
  (void)done;
}

fieldline_handle* remember(std::unique_ptr<fieldline_handle> handle) {
  std::lock_guard lock(registry().mutex);
  registry().handles.insert(handle.get());
  return handle.release();
}

std::unique_ptr<fieldline_handle> forget(fieldline_handle* handle) {
  std::lock_guard lock(registry().mutex);
  const bool is_callers = registry().handles.erase(handle) != 0;
  return std::unique_ptr<fieldline_handle>(is_callers ? handle : nullptr);
}

}  // namespace fieldline::lib
