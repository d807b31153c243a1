package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/proxytest"
)

// patience is how long one client may take for all it does.
const patience = 2 * time.Minute

// recordsLate is how long records may be on their way to their file.
const recordsLate = 5 * time.Second

// recordsFollow is longer than the shim waits for more of them before it brings some: what came after a call is there then, and
// not taken for the next visit's.
const recordsFollow = 400 * time.Millisecond

// visit is one client at one server.
type visit struct {
	system   *proxytest.System
	programs programs
	server   server
	client   client
	dir      string // for what the client leaves
	out      string // for what it prints
	setting  string // see setting.name
	signsIn  bool   // a library gets no token
	again    bool   // a second call follows, once the server sleeps

	token   string
	env     []string
	printed output
	before  int // records that are older
}

// row is a line of the table.
type row struct {
	server, client, era string
	outcome             outcome
	wrong               []string
}

// runOne runs a client at a server. What it printed is kept, and shown where it failed.
func runOne(ctx context.Context, v *visit) row {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := row{server: v.server.id + v.setting, client: v.client.name, era: "-"}
	records, err := v.observe(ctx, &r)
	if err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	for _, record := range records {
		if isCall(record) {
			r.era = record.Era
		}
	}
	text := v.hideToken(string(v.printed.bytes()))
	name := strings.NewReplacer(" ", "-", ",", "").Replace(r.server + " " + r.client)
	if err := os.WriteFile(filepath.Join(v.out, name+".log"), []byte(text), 0o600); err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	for i := range r.wrong {
		r.wrong[i] = v.hideToken(r.wrong[i])
	}
	if len(r.wrong) > 0 {
		fmt.Printf("--- %s, what it printed:\n%s\n", name, text[max(0, len(text)-8<<10):])
	}
	return r
}

func (v *visit) observe(ctx context.Context, r *row) ([]audit.Record, error) {
	old, err := v.records()
	if err != nil {
		return nil, err
	}
	v.before = len(old)
	if v.token, err = v.system.Token(ctx, v.client.user, v.server.id); err != nil {
		return nil, err
	}
	v.env = []string{"TOKEN=" + v.token, "HOME=" + v.dir,
		"PATH=" + filepath.Dir(v.programs.node) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"MCP_REMOTE_CONFIG_DIR=" + filepath.Join(v.dir, "remote")}
	var visitErr error
	r.outcome, visitErr = v.client.visit(ctx, v)
	records, err := v.recordsOfCall(ctx)
	if visitErr == nil && err == nil {
		r.wrong = r.outcome.check(v.server, v.client)
		if v.again {
			r.wrong = append(r.wrong, r.outcome.checkAgain(v.server)...)
		}
		if v.system.Recorded() {
			r.wrong = append(r.wrong, checkRecords(v.server, v.client, records)...)
			if v.again {
				r.wrong = append(r.wrong, checkSession(records)...)
			}
		}
		if v.again {
			r.outcome.further = append(r.outcome.further, fmt.Sprintf("after its sleep %.30q", r.outcome.Again))
		}
	}
	return records, errors.Join(visitErr, err)
}

func (v *visit) url() string { return v.system.Resource(v.server.id) }

// run runs one program of the client's.
func (v *visit) run(ctx context.Context, args ...string) ([]byte, error) {
	c := command{args: args, env: v.env, out: &v.printed}
	return c.run(ctx)
}

// records are those of this visit.
func (v *visit) records() ([]audit.Record, error) { return v.system.Records(v.server.id, v.before) }

// recordsOfCall are those of this visit when that of each call is among them, or it does not come. The shim has them in time, and
// brings them a little later.
func (v *visit) recordsOfCall(ctx context.Context) ([]audit.Record, error) {
	if !v.system.Recorded() {
		return nil, nil
	}
	late, calls := time.After(recordsLate), 1
	if v.again {
		calls = 2
	}
	for {
		records, err := v.records()
		came := 0
		for _, r := range records {
			if isCall(r) {
				came++
			}
		}
		if err != nil {
			return nil, err
		}
		if came >= calls {
			time.Sleep(recordsFollow)
			return v.records()
		}
		select {
		case <-late:
			return records, nil
		case <-ctx.Done():
			return records, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// awaitSleep waits until the server sleeps that the visit's first call had woken.
func (v *visit) awaitSleep(ctx context.Context) error {
	for woken := false; ; {
		asleep, err := v.system.Asleep(ctx, v.server.id)
		if err != nil || asleep && woken {
			return err
		}
		switch {
		case woken:
		case v.system.Recorded():
			records, err := v.records()
			if err != nil {
				return err
			}
			woken = slices.ContainsFunc(records, isCall)
		default:
			woken = !asleep
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait until the server sleeps: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func isCall(r audit.Record) bool { return r.CallType == "tools/call" }

// hideToken keeps a credential out of logs, development or not.
func (v *visit) hideToken(text string) string {
	if v.token == "" {
		return text
	}
	return strings.ReplaceAll(text, v.token, "TOKEN")
}

func (r row) line() string {
	verdict := "ok"
	if len(r.wrong) > 0 {
		verdict = "FAIL"
	}
	result := strings.Join(append([]string{fmt.Sprintf("%.30q", r.outcome.Text)}, r.outcome.further...), ", ")
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s\t%s", r.server, r.client, r.era, len(r.outcome.Tools), result, r.outcome.times(), verdict)
}

// printTable prints all rows and why those that failed did, and returns how many did.
func printTable(w io.Writer, rows []row) (failed int) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\nserver\tclient\tera\ttools\tresult\tprogress after\t")
	for _, r := range rows {
		fmt.Fprintln(table, r.line())
	}
	table.Flush()
	for _, r := range rows {
		if len(r.wrong) > 0 {
			failed++
		}
		for _, wrong := range r.wrong {
			fmt.Fprintf(w, "%s, %s: %s\n", r.server, r.client, wrong)
		}
	}
	return failed
}
