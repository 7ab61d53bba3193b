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
};

// Never destroyed: threads may use it up to the process's end.
Registry& registry() {
  static Registry& one = *new Registry;
  return one;
}

// A parent's handles are not a child's to end.
void end_all() {
  std::set<fieldline_handle*> all;
  {
    std::lock_guard lock(registry().mutex);
    all.swap(registry().handles);
  }
  for (fieldline_handle* handle : all) {
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
  registry().handles.erase(handle);
  return std::unique_ptr<fieldline_handle>(handle);
}

}  // namespace fieldline::lib
