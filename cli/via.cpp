// SPDX-License-Identifier: Apache-2.0
#include "cli/via.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

#include "base/clock.h"
#include "cli/fields.h"
#include "cli/process.h"
#include "cli/text.h"
#include "cli/via_documents.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr std::uint64_t kAnswerWait = 5 * kNanosPerSecond;
constexpr int kAnswersAtOnce = 64;  // taken with each trigger; the next one takes more
constexpr std::uint64_t kEndWait = 3 * kNanosPerSecond;
constexpr int kNoiseLines = 1024;  // that a login shell may say first

int left_ms(std::uint64_t until_ns) {
  const std::uint64_t now = SystemClock().monotonic_ns();
  if (until_ns == UINT64_MAX) return -1;
  return until_ns > now ? static_cast<int>((until_ns - now + kNanosPerMilli - 1) / kNanosPerMilli)
                        : 0;
}

class ViaHost final : public FlowHost, public std::enable_shared_from_this<ViaHost> {
 public:
  ViaHost(std::string host, Child child) : host_(std::move(host)), child_(std::move(child)) {}
  ~ViaHost() override;

  Result<void> greet(int end_by);
  Result<std::vector<Address>> resolve(const std::string& host, int family) override;
  Result<std::vector<Socket>> sockets_to(const std::vector<Address>& remotes) override;
  Result<Address> source_address(const Address& remote) override;
  Result<std::unique_ptr<TriggerSender>> open_sender(const Address& local, const Address& remote,
                                                     const SenderOptions& options) override;
  Result<void> send(std::uint64_t sender, ByteView trigger);

 private:
  Result<json> call(json request);
  Result<void> write(const std::string& line);
  // The next document, by then; none: not yet.
  Result<std::optional<json>> read(std::uint64_t until_ns, int end_by = -1);
  Error gone();

  const std::string host_;
  std::mutex mutex_;  // guards what follows
  Child child_;
  via::Lines lines_;
  std::uint64_t next_id_ = 1;
  std::optional<Error> send_failed_;  // of a "send", told with the next
};

class ViaSender final : public TriggerSender {
 public:
  ViaSender(std::shared_ptr<ViaHost> host, std::uint64_t number)
      : host_(std::move(host)), number_(number) {}
  Result<void> send(ByteView trigger) override { return host_->send(number_, trigger); }

 private:
  std::shared_ptr<ViaHost> host_;
  std::uint64_t number_;
};

// The far end ends with its input, and ssh with it.
ViaHost::~ViaHost() {
  child_.input.reset();
  const std::uint64_t until = SystemClock().monotonic_ns() + kEndWait;
  while (SystemClock().monotonic_ns() < until) {  // whatever it still says
    auto more = read(until);
    if (!more || !*more) break;
  }
  child_.end();
}

Error ViaHost::gone() {
  return fail(Code::closed, "the connection to " + host_ +
                                " has ended; is fieldline in the PATH there? "
                                "try: ssh " +
                                host_ + " fieldline version");
}

Result<std::optional<json>> ViaHost::read(std::uint64_t until_ns, int end_by) {
  for (;;) {
    auto line = lines_.next();
    if (!line) return std::move(line.error()).in(host_);
    if (*line) return std::optional(json::parse(**line, nullptr, false));
    pollfd ready[] = {{child_.output.get(), POLLIN, 0}, {end_by, POLLIN, 0}};
    const int found = ::poll(ready, 2, left_ms(until_ns));
    if (found < 0 && errno != EINTR) return fail_errno("waiting for " + host_);
    if (found == 0) return std::optional<json>{};
    if (ready[1].revents != 0) return fail(Code::closed, "ended");
    if (ready[0].revents == 0) continue;
    char piece[16384];
    const ssize_t n = ::read(child_.output.get(), piece, sizeof piece);
    if (n <= 0) return gone();
    lines_.feed({piece, static_cast<std::size_t>(n)});
  }
}

// What comes before the greeting is a login shell's.
Result<void> ViaHost::greet(int end_by) {
  for (int line = 0; line < kNoiseLines; ++line) {
    auto document = read(UINT64_MAX, end_by);
    if (!document) return document.error();
    if (string_at(**document, "schema") == via::kSchema) return {};
  }
  return fail(Code::invalid, host_ + " says much, but nothing that `fieldline send-pulses` would");
}

Result<void> ViaHost::write(const std::string& line) {
  const std::uint64_t until = SystemClock().monotonic_ns() + kAnswerWait;
  for (std::size_t sent = 0; sent < line.size();) {
    pollfd ready{child_.input.get(), POLLOUT, 0};
    if (::poll(&ready, 1, left_ms(until)) == 0)
      return fail(Code::timeout, host_ + " has not taken anything for 5 s");
    const ssize_t n = ::write(child_.input.get(), line.data() + sent, line.size() - sent);
    if (n > 0) sent += static_cast<std::size_t>(n);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return gone();
  }
  return {};
}

