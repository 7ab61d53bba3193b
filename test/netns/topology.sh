# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2046,SC2154
# Makes what test/netns/lab asks for, and says what it made. Sourced by it; its arguments are the variables SENSORS,
# FAR_TAP, IPV6, OFFLOAD, FWD_DROP, REV_DROP, DELAY, IMPAIR and DIR.

make_boxes() {
  local box
  for box in $(boxes) mgmt wire; do
    ip netns add "$(netns "$box")"
    ip -n "$(netns "$box")" link set lo up
    # Interfaces made from here on: no IPv6 chatter, unless it was asked for and they are on the path.
    inside "$box" sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.default.accept_dad=0 \
      net.ipv6.conf.default.accept_ra=0
  done
  if ((IPV6)); then
    for box in a b $(routers); do inside "$box" sysctl -qw net.ipv6.conf.default.disable_ipv6=0; done
  fi
  for box in $(routers); do
    inside "$box" sysctl -qw net.ipv4.ip_forward=1
    ((!IPV6)) || inside "$box" sysctl -qw net.ipv6.conf.all.forwarding=1
  done
  # Loss shall cut the window, and one run shall not learn from another. A namespace gets cubic as its default only
  # where the host's tcp_allowed_congestion_control has it; reno is always allowed. (iperf3 -C cubic works anyway.)
  for box in a b; do
    inside "$box" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null ||
      inside "$box" sysctl -qw net.ipv4.tcp_congestion_control=reno
    inside "$box" sysctl -qw net.ipv4.tcp_no_metrics_save=1
  done
}

pair() { # BOX1 IF1 BOX2 IF2
  ip link add "$2" netns "$(netns "$1")" type veth peer name "$4" netns "$(netns "$3")"
}

no_offload() { # BOX IF: what is on the wire is what a NIC would put there
  inside "$1" ethtool -K "$2" tx off tso off gso off gro off txvlan off rxvlan off rx-vlan-stag-hw-parse off >/dev/null
}

make_links() {
  local i up down
  for ((i = 0; i <= SENSORS; i++)); do
    up=$(upstream_of $i) down=$(downstream_of $i)
    if is_impaired $i; then
      pair "$up" l$i wire "l$i-up"
      pair "$down" l$i wire "l$i-down"
      ((OFFLOAD)) || no_offload wire "l$i-up"
      ((OFFLOAD)) || no_offload wire "l$i-down"
      ip -n "$(netns wire)" link set "l$i-up" up
      ip -n "$(netns wire)" link set "l$i-down" up
    else
      pair "$up" l$i "$down" l$i
    fi
    ip -n "$(netns "$up")" addr add "10.0.$i.1/24" dev l$i
    ip -n "$(netns "$down")" addr add "10.0.$i.2/24" dev l$i
    if ((IPV6)); then
      ip -n "$(netns "$up")" addr add "fd00:0:0:$i::1/64" dev l$i nodad
      ip -n "$(netns "$down")" addr add "fd00:0:0:$i::2/64" dev l$i nodad
    fi
    local box
    for box in "$up" "$down"; do
      ((OFFLOAD)) || no_offload "$box" l$i
      ip -n "$(netns "$box")" link set l$i up
    done
  done
}

make_routes() {
  local i j
  route() { # BOX LINK VIA-END
    ip -n "$(netns "$1")" route add "10.0.$2.0/24" via "10.0.$3"
    ((!IPV6)) || ip -n "$(netns "$1")" route add "fd00:0:0:$2::/64" via "fd00:0:0:${3%.*}::${3#*.}"
  }
  for ((j = 1; j <= SENSORS; j++)); do route a $j 0.2; done
  for ((j = 0; j < SENSORS; j++)); do route b $j $SENSORS.1; done
  for ((i = 1; i <= SENSORS; i++)); do
    for ((j = 0; j < i - 1; j++)); do route r$i $j $((i - 1)).1; done
    for ((j = i + 1; j <= SENSORS; j++)); do route r$i $j $i.2; done
  done
}

