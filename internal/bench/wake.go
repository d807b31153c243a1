package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mcpgateway/internal/measure"
)

// What the project allows.
const (
	maxShimMB   = 35  // the program, with all that governs
	maxMemoryMB = 35  // of a shim that does nothing
	maxWakeMS   = 150 // from a call to its answer's first byte
)

// idleFor is how long the shim rests before its memory is read.
const idleFor = 3 * time.Second

// footprint measures the shim's program and its memory at rest. The shim has answered a few calls by then.
func (s *systems) footprint(ctx context.Context, p *measure.Printer, bin string) error {
	program, err := os.Stat(filepath.Join(bin, "shim"))
	if err != nil {
		return err
	}
	head(p)
	p.Single("shim program, MB", float64(program.Size())/1e6, maxShimMB)
	if err := measure.Pause(ctx, idleFor); err != nil {
		return err
	}
	all, anonymous, err := residentMB(s.shim)
	if err != nil {
		return err
	}
	p.Single("shim memory at rest, MB", all, maxMemoryMB)
	p.Note("%.2f MB of it are not the program's file", anonymous)
	return nil
}

// memory prints what the shim occupies now.
func (s *systems) memory(p *measure.Printer, name string) error {
	all, _, err := residentMB(s.shim)
	if err != nil {
		return err
	}
	p.Single(name, all, 0)
	return nil
}

// wake measures how long a call to a sleeping server takes until the first byte of its answer. Gateway and deployer run.
func (s *systems) wake(ctx context.Context, p *measure.Printer, samples int) error {
	if samples < 1 {
		return nil
	}
	took := make([]time.Duration, samples)
	for i := range took {
		if err := s.awaitSleep(ctx); err != nil {
			return err
		}
		began := time.Now()
		firstByte, err := s.sleeper.FirstByte(ctx)
		if err != nil {
			return fmt.Errorf("wake %d: %w", i+1, err)
		}
		took[i] = firstByte.Sub(began)
	}
	p.Single(fmt.Sprintf("wake, median of %d, ms", samples), measure.Quantile(took, 0.5).Seconds()*1e3, maxWakeMS)
	p.Single("wake, p95, ms", measure.Quantile(took, 0.95).Seconds()*1e3, maxWakeMS)
	p.Single("wake, longest, ms", measure.Quantile(took, 1).Seconds()*1e3, 0)
	return nil
}

// awaitSleep returns when no process of the sleeping server's group is left.
func (s *systems) awaitSleep(ctx context.Context) error { return s.awaitEnd(ctx, sleeperID) }

// awaitEnd returns when no process of a server's group is left.
func (s *systems) awaitEnd(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, sleepAfter+30*time.Second)
	defer cancel()
	for {
		left, err := findProcesses(s.program, "SHIM_SERVER="+id)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if err := measure.Pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the server does not fall asleep, processes %v are left: %w", left, err)
		}
	}
}