Result<json> ViaHost::call(json request) {
  std::lock_guard lock(mutex_);
  const std::uint64_t id = next_id_++;
  request["id"] = id;
  if (auto written = write(json_text(request, -1) + "\n"); !written) return written.error();
  const std::uint64_t until = SystemClock().monotonic_ns() + kAnswerWait;
  for (;;) {
    auto document = read(until);
    if (!document) return document.error();
    // A far end that talks of other things has not answered either.
    if (!*document || SystemClock().monotonic_ns() > until)
      return fail(Code::timeout, host_ + " has not answered for 5 s");
    const json& error = member(**document, "error");
    if (number_at(**document, "id") == id) {
      if (error.is_object()) return via::error_of(error).in(host_);
      return Result<json>(boost::system::in_place_value, std::move(**document));
    }
    if (error.is_object()) send_failed_ = via::error_of(error).in(host_);
  }
}

Result<std::vector<Address>> ViaHost::resolve(const std::string& host, int family) {
  auto answer = call({{"op", "resolve"}, {"host", host}, {"family", family}});
  if (!answer) return answer.error();
  auto addresses = via::addresses_of(member(*answer, "addresses"));
  if (!addresses) return std::move(addresses.error()).in(host_);
  if (addresses->empty()) return fail(Code::not_found, host_ + " knows no address of " + host);
  return addresses;
}

Result<std::vector<Socket>> ViaHost::sockets_to(const std::vector<Address>& remotes) {
  auto answer = call({{"op", "sockets"}, {"remotes", via::to_json(remotes)}});
  if (!answer) return answer.error();
  auto sockets = via::sockets_of(member(*answer, "sockets"));
  if (!sockets) return std::move(sockets.error()).in(host_);
  // The key signs nothing but what was asked for, whatever the far end answers.
  std::erase_if(*sockets, [&](const Socket& socket) {
    return std::find(remotes.begin(), remotes.end(), socket.remote) == remotes.end();
  });
  return sockets;
}

Result<Address> ViaHost::source_address(const Address& remote) {
  auto answer = call({{"op", "source"}, {"remote", remote.to_string()}});
  if (!answer) return answer.error();
  auto address = via::address_at(*answer, "address");
  if (!address) return std::move(address.error()).in(host_);
  return *address;
}

Result<std::unique_ptr<TriggerSender>> ViaHost::open_sender(const Address& local,
                                                            const Address& remote,
                                                            const SenderOptions& options) {
  auto answer = call({{"op", "open"},
                      {"local", local.to_string()},
                      {"remote", remote.to_string()},
                      {"options", via::to_json(options)}});
  if (!answer) return answer.error();
  return std::unique_ptr<TriggerSender>(
      std::make_unique<ViaSender>(shared_from_this(), number_at(*answer, "sender")));
}

// Not waited for: a slow connection must not hold up the other runs' pulses.
Result<void> ViaHost::send(std::uint64_t sender, ByteView trigger) {
  std::lock_guard lock(mutex_);
  const json request = {
      {"id", next_id_++}, {"op", "send"}, {"sender", sender}, {"trigger", to_base64(trigger)}};
  if (auto written = write(json_text(request, -1) + "\n"); !written) return written;
  for (int i = 0; i < kAnswersAtOnce; ++i) {
    auto document = read(0);
    if (!document) return document.error();
    if (!*document) break;
    const json& error = member(**document, "error");
    if (error.is_object()) send_failed_ = via::error_of(error).in(host_);
  }
  if (!send_failed_) return {};
  return *std::exchange(send_failed_, std::nullopt);
}

}  // namespace

Result<std::shared_ptr<FlowHost>> flow_host_via(const std::string& via, int end_by) {
  constexpr std::string_view kSsh = "ssh:";
  const std::string host = via.starts_with(kSsh) ? via.substr(kSsh.size()) : "";
  if (host.empty() || host.front() == '-' ||
      host.find_first_of(" \t\n'\"`$;&|<>") != std::string::npos)
    return fail(Code::unsupported, "--via " + via + ": write ssh:HOST or ssh:USER@HOST");
  const char* program = std::getenv("FIELDLINE_SSH");
  auto child = Child::start({program != nullptr && *program != '\0' ? program : "ssh", "-T", host,
                             "fieldline", "send-pulses"});
  if (!child) return child.error();
  auto far = std::make_shared<ViaHost>(host, std::move(*child));
  if (auto greeted = far->greet(end_by); !greeted) return greeted.error();
  return std::shared_ptr<FlowHost>(std::move(far));
}

}  // namespace fieldline::cli
