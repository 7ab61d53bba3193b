// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/ctf_metadata.h"

#include <fmt/format.h>

#include "magnet/fields.h"
#include "magnet/names.h"

namespace fieldline::cli {

namespace {

constexpr std::uint32_t kOther = 0x20000;      // no code of an event is as large
constexpr std::uint32_t kExtended = 0x100000;  // added to the number

constexpr const char* kHead = R"(/* CTF 1.8 */
typealias integer {{ size = 8; align = 8; signed = false; }} := u8;
typealias integer {{ size = 8; align = 8; signed = false; base = 16; }} := x8;
typealias integer {{ size = 16; align = 8; signed = false; }} := u16;
typealias integer {{ size = 32; align = 8; signed = false; }} := u32;
typealias integer {{ size = 64; align = 8; signed = false; }} := u64;
typealias integer {{ size = 32; align = 8; signed = true; }} := s32;

trace {{
  major = 1;
  minor = 8;
  uuid = "{uuid}";
  byte_order = le;
  packet.header := struct {{ u32 magic; u8 uuid[16]; u32 stream_id; }};
}};

env {{
  hostname = "{host}";
  domain = "kernel";
  tracer_name = "magnet";
  tracer_major = 1;
  tracer_minor = 0;
  boot_id = "{uuid}";
  cycles_khz = {khz};
}};

clock {{
  name = utc;
  description = "UTC, from the cycle counter and clock pairs";
  freq = 1000000000;
  offset_s = 0;
  offset = 0;
  absolute = TRUE;
}};

typealias integer {{ size = 64; align = 8; signed = false; map = clock.utc.value; }} := utc_t;

stream {{
  id = 0;
  packet.context := struct {{
    utc_t timestamp_begin;
    utc_t timestamp_end;
    u64 content_size;
    u64 packet_size;
    u64 packet_seq_num;
    u64 events_discarded;
    u32 cpu_id;
  }};
  event.header := struct {{ u32 id; utc_t timestamp; }};
}};
)";

std::string field_text(const magnet::Field& field) {
  using Kind = magnet::Field::Kind;
  if (field.kind == Kind::address) return fmt::format("string _{}; ", field.name);
  if (field.kind == Kind::bytes) return fmt::format("x8 _{}[{}]; ", field.name, field.size);
  return fmt::format("u{} _{}; ", 8 * field.size, field.name);
}

// A leading underscore keeps names apart from TSDL's own; readers take it off.
std::string event_text(const std::string& name, std::uint32_t id, magnet::Layout layout,
                       bool extended, bool other) {
  std::string fields = "u64 _sockid; s32 _size; ";
  if (other) fields += "u32 _code; ";
  if (extended) {
    for (const auto& field : magnet::fields_of(layout)) fields += field_text(field);
  }
  return fmt::format(
      "\nevent {{\n  name = \"{}\";\n  id = {};\n  stream_id = 0;\n  fields := struct {{ "
      "{}}};\n}};\n",
      name, id, fields);
}

std::string quoted(const std::string& text) {
  std::string safe;
  for (char c : text) {
    const bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    safe += plain ? c : '?';
  }
  return safe;
}

}  // namespace

std::uint32_t ctf_id(std::uint32_t event, bool has_extension) {
  const std::uint32_t id = magnet::find_event_name(event) != nullptr ? event : kOther;
  return has_extension ? id + kExtended : id;
}

std::string ctf_metadata(const magnet::TraceHeader& header) {
  std::string text =
      fmt::format(kHead, fmt::arg("uuid", magnet::boot_text(header.boot_id)),
                  fmt::arg("host", quoted(header.host)), fmt::arg("khz", header.cycles_khz));
  for (bool extended : {false, true}) {
    for (const auto& event : magnet::event_names()) {
      text += event_text(event.name, ctf_id(event.code, extended), magnet::layout_of(event.code),
                         extended, false);
    }
    text += event_text("OTHER", kOther + (extended ? kExtended : 0), magnet::Layout::others,
                       extended, true);
  }
  return text;
}

}  // namespace fieldline::cli
