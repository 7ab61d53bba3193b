// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace fieldline::source {

// Wakes whoever waits when an interface of this namespace comes, goes, or changes: its state, its
// addresses. What has changed the caller asks himself: messages may be lost when many come at once.
class LinkWatch {
 public:
  static Result<LinkWatch> open();
  int fd() const { return socket_.get(); }
  void clear() const;  // what was said until now

 private:
  Fd socket_;
};

}  // namespace fieldline::source
