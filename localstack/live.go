package localstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"

	"mcpgateway/localstack/table"
)

// refresh is how often the table looks what the system does.
const refresh = time.Second

// statusSocket is where the gateway of a state folder says what is under way.
func statusSocket(state string) string { return filepath.Join(state, "gateway.sock") }

// takeScreen has all that is written go to a terminal with a table, where out is one that can show it.
func (s *stack) takeScreen() {
	terminal, ok := s.Out.(*os.File)
	if s.Plain || s.Lambda != nil || !ok || !table.Supported(terminal) {
		return
	}
	s.screen = table.NewScreen(terminal)
	s.Out = s.screen
	if log, ok := s.Log.(*os.File); ok && table.Same(log, terminal) {
		s.Log = s.screen
	}
}

// watch shows what the servers do until ctx ends. Where there is no terminal to show it on, it only waits.
func (s *stack) watch(ctx context.Context) {
	if s.screen == nil {
		<-ctx.Done()
		return
	}
	defer s.screen.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	again := time.NewTicker(refresh)
	defer again.Stop()
	look := table.NewLooker(statusSocket(s.State))
	var rows []table.Row
	for {
		note := ""
		if now, err := look.Look(ctx); err == nil {
			rows = now
		} else {
			note = "(as it was: gateway or deployer does not answer)"
		}
		if ctx.Err() != nil {
			return
		}
		s.screen.Show(func(style table.Style) []string { return table.Lines(rows, note, style) })
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			if sig == syscall.SIGCONT {
				s.screen.Resume()
			}
		case <-again.C:
		}
	}
}

// Status prints once what the servers do of the system that runs on a state folder.
func Status(ctx context.Context, state string, out io.Writer) error {
	rows, err := rowsOf(ctx, state)
	if err != nil {
		return err
	}
	var style table.Style
	if terminal, ok := out.(*os.File); ok && table.Supported(terminal) {
		if width, _, err := term.GetSize(int(terminal.Fd())); err == nil {
			style = table.Style{Width: width, Color: os.Getenv("NO_COLOR") == ""}
		}
	}
	for _, line := range table.Lines(rows, "", style) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// StatusJSON is Status for programs: a list in JSON, with an object for each server.
func StatusJSON(ctx context.Context, state string, out io.Writer) error {
	rows, err := rowsOf(ctx, state)
	if err != nil {
		return err
	}
	type server struct {
		ID        string `json:"id"`
		PerUser   bool   `json:"perUser"`
		State     string `json:"state"`
		Instances int    `json:"instances"` // that are up or start
		Calls     int64  `json:"calls"`     // under way
		Total     int64  `json:"total"`     // since the gateway's start
		Listeners int64  `json:"listeners"`
		Memory    int64  `json:"memory,omitempty"` // in bytes, where it is known
	}
	list := make([]server, 0, len(rows))
	for _, r := range rows {
		list = append(list, server{r.Server, r.PerUser, r.State.String(), r.Instances, r.Calls, r.Total, r.Listeners, r.Memory})
	}
	text := json.NewEncoder(out)
	text.SetIndent("", "  ")
	return text.Encode(list)
}

// rowsOf asks the system that runs on a state folder.
func rowsOf(ctx context.Context, state string) ([]table.Row, error) {
	rows, err := table.NewLooker(statusSocket(state)).Look(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nothing runs in %s: start it with mcpgateway run, or name another folder with --state", state)
	}
	return rows, err
}
