package hostile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is one that runs.
type process struct {
	pid, parent int
	command     string
}

// processes are all that the system started and that are not over: their environment names its folder. The catalog gives
// it to the servers, and whatever they start inherits it.
func (r *rig) processes() []process {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	var list []process
	for _, path := range paths {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environment, []byte(r.dir)) {
			continue // gone, another's, or not ours
		}
		p := process{}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		if err != nil {
			continue
		}
		// The program's name stands in parentheses and may hold any byte (proc_pid_stat(5)).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || p.pid == os.Getpid() {
			continue
		}
		p.parent, _ = strconv.Atoi(fields[1])
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		p.command = strings.ReplaceAll(string(command), "\x00", " ")
		list = append(list, p)
	}
	return list
}

// running are the processes of a program.
func (r *rig) running(path string) (found []process) {
	for _, p := range r.processes() {
		if strings.HasPrefix(p.command, path+" ") {
			found = append(found, p)
		}
	}
	return found
}

// serving counts the servers of a manner.
func (r *rig) serving(manner string) (count int) {
	self, _ := os.Executable() // it was found before
	for _, p := range r.running(self) {
		if strings.HasPrefix(p.command, self+" "+ServerArgument+" "+manner+" ") {
			count++
		}
	}
	return count
}

// alive tells whether one of the system's processes runs.
func (r *rig) alive(pid int) bool {
	for _, p := range r.processes() {
		if p.pid == pid {
			return true
		}
	}
	return false
}

// units are the process ids of a server's shim and bridge, from what the deployer notes in its state folder.
func (r *rig) units(server string) (shim, bridge int, err error) {
	records, _ := filepath.Glob(filepath.Join(r.system.State, "i", "*", "instance.json"))
	for _, path := range records {
		var instance struct {
			Key struct {
				Server string `json:"server"`
			} `json:"key"`
		}
		var supervisor struct {
			Groups struct{ Shim, Server int } `json:"groups"`
		}
		if readJSON(path, &instance) != nil || instance.Key.Server != server {
			continue
		}
		if err := readJSON(filepath.Join(filepath.Dir(path), "supervisor.json"), &supervisor); err != nil {
			return 0, 0, err
		}
		return supervisor.Groups.Shim, supervisor.Groups.Server, nil
	}
	return 0, 0, fmt.Errorf("no instance of %s is known", server)
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// peak is the most memory that a process had resident so far, in MB.
func peak(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no memory", pid)
	}
	kilobytes, err := strconv.Atoi(fields[0])
	return kilobytes >> 10, err
}

// Megabytes that a program may have had: a shim its program and the garbage that it collects at once (garbage.Pace), some 60;
// a bridge without a line of the longest, and with one.
const (
	gatewayMemory  = 160
	shimMemory     = 80
	bridgeMemory   = 96
	longLineMemory = 224
)

// memory notes what a server's shim and bridge had at most, and that it was too much.
func (a *attempt) memory(server string, bridge int) error {
	shim, of, err := a.units(server)
	if err != nil {
		return err
	}
	return errors.Join(a.bound("shim", shim, shimMemory), a.bound("bridge", of, bridge))
}

// bound notes what a process had at most.
func (a *attempt) bound(name string, pid, most int) error {
	megabytes, err := peak(pid)
	if err != nil {
		return err
	}
	a.saw("%s ≤ %d MB", name, megabytes)
	if megabytes > most {
		a.wrong("the %s had %d MB, want %d at most", name, megabytes, most)
	}
	return nil
}
