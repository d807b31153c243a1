package procgroup

// Process is one process of the machine.
type Process struct {
	PID, Parent, Group, Session int
	Ended                       bool // and nobody has waited for it yet
}

// Tree is the processes of the machine by their parents. It is empty where they are not known.
type Tree map[int][]Process

// ReadTree reads it. It takes milliseconds.
func ReadTree() Tree {
	t := Tree{}
	for _, p := range All() {
		t[p.Parent] = append(t[p.Parent], p)
	}
	return t
}

// Descendants are the children of a process, and theirs.
func (t Tree) Descendants(of int) []Process {
	list := append([]Process(nil), t[of]...)
	for i := 0; i < len(list); i++ {
		list = append(list, t[list[i].PID]...)
	}
	return list
}
