// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "magnet/trace_file.h"

namespace fieldline::cli {

// The number of an event's class: with and without extension are two; codes without a name share
// one of each.
std::uint32_t ctf_id(std::uint32_t event, bool has_extension);

// TSDL (CTF 1.8) of what CtfSink writes.
std::string ctf_metadata(const magnet::TraceHeader& header);

}  // namespace fieldline::cli
