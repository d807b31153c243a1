package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// spec is what the deployer tells a supervisor, over a pipe, since it holds secrets. Everything in it is resolved: the
// supervisor knows neither plans nor stores.
type spec struct {
	ID    string        `json:"id"`    // of the group
	Dir   string        `json:"dir"`   // the group's folder
	Logs  string        `json:"logs"`  // folder of the server's logs
	Drain time.Duration `json:"drain"` // how long the shim may finish calls when asked to stop
	Units []unitSpec    `json:"units"` // in the order of start; the shim's name is "shim"
}

// unitSpec is one process.
type unitSpec struct {
	Name  string     `json:"name"`
	Shim  bool       `json:"shim,omitempty"` // ends the group when it exits; its standard output is the audit log
	Path  string     `json:"path"`
	Args  []string   `json:"args"` // with the program's name first
	Env   [][]byte   `json:"env"`  // as bytes, since JSON would change a secret that is not UTF-8
	Files []fileSpec `json:"files,omitempty"`
	// User is who it runs as, with the group of that number and nothing else; 0: as the supervisor does.
	User uint32 `json:"user,omitempty"`
	// Socket is the path of a Unix socket that it inherits as socketDescriptor, since it may not enter the folder.
	Socket string `json:"socket,omitempty"`
	// Restart has the unit started again when it ends. The group ends when any other does.
	Restart bool `json:"restart,omitempty"`
}

func (s *unitSpec) addEnv(variable string) { s.Env = append(s.Env, []byte(variable)) }

// fileSpec is a secret that a unit reads from an inherited descriptor.
type fileSpec struct {
	Variable string `json:"variable"` // gets the descriptor's path
	Value    []byte `json:"value"`
}

// maxSpec bounds a spec, in bytes.
const maxSpec = 4 << 20

func readSpec(r io.Reader) (spec, error) {
	var s spec
	text, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	if err != nil {
		return s, fmt.Errorf("read spec: %w", err)
	}
	if len(text) > maxSpec {
		return s, fmt.Errorf("read spec: over %d bytes", maxSpec)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, errors.New("read spec: not what a deployer writes") // the error could quote a secret
	}
	if s.Dir == "" || s.Logs == "" || len(s.Units) == 0 {
		return s, errors.New("read spec: incomplete")
	}
	return s, nil
}
