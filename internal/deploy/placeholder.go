package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The placeholders without a name. Those with one are {port:UNIT}, {socket:VOLUME} and {mount:NAME}.
const (
	shimProgram    = "{shim}"
	packageProgram = "{package}"
	listen         = "{listen}"
	stateFolder    = "{state}"
	ownPort        = "{port}"
)

var placeholder = regexp.MustCompile(`\{(shim|package|listen|state|port|port:[^{}]*|socket:[^{}]*|mount:[^{}]*)\}`)

// Places is what a deployer fills into the commands and variables of one unit.
type Places struct {
	Shim    string            // {shim}: the path of the shim's program where the unit runs
	Package string            // {package}: the path of the program of the unit's package
	Listen  string            // {listen}: the unit's serving address, unix:<path> or :<port>
	State   string            // {state}: a folder of the server's shims, which survives them where the deployer has such a place
	Port    string            // {port}: the unit's own TCP port
	Ports   map[string]string // {port:UNIT}: another unit's port on 127.0.0.1
	Sockets map[string]string // {socket:VOLUME}: path of the socket in a volume that the unit mounts
	Mounts  map[string]string // {mount:NAME}: path of a mounted file
}

// Expand fills in the placeholders of text. One that the unit has no value for is an error; other braces stay.
func (p Places) Expand(text string) (string, error) {
	var missing string
	out := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		value := p.value(match[1 : len(match)-1])
		if value == "" {
			missing = match
		}
		return value
	})
	if missing != "" {
		return "", fmt.Errorf("%s has no value in this unit", missing)
	}
	return out, nil
}

func (p Places) value(name string) string {
	kind, of, _ := strings.Cut(name, ":")
	switch {
	case name == "shim":
		return p.Shim
	case name == "package":
		return p.Package
	case name == "listen":
		return p.Listen
	case name == "state":
		return p.State
	case name == "port":
		return p.Port
	case kind == "port":
		return p.Ports[of]
	case kind == "socket":
		return p.Sockets[of]
	default:
		return p.Mounts[of]
	}
}

// checkText refuses placeholders in text that an operator wrote, but for those allowed: the operator's text must not
// reach what is the shim's.
func checkText(text string, allowed ...string) error {
	for _, match := range placeholder.FindAllString(text, -1) {
		if !slices.Contains(allowed, match) {
			return fmt.Errorf("%s is not for catalog entries", match)
		}
	}
	return nil
}
