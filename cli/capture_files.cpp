// SPDX-License-Identifier: Apache-2.0
#include "cli/capture_files.h"

#include <pcap/pcap.h>
#include <sys/stat.h>

#include <algorithm>
#include <queue>

#include <nlohmann/json.hpp>

#include "analysis/packet.h"
#include "base/file.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

class PcapngFile final : public CaptureFile {
 public:
  PcapngFile(std::string path, std::unique_ptr<File> file)
      : path_(std::move(path)), file_(std::move(file)), piece_(1 << 18) {}

  Result<const pcapng::Block*> next() override {
    for (;;) {
      auto block = reader_.next();
      if (!block) return std::move(block.error()).in(path_);
      if (*block) {
        block_ = std::move(**block);
        return &block_;
      }
      auto n = file_->read_at(at_, piece_);
      if (!n) return n.error();
      if (*n == 0) return nullptr;
      at_ += *n;
      reader_.feed(ByteView(piece_).first(*n));
    }
  }

  std::string remark() const override {
    return reader_.pending() > 0
               ? path_ + ": the last block is cut; going on with the whole ones before it"
               : "";
  }

 private:
  std::string path_;
  std::unique_ptr<File> file_;
  Bytes piece_;
  std::uint64_t at_ = 0;
  pcapng::Reader reader_;
  pcapng::Block block_;
};

// libpcap's own numbers of link types differ from the file's in these.
std::uint16_t link_type_of(int dlt) {
  return dlt == DLT_RAW ? std::uint16_t{analysis::kLinkRaw} : static_cast<std::uint16_t>(dlt);
}

// The classic format as it has been written for twenty years (2.4). libpcap reads it too, but with
// two locked reads of a few bytes for each packet, which cost more than all that is then done with
// the packet.
class PcapFile final : public CaptureFile {
 public:
  struct Head {
    std::uint32_t magic;
    std::uint16_t major, minor;
    std::uint32_t zone, sigfigs, snaplen, link_type;
  };
  static_assert(sizeof(Head) == 24);

  // No value: not that format, or another version of it.
  static std::optional<PcapFile> of(const std::string& path, std::unique_ptr<File>& file,
                                    const Head& head) {
    constexpr std::uint32_t kMicro = 0xa1b2c3d4, kNano = 0xa1b23c4d;
    const bool swapped = head.magic == big_endian(kMicro) || head.magic == big_endian(kNano);
    const auto host = [swapped](auto value) { return swapped ? big_endian(value) : value; };
    const std::uint32_t magic = host(head.magic);
    if (magic != kMicro && magic != kNano) return std::nullopt;
    if (host(head.major) != 2 || host(head.minor) != 4) return std::nullopt;
    PcapFile opened(path, std::move(file));
    opened.swapped_ = swapped;
    opened.tick_ns_ = magic == kNano ? 1 : 1000;
    // The upper bits say how long a frame check sequence is.
    opened.interface_.link_type = link_type_of(host(head.link_type) & 0xffff);
    return opened;
  }

  PcapFile(std::string path, std::unique_ptr<File> file)
      : path_(std::move(path)), file_(std::move(file)), piece_(1 << 18) {}

  Result<const pcapng::Block*> next() override {
    if (!begun_) {
      begun_ = true;
      block_ = interface_;
      return &block_;
    }
    std::uint32_t words[4];  // seconds, their fraction, captured length, length
    auto head = more(sizeof words);
    if (!head) return head.error();
    if (!*head) return nullptr;
    std::memcpy(words, piece_.data() + used_, sizeof words);
    if (swapped_) std::transform(words, words + 4, words, big_endian<std::uint32_t>);
    if (words[2] > kCapturedMax) {
      remark_ = path_ + ": a packet of " + std::to_string(words[2]) +
                " captured bytes; going on with what stands before it";
      return nullptr;
    }
    auto whole = more(sizeof words + words[2]);
    if (!whole) return whole.error();
    if (!*whole) return nullptr;
    pcapng::Packet* packet = std::get_if<pcapng::Packet>(&block_);
    if (!packet) packet = &block_.emplace<pcapng::Packet>();
    packet->timestamp_ns = words[0] * kNanosPerSecond + words[1] * tick_ns_;
    packet->wire_len = words[3];
    packet->data = ByteView(piece_).subspan(used_ + sizeof words, words[2]);
    used_ += sizeof words + words[2];
    return &block_;
  }

  std::string remark() const override { return remark_; }

 private:
  static constexpr std::uint32_t kCapturedMax = 262'144;  // what libpcap takes for damage

  // So many bytes stand at used_; false at the end of the file.
  Result<bool> more(std::size_t bytes) {
    while (filled_ - used_ < bytes) {
      std::copy(piece_.data() + used_, piece_.data() + filled_, piece_.data());
      filled_ -= used_;
      used_ = 0;
      if (piece_.size() < bytes) piece_.resize(bytes);
      auto n = file_->read_at(at_, std::span(piece_).subspan(filled_));
      if (!n) return n.error();
      if (*n == 0) {  // a torn tail: what stands before it counts
        if (filled_ > 0)
          remark_ = path_ + ": the last packet is cut; going on with what stands before it";
        return false;
      }
      at_ += *n;
      filled_ += *n;
    }
    return true;
  }

