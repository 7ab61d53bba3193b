// SPDX-License-Identifier: Apache-2.0
#include "stream/reader.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <exception>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "stream/connection.h"
#include "stream/document.h"
#include "stream/tasks.h"

namespace fieldline::stream {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

class TlsReader final : public Reader {
 public:
  explicit TlsReader(const ReaderOptions& options)
      : options_(options),
        name_("archive " + options.host + " port " + std::to_string(options.port)),
        cancelled_(io_) {}
  ~TlsReader() override {
    if (connection_) connection_->close();
  }

  Result<void> open();
  std::string principal() const override { return principal_; }
  Result<json> request(const json& request, const std::function<bool(ByteView)>& on_data) override;
  // Also from a signal handler: an atomic flag and a write().
  void cancel() override {
    cancel_ = true;
    std::uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(cancelled_.native_handle(), &one, sizeof one);
  }

 private:
  // Runs the loop until the coroutine ends; what it throws (the caller's on_data) goes on to the
  // caller.
  template <class T>
  Result<T> run(asio::awaitable<Result<T>> task) {
    std::optional<Result<T>> result;
    std::exception_ptr thrown;
    auto ended = [&](std::exception_ptr exception, Result<T> value) {
      thrown = exception;
      result = std::move(value);
    };
    asio::co_spawn(io_, std::move(task), ended);
    while (!result) io_.run_one();
    if (thrown) {
      connection_->close();
      std::rethrow_exception(thrown);
    }
    if (*result) return std::move(*result);
    if (cancel_) return fail(Code::closed, name_ + ": cancelled");
    return std::move(*result).error().in(name_);
  }

  asio::awaitable<Result<std::string>> introduce();
  asio::awaitable<Result<std::string>> authenticate();
  asio::awaitable<Result<json>> converse(const json& request,
                                         const std::function<bool(ByteView)>& on_data);

  const ReaderOptions options_;
  const std::string name_;
  asio::io_context io_{1};
  asio::posix::stream_descriptor cancelled_;  // an eventfd
  std::uint64_t cancelled_count_ = 0;
  std::shared_ptr<Connection> connection_;
  std::string principal_;
  std::atomic<bool> cancel_{false};
};

Result<void> TlsReader::open() {
  int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return fail_errno("eventfd");
  cancelled_.assign(fd);
  auto context = client_context(nullptr);
  if (!context) return context.error();
  connection_ = std::make_shared<Connection>(io_.get_executor(), *context);
  auto close = [this](const boost::system::error_code& error, std::size_t) {
    if (!error) connection_->close();
  };
  cancelled_.async_read_some(asio::buffer(&cancelled_count_, sizeof cancelled_count_), close);
  auto principal = run(introduce());
  if (!principal) return principal.error();
  principal_ = *principal;
  return {};
}

asio::awaitable<Result<std::string>> TlsReader::introduce() {
  auto dialled = co_await connection_->dial(options_.host, options_.port, options_.archive,
                                            options_.timeout_ns);
  if (!dialled) co_return dialled.error();
  connection_->keep_alive(0);
  connection_->allow_long_frames();
  connection_->limit(options_.timeout_ns);
  Bytes hello = reader_hello();
  auto written = co_await connection_->write(hello);
  if (!written) co_return written.error();
  for (;;) {
    auto frame = co_await connection_->read_frame();
    if (!frame) co_return frame.error();
    if (frame->type == FL_FRAME_ERROR) co_return parse_error(frame->payload);
    if (frame->type != FL_FRAME_HELLO) continue;
    auto answer = parse_hello(frame->payload);
    if (!answer) co_return answer.error();
    if (answer->role != Role::archive || answer->newest != FL_STREAM_VERSION) {
      co_return fail(Code::unsupported,
                     "it is not an archive of stream version " + std::to_string(FL_STREAM_VERSION));
    }
    break;
  }
  co_return co_await authenticate();
}

asio::awaitable<Result<std::string>> TlsReader::authenticate() {
  auto exporter = query_exporter(connection_->native());
  if (!exporter) co_return exporter.error();
  connection_->unlimit();  // a hardware key may wait for a touch
  auto signature = options_.sign(*exporter);
  if (!signature) co_return Error(signature.error()).in("signing the query");
  connection_->limit(options_.timeout_ns);
  Bytes auth =
      json_frame(FL_FRAME_AUTH, {{"schema", "fieldline.auth/1"}, {"signature", *signature}});
  auto written = co_await connection_->write(auth);
  if (!written) co_return written.error();
  for (;;) {
    auto frame = co_await connection_->read_frame();
    if (!frame) co_return frame.error();
    if (frame->type == FL_FRAME_ERROR) co_return parse_error(frame->payload);
    if (frame->type != FL_FRAME_END) continue;
    auto result = parse_document(frame->payload);
    if (!result) co_return result.error();
    connection_->unlimit();
    co_return string_of(*result, "principal");
  }
}

asio::awaitable<Result<json>> TlsReader::converse(const json& request,
                                                  const std::function<bool(ByteView)>& on_data) {
  connection_->limit(options_.timeout_ns);
  Bytes asked = json_frame(FL_FRAME_REQUEST, request);
  auto written = co_await connection_->write(asked);
  if (!written) co_return written.error();
  for (;;) {
    auto frame = co_await connection_->read_frame();
    if (!frame) co_return frame.error();
    connection_->unlimit();
    if (frame->type == FL_FRAME_ERROR) {
      Error said = parse_error(frame->payload);
      if (said.code == Code::closed) connection_->close();  // it waits for this
      co_return said;
    }
    if (frame->type == FL_FRAME_END) co_return parse_document(frame->payload);
    if (frame->type != FL_FRAME_DATA || !on_data) continue;
    bool go_on = on_data(frame->payload);
    if (!go_on) {
      connection_->close();
      co_return fail(Code::closed, "stopped by the caller");
    }
  }
}

Result<json> TlsReader::request(const json& request, const std::function<bool(ByteView)>& on_data) {
  if (cancel_) return fail(Code::closed, name_ + ": cancelled");
  if (!connection_->is_open()) {
    return fail(Code::closed, name_ + ": the connection has ended; connect again");
  }
  return run(converse(request, on_data));
}

}  // namespace

Result<std::unique_ptr<Reader>> Reader::connect(const ReaderOptions& options) {
  auto reader = std::make_unique<TlsReader>(options);
  auto opened = reader->open();
  if (!opened) return opened.error();
  return std::unique_ptr<Reader>(std::move(reader));
}

}  // namespace fieldline::stream
