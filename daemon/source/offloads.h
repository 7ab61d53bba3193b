// SPDX-License-Identifier: Apache-2.0
// A tap's records are of wire segments with their tags: what would merge or strip them is off while
// this object lives.
#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace fieldline::source {

class OffloadsOff {
 public:
  // Refuses with the command to run where the driver does not obey.
  static Result<OffloadsOff> hold(const std::string& interface, int index);
  OffloadsOff(OffloadsOff&& other) noexcept;
  OffloadsOff& operator=(OffloadsOff&&) = delete;
  ~OffloadsOff();

 private:
  OffloadsOff() = default;

  std::string interface_;
  int index_ = 0;                     // another device may come to bear the name
  std::map<std::string, bool> were_;  // those that were changed
};

}  // namespace fieldline::source
