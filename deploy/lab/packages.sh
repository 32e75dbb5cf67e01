# shellcheck shell=bash disable=SC2034
# The Debian 12 packages that Penstock needs, and how to get them. Sourced by deploy/demo and tests/run.

packages_build=(gcc libc6-dev clang llvm cmake ninja-build pkg-config bpftool libbpf-dev libxdp-dev
    libelf-dev libzmq3-dev libczmq-dev liblmdb-dev libmsgpack-dev libzstd-dev libyaml-dev libpq-dev libpcap-dev
    libmicrohttpd-dev libcap-ng-dev libdpdk-dev libcmocka-dev linux-libc-dev libjansson-dev libcurl4-openssl-dev)
packages_run=(postgresql-15 postgresql-client-15 iproute2 ethtool iperf3 nmap iputils-ping procps util-linux
    bird2 bgpdump jq)
packages_test=(libclang-rt-14-dev clang-format-14 man-db groff tcpdump curl ncat shellcheck git
    busybox ca-certificates tcpreplay hping3 systemd xdp-tools faketime prometheus-alertmanager rsyslog openssl)
packages_bench=(dpdk dpdk-dev) # testpmd, which tests/bench/run compares with; without it row (d) is left out

# packages_install NAME…: installs what is missing; needs root only if something is.
packages_install() {
    local missing=() name
    for name in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            missing+=("$name")
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    printf 'installing %d packages: %s\n' "${#missing[@]}" "${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        echo "these packages are missing; install them, or run this as root" >&2
        return 1
    fi
    local log
    log=$(mktemp)
    if ! { apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}
