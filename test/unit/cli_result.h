// SPDX-License-Identifier: Apache-2.0
// CHECK(result) shows the error's text; boost's own operator<< asks too much of value and error.
#pragma once

#include <string>

#include <catch2/catch.hpp>

#include "base/result.h"

template <class T>
struct Catch::StringMaker<boost::system::result<T, fieldline::Error>> {
  static std::string convert(const boost::system::result<T, fieldline::Error>& result) {
    return result ? "a value" : "error: " + result.error().text();
  }
};
