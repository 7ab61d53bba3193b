// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/magnet/tool.h"
#include "cli/magnet/usage.h"
#include "magnet/trace_file.h"

namespace fieldline::cli {
namespace {

constexpr const char* kTool = "mkmagnet";
constexpr const char* kFooter =
    "The file gets all of its blocks now, so that a full disk shows here and not in mid-trace.\n"
    "A record takes 24 bytes, or 64 with the module's ext=1.\n\n"
    "Example:\n  mkmagnet /var/spool/magnet/trace 256M\n\n"
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 no rights.\n";

int run(int argc, char** argv) {
  CLI::App app("mkmagnet: make a file for magnet-read to write a trace into", kTool);
  magnet::MakeOptions options;
  std::string size;
  bool json = false;
  app.footer(kFooter);
  app.set_version_flag("--version", "mkmagnet " FIELDLINE_VERSION);
  app.add_option("FILE", options.path, "the file to make")->required();
  app.add_option("SIZE", size, "its size: 64K, 256M, 2G")->required();
  app.add_flag("--force", options.force, "in place of a file that is there");
  app.add_flag("--json", json, "say what was made as JSON (fieldline.mkmagnet/1)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return end_usage(kTool, app, error);
  }
  auto bytes = parse_size(size);
  if (!bytes) {
    say(kTool, bytes.error().text());
    return kUsage;
  }
  if (*bytes < magnet::kLeastTraceSize) {
    say(kTool,
        size + ": a trace has at least " + grouped(magnet::kLeastTraceSize) + " bytes; try 256M");
    return kUsage;
  }
  options.size = *bytes;
  options.now_ns = SystemClock().utc_ns();
  if (auto made = magnet::make_trace(options); !made) return fail_tool(kTool, made.error());
  if (json) {
    const nlohmann::json document = {
        {"schema", "fieldline.mkmagnet/1"}, {"file", options.path}, {"bytes", options.size}};
    return print_result(kTool,
                        document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  }
  if (::isatty(STDERR_FILENO) == 1) {
    say(kTool, options.path + ": " + grouped(options.size) + " bytes");
  }
  return kOk;
}

}  // namespace
}  // namespace fieldline::cli

int main(int argc, char** argv) {
  try {
    return fieldline::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fieldline::cli::say("mkmagnet", std::string("a bug: ") + error.what());
    return fieldline::cli::kFailure;
  }
}
