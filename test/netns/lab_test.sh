#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lab tells the truth: what its taps show, what its wires drop, and that nothing is left behind.
set -euo pipefail

HERE=$(dirname "$(readlink -f "$0")")
ONE=lt1-$$ TWO=lt2-$$
WORK=$(mktemp -d)
BACKGROUND=()

skip() {
  echo "SKIP: $*"
  exit 77
}
[ "$(id -u)" = 0 ] || skip "needs root, for network namespaces"
unshare --net true 2>/dev/null || skip "this machine allows no network namespaces"
for tool in ip iperf3 tcpdump clang ethtool jq ping; do
  command -v $tool >/dev/null || skip "$tool is missing; packaging/install-dependencies installs it"
done

finish() {
  local status=$?
  trap - EXIT
  ((${#BACKGROUND[@]} == 0)) || kill "${BACKGROUND[@]}" 2>/dev/null || true
  "$HERE/lab" down --name "$ONE" || status=1
  "$HERE/lab" down --name "$TWO" || status=1
  rm -rf "$WORK"
  exit $status
}
trap finish EXIT

# In the background call the script itself: the function's pid would be a subshell's.
lab() { "$HERE/lab" --name "$ONE" "$@"; }
step() { echo "--- $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
equal() { # WHAT ACTUAL EXPECTED
  [ "$2" = "$3" ] || fail "$1: $2, expected $3"
  echo "$1: $2"
}
refuses() { # STATUS lab-arguments...: exits with STATUS and makes nothing
  local expected=$1 status=0
  shift
  "$HERE/lab" --name "$ONE" "$@" >/dev/null 2>"$WORK/refusal" || status=$?
  equal "lab $*" $status "$expected"
  [ -s "$WORK/refusal" ] || fail "lab $* says nothing about why"
}
wait_for() { # WHAT CMD...
  local what=$1 end=$((SECONDS + 15))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "$what: not within 15 s"
    sleep 0.02
  done
}
packets_in() { tcpdump -r "$1" -nn ${2-} 2>/dev/null | wc -l; }         # FILE [FILTER]
of_env() { lab env | sed -n "s/^$1=//p"; }                                # KEY
counter() { lab drops | sed -n "s/^$1=//p"; }                             # KEY
sent_to_tap() { lab exec "$1" ip -s -j link show dev "$2" | jq '.[0].stats64.tx.packets'; } # ROUTER DEV
seen_by_xdp() { # SENSOR PORT
  lab exec "$1" ethtool -S "$2" | awk '/rx_queue_[0-9]+_xdp_packets/ { n += $2 } END { print n + 0 }'
}
listening() { lab exec b ss -Hltn "sport = :$1" | grep -q .; }

# Names of ours that exist now, of any lab of this test.
leftovers() {
  ip netns list | grep -E "^fl-($ONE|$TWO)-" || true
  grep -E "fl-($ONE|$TWO)-" /proc/self/mountinfo || true
  ls -d "${TMPDIR:-/tmp}"/fieldline-lab-{"$ONE","$TWO"} /run/fieldline-lab/{"$ONE","$TWO"} 2>/dev/null || true
  local pid
  for pid in "$@"; do
    [ ! -e "/proc/$pid/exe" ] || readlink "/proc/$pid/exe" || true # a zombie has none
  done
}
transfer() { # PORT iperf3-arguments...: server in b, client in a, bounded
  local port=$1
  shift
  timeout 60 "$HERE/lab" exec --name "$ONE" b iperf3 -s -1 -p "$port" >/dev/null 2>&1 &
  BACKGROUND+=($!)
  local server=$!
  wait_for "iperf3 listens" listening "$port"
  timeout 40 "$HERE/lab" exec --name "$ONE" a iperf3 -c 10.0.2.2 -p "$port" -J "$@" >"$WORK/iperf.json" ||
    fail "iperf3: $(jq -r .error "$WORK/iperf.json")"
  wait "$server" || true # iperf3 -1 exits 1 when its client was faster in saying good-bye
}

step "bad arguments are refused and leave nothing"
refuses 2 up --sensors 0
refuses 2 up --drop l3:100
refuses 2 up --drop l1:0
refuses 2 up --drop l1:@5,
refuses 2 up --drop l1:5:sideways
refuses 2 up --delay l1:fast
refuses 2 up --far-tap l2
refuses 2 up --unknown
refuses 2 frobnicate
refuses 1 exec a true
refuses 1 env
equal "leftovers" "$(leftovers)" ""

step "two sensors, a far tap, drops both ways on l1; and a second lab beside it"
lab up --sensors 2 --far-tap l1 --drop l1:50 --drop l1:@3,7:rev
"$HERE/lab" --name "$TWO" up --ipv6 --delay l1:10 --delay l2:2.5
equal "second up is the same lab" "$(lab up --sensors 2 --far-tap l1 --drop l1:50 --drop l1:@3,7:rev | head -1)" "lab $ONE"
for key in LAB LAB_DIR BOXES ADDR_a ADDR_b MGMT_arc TAP_s3_LINK INJECTED_l1_fwd INJECTED_l1_rev; do
  [ -n "$(of_env $key)" ] || fail "lab env has no $key"
done
WIRES=$(cat "$(of_env LAB_DIR)"/wire-*.pid "${TMPDIR:-/tmp}/fieldline-lab-$TWO"/wire-*.pid)

step "exec passes arguments, input and exit status"
status=0
lab exec a sh -c 'exit 7' || status=$?
equal "exit status" $status 7
equal "arguments" "$(lab exec b printf '%s|' "a b" --name '*')" 'a b|--name|*|'
equal "input" "$(echo through | lab exec s1 cat)" through
lab exec arc test -e /sys/fs || fail "exec hides /sys"
refuses 1 exec nobox true
lab exec arc ping -qc1 -W2 10.99.0.13 >/dev/null || fail "arc does not reach s3"

step "every packet at the router's end of a tap arrives at the sensor, under native XDP"
echo '__attribute__((section("xdp.frags"), used)) int drop(void *ctx) { return 1; }
char _license[] __attribute__((section("license"))) = "GPL";' |
  clang -O2 -target bpf -x c -c - -o "$WORK/drop.o"
TAPS="s1:r1:t1fwd:fwd s1:r1:t1rev:rev s2:r2:t2fwd:fwd s2:r2:t2rev:rev s3:r2:t3fwd:fwd s3:r2:t3rev:rev"
DUMPS=()
for tap in $TAPS; do
  IFS=: read -r sensor router dev port <<<"$tap"
  lab exec "$sensor" ip link set dev "$port" xdp obj "$WORK/drop.o" sec xdp.frags
  "$HERE/lab" exec --name "$ONE" "$router" tcpdump -i "$dev" -s 128 -B 32768 -U -Z root -w "$WORK/$dev.pcap" tcp 2>"$WORK/$dev.log" &
  DUMPS+=($!)
  BACKGROUND+=($!)
  wait_for "tcpdump on $dev" grep -q 'listening on' "$WORK/$dev.log"
done
transfer 5201 -n 20M
for tap in $TAPS; do
  IFS=: read -r sensor router dev port <<<"$tap"
  # Before XDP came, a ping or two went by: the difference between the two ends never grows afterwards.
  arrived() { [ "$(seen_by_xdp "$sensor" "$port")" -ge "$(packets_in "$WORK/$dev.pcap")" ] &&
    (($(sent_to_tap "$router" "$dev") - $(seen_by_xdp "$sensor" "$port") < 20)); }
  wait_for "all of $dev at $sensor" arrived
done
received=$(counter wire_l1_fwd_received)
# iperf3's last words (FIN, ACK) may still be on their way to the last tcpdump.
dumped() { (($(packets_in "$WORK/t1fwd.pcap") - $(packets_in "$WORK/t3fwd.pcap") == $(counter wire_l1_fwd_dropped))); }
wait_for "tcpdump in front of l1 minus behind l1 = dropped" dumped
for pid in "${DUMPS[@]}"; do kill -TERM "$pid"; done
for pid in "${DUMPS[@]}"; do wait "$pid" || true; done
for tap in $TAPS; do
  IFS=: read -r sensor router dev port <<<"$tap"
  equal "$dev: tcpdump lost" "$(sed -n 's/ packets dropped by kernel//p' "$WORK/$dev.log")" 0
  foreign=$(($(sent_to_tap "$router" "$dev") - $(packets_in "$WORK/$dev.pcap")))
  ((foreign >= 0 && foreign < 20)) || fail "$dev: $foreign packets beside the transfer"
done
lab drops >"$WORK/drops" || fail "the lab lost packets: $(grep -v =0 "$WORK/drops")"
echo "the lab itself lost nothing, $received packets through l1"

step "what the wires dropped is what their logs name"
for way in fwd rev; do
  log=$(of_env "INJECTED_l1_$way") matched=$(counter "wire_l1_${way}_matched")
  [ $way = fwd ] && expected=$((matched / 50)) || expected=2
  equal "$way: dropped" "$(counter "wire_l1_${way}_dropped")" "$expected"
  equal "$way: logged" "$(packets_in "$log")" "$expected"
  equal "$way: forwarded" "$(counter "wire_l1_${way}_forwarded")" \
    $(($(counter "wire_l1_${way}_received") - expected))
done
((expected > 0 && matched > 100)) || fail "nothing was dropped"
key() { # FILE: what names a packet
  tshark -r "$1" -T fields -e ip.src -e ip.id -e tcp.srcport -e tcp.seq_raw -e tcp.ack_raw -e tcp.options 2>/dev/null | sort
}
if command -v tshark >/dev/null; then
  comm -23 <(key "$WORK/t1fwd.pcap") <(key "$WORK/t3fwd.pcap") >"$WORK/missing"
  diff <(key "$(of_env INJECTED_l1_fwd)") "$WORK/missing" >"$WORK/difference" ||
    fail "the log is not what went missing between the taps: $(cat "$WORK/difference")"
  echo "the $(wc -l <"$WORK/missing") packets missing behind l1 are those of the log"
fi

step "offloads are off: every data segment has its own checksum"
equal "segments longer than a frame" "$(packets_in "$WORK/t1fwd.pcap" 'len > 1514')" 0

step "triggers and pings pass a wire that drops all data"
"$HERE/lab" --name "$ONE" up --drop l1:1 >/dev/null
WIRES+=" $(cat "$(of_env LAB_DIR)"/wire-*.pid)"
"$HERE/lab" exec --name "$ONE" b python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); s.bind(("10.0.2.2", 8620))
print("bound", flush=True); print(s.recv(2000)[:7].hex())' >"$WORK/trigger" &
BACKGROUND+=($!)
receiver=$!
wait_for "receiver" grep -q bound "$WORK/trigger"
lab exec a python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"not a trigger", ("10.0.2.2", 8620)); s.sendto(b"\xf1LDLINE\n", ("10.0.2.2", 8620))'
wait "$receiver"
equal "received" "$(tail -1 "$WORK/trigger")" f14c444c494e45
lab exec a ping -qc3 -i0.1 -W2 10.0.2.2 >/dev/null || fail "ping is dropped"
equal "dropped" "$(counter wire_l1_fwd_dropped)" 1

step "the second lab: IPv6, and delays of 12.5 ms each way"
for to in 10.0.2.2 fd00:0:0:2::2; do
  rtt=$("$HERE/lab" --name "$TWO" exec a ping -qc10 -i0.05 -W2 "$to" | sed -n 's|^rtt[^=]*= \([0-9.]*\)/.*|\1|p')
  echo "least round trip to $to: $rtt ms"
  awk -v rtt="$rtt" 'BEGIN { exit !(rtt >= 25 && rtt < 29) }' || fail "round trip $rtt ms, expected 25"
done
"$HERE/lab" --name "$TWO" drops >/dev/null || fail "the second lab lost packets"

step "a wire that dies is no secret"
kill -KILL "$(cat "$(of_env LAB_DIR)/wire-l1.pid")"
! lab drops >/dev/null 2>"$WORK/refusal" || fail "lab drops is content with a dead wire"
grep -q "wire-l1 has died" "$WORK/refusal" || fail "lab drops does not name the dead wire"

step "down takes everything, of one lab only, and twice"
"$HERE/lab" exec --name "$ONE" a tail -f /dev/null &
BACKGROUND+=($!)
sleeper=$!
in_box() { ip netns pids "fl-$ONE-a" | grep -qx "$sleeper"; }
wait_for "the sleeper in its box" in_box
lab down
wait "$sleeper" 2>/dev/null || true
"$HERE/lab" --name "$TWO" exec a ping -qc1 -W2 10.0.2.2 >/dev/null || fail "down of one lab broke the other"
"$HERE/lab" --name "$TWO" down
"$HERE/lab" --name "$TWO" down
equal "leftovers" "$(leftovers $WIRES)" ""

step "an interrupted up cleans up after itself"
env --default-signal=INT "$HERE/lab" --name "$ONE" up --sensors 20 >/dev/null 2>&1 &
BACKGROUND+=($!)
upper=$!
wait_for "half a lab" test -e "/run/netns/fl-$ONE-r5"
kill -INT "$upper"
status=0
wait "$upper" || status=$?
equal "exit status" $status 130
equal "leftovers" "$(leftovers)" ""

step "down removes half a lab"
ip netns add "fl-$ONE-a"
ip netns add "fl-$ONE-r1"
lab down
equal "leftovers" "$(leftovers)" ""
echo "all is well"
