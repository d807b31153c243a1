// Package table shows the servers of a gateway on a terminal: which sleep and which are awake, what is under way to
// them, and what they cost. It only looks. It reads nothing from the terminal and changes no setting of it, so that
// whoever ends it, and however, gets the terminal back as it was.
package table

import (
	"context"
	"fmt"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/traffic"
)

// State is what a server does.
type State int

// The states.
const (
	Asleep State = iota // nothing of it runs
	Waking              // it starts, and calls may wait for that
	Awake               // it takes calls
)

func (s State) String() string { return [...]string{"asleep", "waking", "awake"}[s] }

// Row is one server, with all its instances.
type Row struct {
	Server    string
	State     State
	PerUser   bool // each user has an instance of their own
	Instances int  // that are up or start
	Calls     int64
	Total     int64
	Listeners int64
	Memory    int64 // in bytes; 0 is not known
}

// makeRows puts together what the gateway and the deployer say. Rows are in the order of the catalog.
func makeRows(t traffic.Status, up []deploy.Status) []Row {
	rows := make([]Row, len(t.Servers))
	at := map[string]*Row{}
	for i, s := range t.Servers {
		rows[i] = Row{Server: s.ID, PerUser: s.PerUser, Calls: s.Calls, Total: s.Total, Listeners: s.Listeners}
		if s.Waiting > 0 {
			rows[i].State = Waking
		}
		at[s.ID] = &rows[i]
	}
	for _, instance := range up {
		row := at[instance.Key.Server]
		if row == nil {
			continue // the catalog has it no longer, and it is about to end
		}
		row.Instances++
		row.Memory += instance.Memory
		switch {
		case !instance.Ready:
			row.State = Waking
		case row.State == Asleep:
			row.State = Awake
		}
	}
	return rows
}

// Looker asks a gateway and its deployer what they do. It must not be used concurrently.
type Looker struct {
	gateway  string // the socket of its status
	socket   string // that deployer asks
	deployer *deploy.Client
}

// NewLooker returns a Looker for the gateway that serves its status on a socket.
func NewLooker(gateway string) *Looker { return &Looker{gateway: gateway} }

// patience is how long the deployer may take to answer.
const patience = 2 * time.Second

// Look returns the rows as they are now.
func (l *Looker) Look(ctx context.Context) ([]Row, error) {
	t, err := traffic.Read(ctx, l.gateway)
	if err != nil {
		return nil, err
	}
	if l.deployer == nil || l.socket != t.Deployer {
		l.socket, l.deployer = t.Deployer, deploy.NewClient(t.Deployer)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	up, err := l.deployer.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the deployer: %w", err)
	}
	return makeRows(t, up), nil
}
