package table

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sample = []Row{
	{Server: "playground", State: Awake, Instances: 1, Calls: 1, Total: 1204, Memory: 29 << 20},
	{Server: "workbench"},
	{Server: "desk", State: Awake, PerUser: true, Instances: 12, Total: 7, Listeners: 3, Memory: 3 << 30},
	{Server: "a-server-with-a-name-longer-than-others", State: Waking, PerUser: true, Instances: 1, Calls: 2, Total: 2, Memory: 5 << 20},
}

func TestLines(t *testing.T) {
	for name, tc := range map[string]struct {
		style Style
		note  string
		want  string
	}{
		"wide": {Style{Width: 200, Height: 50}, "", `
SERVER                                   STATE             CALLS  TOTAL  LISTENERS   MEMORY
playground                               awake                 1   1204          0   29 MiB
workbench                                asleep                0      0          0        -
desk                                     awake (12 users)      0      7          3  3.0 GiB
a-server-with-a-name-longer-than-others  waking (1 user)       2      2          0  5.0 MiB
`},
		"without end": {Style{}, "a note", `
SERVER                                   STATE             CALLS  TOTAL  LISTENERS   MEMORY
playground                               awake                 1   1204          0   29 MiB
workbench                                asleep                0      0          0        -
desk                                     awake (12 users)      0      7          3  3.0 GiB
a-server-with-a-name-longer-than-others  waking (1 user)       2      2          0  5.0 MiB
a note
`},
		"a column too few": {Style{Width: 90}, "", `
SERVER                                  STATE             CALLS  TOTAL  LISTENERS   MEMORY
playground                              awake                 1   1204          0   29 MiB
workbench                               asleep                0      0          0        -
desk                                    awake (12 users)      0      7          3  3.0 GiB
a-server-with-a-name-longer-than-othe~  waking (1 user)       2      2          0  5.0 MiB
`},
		"a long name is cut first": {Style{Width: 70}, "", `
SERVER              STATE             CALLS  TOTAL  LISTENERS   MEMORY
playground          awake                 1   1204          0   29 MiB
workbench           asleep                0      0          0        -
desk                awake (12 users)      0      7          3  3.0 GiB
a-server-with-a-n~  waking (1 user)       2      2          0  5.0 MiB
`},
		"then columns go": {Style{Width: 50}, "", `
SERVER            STATE             CALLS   MEMORY
playground        awake                 1   29 MiB
workbench         asleep                0        -
desk              awake (12 users)      0  3.0 GiB
a-server-with-a~  waking (1 user)       2  5.0 MiB
`},
		"narrow": {Style{Width: 20}, "as it was a while ago", `
SERVER        STATE
playground    awake
workbench     asleep
desk          awake~
a-server-wi~  wakin~
as it was a while a~
`},
		"tiny": {Style{Width: 3}, "", `
SE~
pl~
wo~
de~
a-~
`},
		"few lines: those that sleep go first": {Style{Width: 60, Height: 4}, "", `
SERVER      STATE             CALLS  LISTENERS   MEMORY
playground  awake                 1          0   29 MiB
desk        awake (12 users)      0          3  3.0 GiB
and 2 more
`},
		"fewer, and a note": {Style{Width: 60, Height: 4}, "a note", `
SERVER      STATE  CALLS  TOTAL  LISTENERS  MEMORY
playground  awake      1   1204          0  29 MiB
and 3 more
a note
`},
		"no room": {Style{Width: 60, Height: 2}, "", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Lines(sample, tc.note, tc.style)
			want := strings.Split(strings.Trim(tc.want, "\n"), "\n")
			if tc.want == "\n" {
				want = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLinesFit goes through all sizes.
func TestLinesFit(t *testing.T) {
	for width := 1; width < 120; width++ {
		for height := 1; height < 12; height++ {
			for _, note := range []string{"", "gateway or deployer does not answer"} {
				style := Style{Width: width, Height: height, Color: true}
				got := Lines(sample, note, style)
				if len(got) > height {
					t.Errorf("%+v: %d lines", style, len(got))
				}
				for _, line := range got {
					if visible(line) > width {
						t.Errorf("%+v: %q", style, line)
					}
				}
			}
		}
	}
}

func TestColor(t *testing.T) {
	got := Lines(sample[:2], "", Style{Color: true})
	want := []string{
		"\x1b[1mSERVER      STATE   CALLS  TOTAL  LISTENERS  MEMORY\x1b[0m",
		"playground\x1b[32m  awake \x1b[0m      1   1204          0  29 MiB",
		"workbench \x1b[2m  asleep\x1b[0m      0      0          0       -",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMemoryText(t *testing.T) {
	for bytes, want := range map[int64]string{
		-1: "-", 0: "-", 1: "0.0 MiB", 1 << 19: "0.5 MiB", 9<<20 + 900<<10: "9.9 MiB", 10 << 20: "10 MiB", 999 << 20: "999 MiB",
		1000 << 20: "1.0 GiB", 64 << 30: "64 GiB", 5 << 40: "5.0 TiB", 5 << 50: "5120 TiB",
	} {
		if got := memoryText(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
