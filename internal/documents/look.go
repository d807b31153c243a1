package documents

import (
	"context"
	"os"
	"time"
)

// Every is how often the files are looked at. Looking is a stat for each: a mounted file tells nobody that it changed.
// A change is taken at the second look that finds it, since the first may find half of it.
const Every = 500 * time.Millisecond

// Watch looks at the files every so often until ctx ends, and at once at every signal on now.
func (k *Keeper) Watch(ctx context.Context, every time.Duration, now <-chan os.Signal) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.look()
		case <-now:
			k.Look()
		}
	}
}

// Look reads the files now, and returns when what they hold is in force or refused. Whoever asks for it says that they
// are whole; should they not be, the next look finds that out.
func (k *Keeper) Look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen, k.settled = nil, false
	if read := k.read(); read != k.decided {
		k.decide(read)
	}
}

// look takes a change that it has seen before.
func (k *Keeper) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := k.see()
	same := seen.equal(k.seen)
	if same && k.settled {
		return
	}
	k.seen, k.settled = seen, same && !seen.young(time.Now())
	switch read := k.read(); {
	case read == k.decided:
		k.awaiting = digest{}
	case read != k.awaiting:
		k.awaiting, k.settled = read, false
	default:
		k.decide(read)
	}
}

// decide takes what was read, unless it changed since: then another look decides.
func (k *Keeper) decide(read digest) {
	if k.follow() {
		read = k.read() // with the catalog that is named now, where a mistake in it is mended too
	}
	k.take()
	k.awaiting = digest{}
	if k.read() == read {
		k.decided = read
		return
	}
	k.decided, k.settled = digest{}, false
}
