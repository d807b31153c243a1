package bridge

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mcpgateway/internal/procgroup"
)

// Pauses while orphans are looked after.
const (
	orphanPause = 100 * time.Millisecond // between two looks at all processes, which take milliseconds each
	orphanGrace = time.Second            // for all to be gone when the bridge stops
)

// adopt looks after processes whose parent ended, until ctx does. A server may leave some of them behind in a session of
// their own.
func (s *starts) adopt(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ended:
			s.tidy()
			time.Sleep(orphanPause)
		case <-ctx.Done():
			return
		}
	}
}

// tidy waits for orphans that have ended, and kills the others when no child is left: whose they are cannot be told while
// there are several. It returns how many there were: theirs are ours after that. Children start under the same lock, so
// that none is taken for an orphan.
func (s *starts) tidy() (found int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	children := map[int]bool{}
	for p := range s.alive {
		select {
		case <-p.process.exited: // and was waited for
		default:
			children[p.process.group.PID()] = true
		}
	}
	for _, orphan := range procgroup.ReadTree()[os.Getpid()] {
		if children[orphan.PID] {
			continue
		}
		if len(children) == 0 {
			_ = syscall.Kill(orphan.PID, syscall.SIGKILL) // its number is its own until it is waited for
		}
		_, _ = syscall.Wait4(orphan.PID, nil, syscall.WNOHANG, nil)
		found++
	}
	return found
}

// endOrphans returns when none is left, or after some time.
func (s *starts) endOrphans() {
	for deadline := time.Now().Add(orphanGrace); s.tidy() > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}
