package process

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// environ is the environment that a process was started with.
func environ(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.Trim(string(text), "\x00"), "\x00")
}

// ignoredSignals is the mask of signals that a process ignores, the lowest bit for signal 1.
func ignoredSignals(pid int) uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\nSigIgn:\t")
	mask, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseUint(mask, 16, 64)
	return n
}

// runs reports whether a process has not ended. One that nobody has waited for yet has.
func runs(pid int) bool {
	return slices.ContainsFunc(running(), func(p processStat) bool { return p.pid == pid })
}

// strayProcesses lists the processes that have something of a folder in their environment: units have.
func strayProcesses(dir string) []string {
	var list []string
	for _, p := range running() {
		if strings.Contains(strings.Join(environ(p.pid), " "), dir) {
			list = append(list, fmt.Sprint(p.pid))
		}
	}
	return list
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]processStat{
		"7 (sh) S 1 2 3 0 -1":                  {7, 1, 2, 3},
		"7 (a) R 9 (b) S 1 2 3 0 -1":           {7, 1, 2, 3},
		"7 (\n) R 5 5 5 \xff) S 10 20 30 0 -1": {7, 10, 20, 30},
		"7 (dead) Z 1 2 3 0 -1":                {},
		"7 (gone) X 1 2 3 0 -1":                {},
		"7 (short) S 1 2":                      {},
		"7 (text) S 1 x 3 0":                   {},
		"x (text) S 1 2 3 0":                   {},
		"7 S 1 2 3":                            {},
		"7 )S( 1 2 3 4":                        {},
		"":                                     {},
	} {
		got, ok := parseStat([]byte(text))
		if got != want && ok || ok != (want != processStat{}) {
			t.Errorf("parseStat(%q) = %+v, %v, want %+v", text, got, ok, want)
		}
	}
}

// Whatever a program calls itself, the line that the kernel writes of it reads back; and what is no such line is nobody.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) R 9 (b) S 1 2 3 0 -1"), 7, 1, 2, 3, byte('S'))
	f.Add([]byte("a) Z 1 1 1 ("), -7, 0, 1<<22, -1, byte('Z'))
	f.Fuzz(func(t *testing.T, text []byte, pid, parent, group, session int, state byte) {
		if p, ok := parseStat(text); !ok && p != (processStat{}) {
			t.Errorf("%q is none, and yet %+v", text, p)
		}
		if !bytes.Contains([]byte("RSDTtZXI"), []byte{state}) {
			return
		}
		line := fmt.Appendf(nil, "%d (%s) %c %d %d %d 0 -1 4194560 0", pid, text, state, parent, group, session)
		want, alive := processStat{pid: pid, parent: parent, group: group, session: session}, state != 'Z' && state != 'X'
		if p, ok := parseStat(line); ok != alive || ok && p != want {
			t.Errorf("%q is %+v, %v", line, p, ok)
		}
	})
}