  std::string path_, remark_;
  std::unique_ptr<File> file_;
  Bytes piece_;
  std::uint64_t at_ = sizeof(Head);
  std::size_t used_ = 0, filled_ = 0;  // of piece_
  bool swapped_ = false, begun_ = false;
  std::uint64_t tick_ns_ = 1000;
  pcapng::Interface interface_;
  pcapng::Block block_;
};

// Whatever else libpcap understands.
class OtherFile final : public CaptureFile {
 public:
  static Result<std::unique_ptr<CaptureFile>> open(const std::string& path) {
    char why[PCAP_ERRBUF_SIZE] = "";
    pcap_t* handle =
        ::pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why);
    if (!handle) {
      return fail(
          Code::invalid,
          path + " is no capture (pcapng, or pcap as tcpdump -w writes it): " + std::string(why));
    }
    return std::unique_ptr<CaptureFile>(new OtherFile(path, handle));
  }

  Result<const pcapng::Block*> next() override {
    if (!begun_) {
      begun_ = true;
      pcapng::Interface interface;
      interface.link_type = link_type_of(::pcap_datalink(handle_.get()));
      block_ = interface;
      return &block_;
    }
    pcap_pkthdr* head = nullptr;
    const u_char* bytes = nullptr;
    const int got = ::pcap_next_ex(handle_.get(), &head, &bytes);
    if (got == PCAP_ERROR_BREAK) return nullptr;
    if (got != 1) {  // a torn or damaged tail: what stands before it counts
      remark_ =
          path_ + ": " + ::pcap_geterr(handle_.get()) + "; going on with what stands before it";
      return nullptr;
    }
    pcapng::Packet packet;
    packet.timestamp_ns =
        static_cast<std::uint64_t>(head->ts.tv_sec) * kNanosPerSecond +
        static_cast<std::uint64_t>(head->ts.tv_usec);  // nanoseconds, as asked for
    packet.wire_len = head->len;
    packet.data = ByteView(bytes, head->caplen);
    block_ = packet;
    return &block_;
  }

  std::string remark() const override { return remark_; }

 private:
  struct Close {
    void operator()(pcap_t* handle) const { ::pcap_close(handle); }
  };

  OtherFile(std::string path, pcap_t* handle) : path_(std::move(path)), handle_(handle) {}

  std::string path_, remark_;
  std::unique_ptr<pcap_t, Close> handle_;
  bool begun_ = false;
  pcapng::Block block_;
};

// A file whose next block stands in front.
struct Front {
  std::uint64_t time;
  std::size_t file;

  bool operator<(const Front& other) const {
    return time != other.time ? time > other.time : file > other.file;
  }
};

}  // namespace

Result<std::unique_ptr<CaptureFile>> open_capture(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return fail(Code::unsupported,
                path + " is no regular file: captures are read twice; save it into one first");
  }
  auto file = system_files().open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  PcapFile::Head head{};
  auto n = (*file)->read_at(0, std::span(reinterpret_cast<std::uint8_t*>(&head), sizeof head));
  if (!n) return n.error();
  const ByteView magic = view_of(head.magic);
  if (*n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b)
    return fail(Code::unsupported, path + " is compressed: gunzip it first");
  if (*n >= sizeof head.magic && head.magic == FL_PCAPNG_SHB)
    return std::unique_ptr<CaptureFile>(new PcapngFile(path, std::move(*file)));
  if (*n == sizeof head) {
    if (auto known = PcapFile::of(path, *file, head))
      return std::unique_ptr<CaptureFile>(new PcapFile(std::move(*known)));
  }
  return OtherFile::open(path);
}

Result<bool> is_of_run(const std::string& path) {
  auto file = open_capture(path);
  if (!file) return file.error();
  for (;;) {
    auto block = (*file)->next();
    if (!block) return block.error();
    if (!*block) return false;
    if (std::holds_alternative<pcapng::Report>(**block)) return true;
    if (std::holds_alternative<pcapng::Packet>(**block)) return false;
    const auto* interface = std::get_if<pcapng::Interface>(&**block);
    if (!interface) continue;
    const auto comment = nlohmann::json::parse(interface->comment, nullptr, false);
    return comment.is_object() && comment.contains("run") && comment.contains("sensor");
  }
}

Result<std::vector<std::string>> merge_captures(const std::vector<std::string>& paths,
                                                const TakeBlock& take) {
  std::vector<std::string> remarks;
  std::vector<std::unique_ptr<CaptureFile>> files;
  std::vector<const pcapng::Block*> fronts(paths.size());
  std::priority_queue<Front> queue;
  const auto pull = [&](std::size_t file) -> Result<void> {
    auto block = files[file]->next();
    if (!block) return block.error();
    fronts[file] = *block;
    if (!fronts[file]) {
      if (const std::string remark = files[file]->remark(); !remark.empty())
        remarks.push_back(remark);
      return {};
    }
    const auto* packet = std::get_if<pcapng::Packet>(fronts[file]);
    queue.push({packet ? packet->timestamp_ns : 0, file});
    return {};
  };
  for (std::size_t file = 0; file < paths.size(); ++file) {
    auto opened = open_capture(paths[file]);
    if (!opened) return opened.error();
    files.push_back(std::move(*opened));
    if (auto pulled = pull(file); !pulled) return pulled.error();
  }
  while (!queue.empty()) {
    const std::size_t file = queue.top().file;
    queue.pop();
    if (auto taken = take(file, *fronts[file]); !taken) return taken.error();
    if (auto pulled = pull(file); !pulled) return pulled.error();
  }
  return remarks;
}

}  // namespace fieldline::cli
