package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseListeners(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	got := map[int][]string{}
	parseListeners(head+
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0\n"+
		"   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 20 4 30 10 -1\n"+
		"   2: 0100007F:XXXX 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333\n"+
		"   3: 0100007F:0050 00000000:0000 0A\n", got)
	parseListeners(head+
		"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1\n", got)
	if diff := cmp.Diff(map[int][]string{8080: {"111", "444"}}, got); diff != "" {
		t.Errorf("other listeners:\n%s", diff)
	}
}

// The line of a socket that listens reads back, those of other sockets are nobody's, and what stands around them hides
// none.
func FuzzParseListeners(f *testing.F) {
	f.Add("0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 111", uint16(8080), uint32(9), byte(10))
	f.Add("", uint16(1), uint32(0), byte(1))
	f.Fuzz(func(t *testing.T, table string, port uint16, inode uint32, state byte) {
		before, after := map[int][]string{}, map[int][]string{}
		parseListeners(table, before)
		line := fmt.Sprintf("   1: 0100007F:%04X 00000000:0000 %02X 00000000:00000000 00:00000000 00000000  1000        0 %d 1 0", port, state, inode)
		parseListeners(strings.TrimRight(table, "\n")+"\n"+line, after)
		if state == 10 {
			before[int(port)] = append(before[int(port)], fmt.Sprint(inode))
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%q and %q:\n%s", table, line, diff)
		}
	})
}

// TestHoldListeners takes this process for a supervisor, whose own sockets do not count.
func TestHoldListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port, us := l.Addr().(*net.TCPAddr).Port, supervisorRecord{PID: os.Getpid()}
	if holdListeners(us, []int{port}) {
		t.Error("a stranger's listener passes for a child's")
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if !holdListeners(us, []int{port}) {
		t.Error("a child's listener is not found")
	}
	if !holdListeners(supervisorRecord{Groups: map[string]int{"server": child.Process.Pid}}, []int{port}) {
		t.Error("a unit's listener is not found")
	}
	if free, err := freePort(); err != nil || holdListeners(us, []int{port, free}) {
		t.Errorf("nobody listens on %d, %v", free, err)
	}
}