# Copies of what the router puts on the link (and takes from it) go to a veth each. The copy is made in front of
# the link's own queue and wire. The router's end segments and sums what an offload left undone: the sensor sees
# wire segments, as behind an optical splitter.
make_taps() {
  local s link end router egress ingress way hook port
  for s in $(sensors); do
    read -r link end router < <(tap_of "$s")
    local n=${s#s} ns
    ns=$(netns "$router")
    inside "$router" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    for way in fwd rev; do
      pair "$router" "t$n$way" "$s" $way
      no_offload "$router" "t$n$way"
      no_offload "$s" $way
      ip -n "$(netns "$s")" link set $way txqueuelen 10000 up
      ip -n "$ns" link set "t$n$way" txqueuelen 10000 up
    done
    # At the upstream end what leaves the router travels fwd, at the downstream end what comes in.
    [ "$end" = up ] && egress=fwd ingress=rev || egress=rev ingress=fwd
    tc -n "$ns" qdisc add dev "l$link" clsact
    for hook in egress:$egress ingress:$ingress; do
      port=t$n${hook#*:}
      tc -n "$ns" filter add dev "l$link" "${hook%:*}" protocol all prio 1 u32 match u32 0 0 \
        action mirred egress mirror dev "$port"
    done
  done
}

make_management() {
  local box
  ip -n "$(netns mgmt)" link add name bridge type bridge
  ip -n "$(netns mgmt)" link set bridge up
  for box in a b $(sensors) arc; do
    inside "$box" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    pair "$box" mgmt mgmt "m-$box"
    ip -n "$(netns mgmt)" link set "m-$box" master bridge up
    ip -n "$(netns "$box")" addr add "$(management_of "$box")/24" dev mgmt
    ip -n "$(netns "$box")" link set mgmt up
  done
}

find_impair() {
  local build
  for build in "${FIELDLINE_BUILD:-}" "$REPO"/build/dev "$REPO"/build/*; do
    [ -x "$build/test/support/impair" ] && echo "$build/test/support/impair" && return
  done
  die "--drop and --delay need the program impair: cmake --preset dev && cmake --build --preset dev --target impair"
}

make_wires() {
  local i args
  for ((i = 0; i <= SENSORS; i++)); do
    is_impaired $i || continue
    args=(--up "l$i-up" --down "l$i-down" --status "$DIR/wire-l$i.status" --background "$DIR/wire-l$i.pid")
    [ -z "${DELAY[i]-}" ] || args+=(--delay-ms "${DELAY[i]}")
    [ -z "${FWD_DROP[i]-}" ] || args+=(--fwd-drop "${FWD_DROP[i]}" --fwd-log "$DIR/injected-l$i-fwd.pcap")
    [ -z "${REV_DROP[i]-}" ] || args+=(--rev-drop "${REV_DROP[i]}" --rev-log "$DIR/injected-l$i-rev.pcap")
    inside wire "$IMPAIR" "${args[@]}" 9>&- || die "the wire of l$i does not start"
  done
}

print_env() {
  local box i s link end router list
  list=$(boxes)
  echo "LAB=$NAME"
  echo "LAB_DIR=$DIR"
  echo "BACKLOG_DROPPED=$(backlog_dropped)"
  echo "BOXES=${list// /,}"
  for box in $list; do echo "NETNS_$box=/run/netns/$(netns "$box")"; done
  echo "ADDR_a=10.0.0.1"
  echo "ADDR_b=10.0.$SENSORS.2"
  if ((IPV6)); then
    echo "ADDR6_a=fd00::1"
    echo "ADDR6_b=fd00:0:0:$SENSORS::2"
  fi
  echo "TCP=$(inside a sysctl -n net.ipv4.tcp_congestion_control)"
  for box in a b $(sensors) arc; do echo "MGMT_$box=$(management_of "$box")"; done
  list=$(seq -s, -f 'l%.0f' 0 "$SENSORS")
  echo "LINKS=$list"
  for ((i = 0; i <= SENSORS; i++)); do
    echo "LINK_l$i=$(upstream_of $i),$(downstream_of $i)"
    [ -z "${DELAY[i]-}" ] || echo "DELAY_MS_l$i=${DELAY[i]}"
    if [ -n "${FWD_DROP[i]-}" ]; then
      echo "DROP_l${i}_fwd=${FWD_DROP[i]}"
      echo "INJECTED_l${i}_fwd=$DIR/injected-l$i-fwd.pcap"
    fi
    if [ -n "${REV_DROP[i]-}" ]; then
      echo "DROP_l${i}_rev=${REV_DROP[i]}"
      echo "INJECTED_l${i}_rev=$DIR/injected-l$i-rev.pcap"
    fi
    ! is_impaired $i || echo "WIRE_l$i=$DIR/wire-l$i.status"
  done
  list=$(sensors | paste -sd,)
  echo "SENSORS=$list"
  for s in ${list//,/ }; do
    read -r link end router < <(tap_of "$s")
    printf '%s\n' "TAP_${s}_LINK=l$link" "TAP_${s}_END=$end" "TAP_${s}_BOX=$router" \
      "TAP_${s}_PORTS=fwd,rev" "TAP_${s}_FWD=t${s#s}fwd" "TAP_${s}_REV=t${s#s}rev"
  done
}

print_topology() {
  local i line="  a" s link end router
  for ((i = 0; i <= SENSORS; i++)); do
    line+=" --l$i"
    [ -z "${DELAY[i]-}" ] || line+=" ${DELAY[i]} ms"
    [ -z "${FWD_DROP[i]-}" ] || line+=" drop fwd ${FWD_DROP[i]}"
    [ -z "${REV_DROP[i]-}" ] || line+=" drop rev ${REV_DROP[i]}"
    line+="-- $(downstream_of $i)"
  done
  echo "lab $NAME"
  echo "$line"
  for s in $(sensors); do
    read -r link end router < <(tap_of "$s")
    echo "  $s: tap on l$link at $router, $([ "$end" = up ] && echo "in front of the link" || echo "behind it")"
  done
  echo "  management: arc $(management_of arc), a $(management_of a), b $(management_of b), s1 .. from $(management_of s1)"
  echo "  a 10.0.0.1 to b 10.0.$SENSORS.2$( ((!IPV6)) || echo ", fd00::1 to fd00:0:0:$SENSORS::2")"
}
