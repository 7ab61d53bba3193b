// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "base/address.h"
#include "base/clock.h"
#include "cli/fields.h"
#include "cli/flow_spec.h"

namespace fieldline::cli {

namespace {

std::string pad(const std::string& cell, std::size_t width, Align align) {
  std::string blank(width - std::min(width, cell.size()), ' ');
  return align == Align::right ? blank + cell : cell + blank;
}

void append_row(std::string& out, const std::vector<Column>& columns,
                const std::vector<std::size_t>& widths, const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size() && i < columns.size(); ++i) {
    if (i > 0) line += "  ";
    line += pad(cells[i], widths[i], columns[i].align);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + "\n";
}

}  // namespace

std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  std::vector<std::string> titles;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::size_t width = columns[i].title.size();
    // The last column of a row, where it is long, does not widen the others'.
    for (const auto& row : rows) {
      if (i < row.size() && (i + 1 < row.size() || i + 1 == columns.size()))
        width = std::max(width, row[i].size());
    }
    widths.push_back(width);
    titles.push_back(columns[i].title);
  }
  std::string out;
  append_row(out, columns, widths, titles);
  for (const auto& row : rows) append_row(out, columns, widths, row);
  return out;
}

std::string short_count(std::uint64_t count) {
  if (count < 10'000) return grouped(count);
  double value = static_cast<double>(count);
  for (const char* unit : {"k", "M", "G"}) {
    value /= 1000;
    if (value < 999.95) return fmt::format("{:.1f}{}", value, unit);
  }
  return fmt::format("{:.1f}T", value / 1000);
}

std::string short_duration(std::uint64_t ns) {
  std::uint64_t seconds = ns / kNanosPerSecond;
  if (ns < 10 * kNanosPerSecond) return fmt::format("{:.3g} s", static_cast<double>(ns) / 1e9);
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200)
    return fmt::format("{} min", seconds / 60) +
           (seconds % 60 != 0 ? fmt::format(" {} s", seconds % 60) : "");
  return fmt::format("{} h", seconds / 3600) +
         (seconds / 60 % 60 != 0 ? fmt::format(" {} min", seconds / 60 % 60) : "");
}

std::string milliseconds(std::int64_t ns) {
  return fmt::format("{:.2f}", static_cast<double>(ns) / 1e6);
}

std::string json_text(const nlohmann::json& document, int indent) {
  return document.dump(indent, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string clipped(std::string_view line, std::size_t width) {
  return std::string(line.substr(0, width));
}

Result<std::uint64_t> duration_in(const char* option, const std::string& text, std::uint64_t least,
                                  std::uint64_t most, const char* such) {
  const std::uint64_t ns = parse_duration_ns(text);
  if (ns >= least && ns <= most) return ns;
  return fail(Code::invalid, std::string(option) + " " + text + ": write a time such as " + such);
}

std::string grant_text(const nlohmann::json& grant) {
  const auto& pairs = member(grant, "pairs");
  auto host = [&](const char* name, std::size_t index) {
    auto address = Address::parse(string_at(grant, name));
    std::uint64_t port = 0;
    if (pairs.is_array() && pairs.size() == 1 && pairs[0].is_array() && pairs[0].size() == 2 &&
        pairs[0][index].is_number_integer()) {
      port = pairs[0][index].get<std::uint64_t>() & 0xffff;
    }
    if (!address) return printable(string_at(grant, name));
    return port == 0 ? address->to_string()
                     : endpoint_text(*address, static_cast<std::uint16_t>(port));
  };
  if (!grant.is_object()) return "-";
  std::string text = name_of_protocol(static_cast<std::uint8_t>(number_at(grant, "protocol"))) +
                     " " + host("host_a", 0) + " - " + host("host_b", 1);
  if (pairs.is_array() && pairs.size() > 1)
    text += ", " + std::to_string(pairs.size()) + " port pairs";
  return text;
}

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

bool has_color(int fd) {
  const char *off = std::getenv("NO_COLOR"), *kind = std::getenv("TERM");
  return is_terminal(fd) && !(off && *off) && !(kind && std::string_view(kind) == "dumb");
}

TerminalSize terminal_size(int fd) {
  winsize size{};
  TerminalSize known;
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    known = {size.ws_col, size.ws_row};
  }
  return known;
}

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return fail(Code::closed, "the reader of the output went away");
    if (n < 0) return fail_errno("writing the output");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace fieldline::cli
