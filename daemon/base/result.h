// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or an error of a closed set of codes with one line of context per layer.
#pragma once

#include <boost/system/result.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace fieldline {

enum class Code {
  invalid,      // the input is not of the form asked for
  truncated,    // the input ends early
  unsupported,  // well-formed, but not for this version or machine
  denied,       // a policy, a signature or a key says no
  not_found,
  exhausted,  // a stated limit is reached
  io,         // the operating system said no
  closed,     // the other side went away
  timeout,
};

constexpr const char* name_of(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::truncated:
      return "truncated";
    case Code::unsupported:
      return "unsupported";
    case Code::denied:
      return "denied";
    case Code::not_found:
      return "not found";
    case Code::exhausted:
      return "limit reached";
    case Code::io:
      return "I/O error";
    case Code::closed:
      return "closed";
    case Code::timeout:
      return "timed out";
  }
  return "unknown";
}

struct Error {
  Code code = Code::invalid;
  std::string context;  // "while doing this: cause; what to do next"

  // Adds the caller's line in front.
  Error in(const std::string& layer) && { return {code, layer + ": " + context}; }
  std::string text() const { return context.empty() ? name_of(code) : context; }
};

// Found by argument-dependent look-up when value() is called on an error: a bug of ours.
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
  throw std::logic_error("value() of an error: " + error.text());
}

template <class T>
using Result = boost::system::result<T, Error>;

inline Error fail(Code code, std::string context) {
  return {code, std::move(context)};
}

// An error from errno, as "what: strerror".
Error fail_errno(const std::string& what);

}  // namespace fieldline
