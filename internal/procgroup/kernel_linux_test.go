package procgroup

import (
	"bytes"
	"fmt"
	"testing"
)

func TestParseStat(t *testing.T) {
	for text, want := range map[string]Process{
		"7 (sh) S 1 2 3 0 -1":                  {7, 1, 2, 3, false},
		"7 (a) R 9 (b) S 1 2 3 0 -1":           {7, 1, 2, 3, false},
		"7 (\n) R 5 5 5 \xff) S 10 20 30 0 -1": {7, 10, 20, 30, false},
		"7 (dead) Z 1 2 3 0 -1":                {7, 1, 2, 3, true},
		"7 (gone) X 1 2 3 0 -1":                {7, 1, 2, 3, true},
		"7 (short) S 1 2":                      {},
		"7 (text) S 1 x 3 0":                   {},
		"x (text) S 1 2 3 0":                   {},
		"7 S 1 2 3":                            {},
		"7 )S( 1 2 3 4":                        {},
		"":                                     {},
	} {
		got, ok := ParseStat([]byte(text))
		if got != want && ok || ok != (want != Process{}) {
			t.Errorf("ParseStat(%q) = %+v, %v, want %+v", text, got, ok, want)
		}
	}
}

// Whatever a program calls itself, the line that the kernel writes of it reads back; and what is no such line is nobody.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) R 9 (b) S 1 2 3 0 -1"), 7, 1, 2, 3, byte('S'))
	f.Add([]byte("a) Z 1 1 1 ("), -7, 0, 1<<22, -1, byte('Z'))
	f.Fuzz(func(t *testing.T, text []byte, pid, parent, group, session int, state byte) {
		if p, ok := ParseStat(text); !ok && p != (Process{}) {
			t.Errorf("%q is none, and yet %+v", text, p)
		}
		if !bytes.Contains([]byte("RSDTtZXI"), []byte{state}) {
			return
		}
		line := fmt.Appendf(nil, "%d (%s) %c %d %d %d 0 -1 4194560 0", pid, text, state, parent, group, session)
		want := Process{PID: pid, Parent: parent, Group: group, Session: session, Ended: state == 'Z' || state == 'X'}
		if p, ok := ParseStat(line); !ok || p != want {
			t.Errorf("%q is %+v, %v", line, p, ok)
		}
	})
}
