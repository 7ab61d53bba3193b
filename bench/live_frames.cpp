// SPDX-License-Identifier: Apache-2.0
#include "bench/live_frames.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <iterator>

namespace fieldline::bench {
namespace {

constexpr std::size_t kEthernet = 14, kIp = 20;

std::uint16_t checksum(const std::uint8_t* at, std::size_t size) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < size; i += 2) sum += at[i] << 8 | at[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put16(Bytes& to, std::size_t at, std::size_t value) {
  to[at] = static_cast<std::uint8_t>(value >> 8);
  to[at + 1] = static_cast<std::uint8_t>(value);
}

// return bpf_redirect(ifindex, 0);
Result<Fd> load_redirect(int ifindex) {
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .src_reg = 0, .off = 0, .imm = ifindex},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = BPF_FUNC_redirect},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  const int fd =
      bpf_prog_load(BPF_PROG_TYPE_XDP, "live_frames", "GPL", program, std::size(program), nullptr);
  if (fd < 0) return fail_errno("loading the generator's program (needs root)");
  return Fd(fd);
}

}  // namespace

Bytes frame_of(const Address& from, const Address& to, std::uint16_t flow, std::size_t length) {
  Bytes frame(std::max<std::size_t>(length, 60));
  frame[12] = 0x08;
  frame[kEthernet] = 0x45;
  put16(frame, kEthernet + 2, frame.size() - kEthernet);
  frame[kEthernet + 8] = 64;
  frame[kEthernet + 9] = IPPROTO_UDP;
  // ::ffff:a.b.c.d
  std::copy(from.bytes.end() - 4, from.bytes.end(), frame.begin() + kEthernet + 12);
  std::copy(to.bytes.end() - 4, to.bytes.end(), frame.begin() + kEthernet + 16);
  put16(frame, kEthernet + 10, checksum(&frame[kEthernet], kIp));
  put16(frame, kEthernet + kIp, 1024u + flow);
  put16(frame, kEthernet + kIp + 2, 9);
  put16(frame, kEthernet + kIp + 4, frame.size() - kEthernet - kIp);
  return frame;
}

Result<LiveFrames> LiveFrames::open(const std::string& interface) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0)
    return fail(Code::not_found, "there is no interface " + interface + "; see: ip -brief link");
  auto program = load_redirect(static_cast<int>(index));
  if (!program) return program.error();
  return LiveFrames(std::move(*program));
}

Result<void> LiveFrames::send(ByteView frame, std::uint32_t times, std::uint32_t batch) const {
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = static_cast<int>(times),
              .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = batch);
  if (bpf_prog_test_run_opts(program_.get(), &options)) {
    return fail_errno("sending live frames (needs Linux 5.18)");
  }
  return {};
}

}  // namespace fieldline::bench
