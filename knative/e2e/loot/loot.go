// Package loot is what the spy of these tests and the tests themselves must both know: the words in which it writes down what
// it tried.
package loot

// Attempt is one thing that a spy tried.
type Attempt struct {
	What, Target string
	Denied       string // why it got nothing
	Got          []byte
}

// What a spy tries.
const (
	Environ = "environ"
	File    = "file"
	Folder  = "folder"
	Socket  = "socket"
	Table   = "table"
	Write   = "write"
	Process = "process"
	Power   = "power"
	Reach   = "reach"
	Bind    = "bind"
	Stolen  = "stolen" // a request that was somebody else's
	Serve   = "serve"  // one that was its own
	Round   = "round"  // it has tried all
)

// Impostor is what a spy answers in another's place.
const Impostor = "answered by an impostor"
