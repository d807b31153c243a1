#!/bin/bash
# Stops what up.sh started, by pid; removes its containers, mounts, bridges, iptables rules. KEEP=1 keeps its data.
. "$(dirname "$0")/env.sh"
stop(){ local p e; p=$(cat $PIDS/$1 2>/dev/null) || return
  e=$(readlink /proc/$p/exe 2>/dev/null); case "$e" in $BIN/$1*|/usr/bin/containerd) ;; *) rm -f $PIDS/$1; return;; esac # gone, or the pid is another's now
  kill $p 2>/dev/null; for i in $(seq 50); do [ -d /proc/$p ] || break; sleep 0.1; done; [ -d /proc/$p ] && kill -9 $p; rm -f $PIDS/$1; }
if [ "$(cat $RUN/mode 2>/dev/null)" = control ]; then # nothing but these two is its own: a whole cluster may be up beside it
  for n in kube-apiserver etcd; do stop $n; done
  [ -n "$KEEP" ] || rm -rf $RUN
  echo down; exit
fi
for n in traefik coredns kubelet kube-scheduler kube-controller-manager; do stop $n; done
if [ -S $SOCK ] && [ -f $PIDS/containerd ]; then
  for t in $($CTR task ls -q); do $CTR task kill -s SIGKILL $t >/dev/null 2>&1; done; sleep 0.5
  for t in $($CTR task ls -q); do $CTR task rm -f $t >/dev/null 2>&1; done
  for c in $($CTR container ls -q); do $CTR container rm $c >/dev/null 2>&1; done
fi
[ -f $PIDS/kube-proxy ] && { stop kube-proxy; $BIN/kube-proxy --cleanup --config $RUN/kube-proxy.yaml >/dev/null 2>&1; }
# shims that belong to our containerd only (their -address names our socket)
for p in $(ps -eo pid,args | awk '/containerd-shim-runc-v2/ && /\/run\/mcp-test-cluster\// {print $1}'); do kill -9 $p 2>/dev/null; done
for n in containerd kube-apiserver etcd; do stop $n; done
for m in $(awk '{print $2}' /proc/mounts | grep -E "^($RUN/|/run/mcp-test-cluster/)" | sort -r); do umount -l $m; done
for ns in $(ls /run/netns 2>/dev/null | grep '^cni-'); do ip netns del $ns; done
for d in -i -o; do iptables -w -D FORWARD $d cni0 -j ACCEPT 2>/dev/null; done
for c in OUTPUT FORWARD; do iptables -w -D $c "${UNKNOWN[@]}" 2>/dev/null; done
# the CNI bridge's masquerade chains
iptables-save -t nat | grep -E 'name: .{0,3}mcptest|CNI-' | grep '^-A POSTROUTING' | sed 's/^-A/-D/' | while read -r l; do eval iptables -w -t nat "$l"; done
for c in $(iptables-save -t nat | awk -F'[: ]' '/^:CNI-/{print $2}'); do iptables -w -t nat -F $c; done
for c in $(iptables-save -t nat | awk -F'[: ]' '/^:CNI-/{print $2}'); do iptables -w -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j $c 2>/dev/null; iptables -w -t nat -D OUTPUT -m addrtype --dst-type LOCAL -j $c 2>/dev/null; iptables -w -t nat -X $c 2>/dev/null; done
for v in iptables ip6tables; do for t in filter nat mangle; do # chains the kubelet and kube-proxy made
  $v-save -t $t 2>/dev/null | grep -E -- '^-A (INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING) .*-j KUBE-' | sed 's/^-A/-D/' | while read -r l; do eval $v -w -t $t "$l"; done
  for x in F X; do for c in $($v-save -t $t 2>/dev/null | awk -F'[: ]' '/^:KUBE-/{print $2}'); do $v -w -t $t -$x $c 2>/dev/null; done; done
done; done
[ -f $RUN/sysctl.saved ] && sysctl -qp $RUN/sysctl.saved
for l in cni0 k8snode0; do ip link del $l 2>/dev/null; done
for d in cpu cpuacct cpuset memory devices freezer blkio pids systemd unified; do find /sys/fs/cgroup/$d/kubepods -depth -type d -exec rmdir {} + 2>/dev/null; done
[ -n "$KEEP" ] || rm -rf $RUN /run/mcp-test-cluster
echo down
