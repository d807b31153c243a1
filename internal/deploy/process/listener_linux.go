package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mcpgateway/internal/procgroup"
)

// holdListeners reports whether somebody listens on each of the ports, and whether all who do are of a supervisor's
// group. What cannot be seen counts as a stranger.
func holdListeners(r supervisorRecord, ports []int) bool {
	inodes := map[int][]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table) // without IPv6 there is only one
		parseListeners(string(text), inodes)
	}
	var listeners []string
	for _, port := range ports {
		if len(inodes[port]) == 0 {
			return false
		}
		listeners = append(listeners, inodes[port]...)
	}
	// First the few who should; looking for all descendants takes milliseconds of a wake.
	units := slices.Collect(maps.Values(r.Groups))
	return holdAll(units, listeners) || holdAll(descendants(procgroup.ReadTree(), r.PID), listeners)
}

// descendants are the numbers of a process's.
func descendants(t procgroup.Tree, of int) []int {
	var list []int
	for _, p := range t.Descendants(of) {
		list = append(list, p.PID)
	}
	return list
}

// stateListen is TCP_LISTEN in /proc/net/tcp, see proc_net(5).
const stateListen = "0A"

// parseListeners adds the sockets that listen, by port. A line is "sl local remote st queues timer retransmits uid
// timeout inode …", the addresses in hex.
func parseListeners(table string, inodes map[int][]string) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			inodes[int(port)] = append(inodes[int(port)], fields[9])
		}
	}
}

// holdAll reports whether each of the sockets is held by one of the processes.
func holdAll(pids []int, sockets []string) bool {
	held := map[string]bool{}
	for _, pid := range pids {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is well formed
		for _, link := range links {
			to, err := os.Readlink(link)
			if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
				held[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return !slices.ContainsFunc(sockets, func(inode string) bool { return !held[inode] })
}
