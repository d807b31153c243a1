package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"mcpgateway/internal/procgroup"
)

// resident adds up, for each supervisor, what it and its descendants have in memory, in bytes. All of them are its own:
// it adopts orphans. For process ids that stand for nothing it is 0.
func resident(supervisors []int) []int64 {
	sums := make([]int64, len(supervisors))
	if len(supervisors) == 0 {
		return sums // reading all of /proc costs milliseconds
	}
	all := procgroup.ReadTree()
	for i, pid := range supervisors {
		if pid <= 1 {
			continue
		}
		for _, p := range append(descendants(all, pid), pid) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p)) // gone meanwhile: nothing is left of it
			sums[i] += parseResident(string(text)) * int64(os.Getpagesize())
		}
	}
	return sums
}

// parseResident reads the pages in memory from /proc/<pid>/statm: "size resident shared …", see proc_pid_statm(5).
func parseResident(statm string) int64 {
	fields := strings.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 50)
	if err != nil {
		return 0
	}
	return int64(pages)
}
