package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// tidyEvery is how often tidier looks.
	tidyEvery = 5 * time.Second
	// tidyAfter is how many bytes have to be allocated for tidying to be worth its while.
	tidyAfter = 16 << 20
	// quietBytes is what may be allocated between two looks of a process that is quiet.
	quietBytes = 4 << 20
)

// tidier gives back what a burst of connecting, or of ending, has left: garbage, buffers in pools (which two
// collections empty), stacks of goroutines that have ended, pages that are free and still the process's.
// Forwarding allocates nothing, so in a process that has become quiet all this would stay until the collection
// that Go forces every two minutes, and the pages for ever: as many may be free as before that collection.
//
// (Collecting more often from the start, by a lower GOGC, would leave less to be given back, for 1 to 3 KiB a
// session; but it makes connecting more expensive by a fifth to a half.)
type tidier struct {
	allocated func() uint64 // bytes in all since the process began
	tidy      func()

	seen   uint64 // allocated at the last look
	tidied uint64 // allocated when it was last tidied up
}

func newTidier() *tidier {
	return &tidier{allocated: allocatedBytes, tidy: func() {
		runtime.GC()
		debug.FreeOSMemory() // collects too
	}}
}

// ballastBytes is how much more than what lives is counted as living when Go decides when to collect next. Without it
// a gateway that has few sessions, and so little that lives, collects at each few megabytes while clients connect. The
// ballast is never written to, so it takes no memory; the garbage that it allows for is tidied up.
const ballastBytes = 16 << 20

// run looks until ctx ends.
func (t *tidier) run(ctx context.Context) error {
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			t.look()
		}
	}
}

// look tidies up when much has happened since it last did so, and next to nothing since the last look.
func (t *tidier) look() {
	allocated := t.allocated()
	quiet := allocated-t.seen < quietBytes
	t.seen = allocated
	if !quiet || allocated-t.tidied < tidyAfter {
		return
	}
	t.tidy()
	t.seen = t.allocated()
	t.tidied = t.seen
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
