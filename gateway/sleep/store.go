package sleep

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"time"
)

const (
	// Refresh is how often the end of the records of living sessions is put off.
	Refresh = 6 * time.Hour
	// timeout bounds one command.
	timeout = 5 * time.Second
	// writers is how many items are written at a time.
	writers = 4
)

// Store has records written. Its methods may be called from any goroutine.
type Store struct {
	keeper Keeper
	owed   owed
	losses losses

	mu     sync.Mutex
	queue  []*Item
	wake   sync.Cond // L is mu
	closed bool
	end    chan struct{}

	writing sync.WaitGroup
	once    sync.Once     // closes written
	written chan struct{} // nobody writes any more but what is owed
	done    sync.WaitGroup
}

// New starts the writers; Close ends them. refresh is called several times in each Refresh, to put off the end of what
// living sessions have stored.
func New(keeper Keeper, refresh func()) *Store {
	s := &Store{keeper: keeper, owed: owed{records: map[string]owedRecord{}, wake: make(chan struct{}, 1)},
		losses: losses{at: map[string]time.Time{}, wake: make(chan struct{}, 1)}, end: make(chan struct{})}
	s.wake.L, s.written = &s.mu, make(chan struct{})
	for range writers {
		s.writing.Go(s.write)
	}
	s.done.Go(func() { s.pay(s.written) })
	s.done.Go(s.tellLosses)
	s.done.Go(func() {
		ticker := time.NewTicker(Refresh / 6)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				refresh()
			case <-s.end:
				return
			}
		}
	})
	return s
}

// Close returns when all that was queued has been written, or could not be.
func (s *Store) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.end)
	}
	s.wake.Broadcast()
	s.mu.Unlock()
	s.writing.Wait()
	s.once.Do(func() { close(s.written) })
	s.done.Wait()
}

// Kept is a record as it was kept.
type Kept struct {
	Data    []byte // nil: nothing is kept
	Older   bool   // it may be older than what was kept last
	written time.Time
	lost    map[string]time.Time
}

// Outdated reports whether a broker was lost since the record was written. It may have come back with an older state.
func (k *Kept) Outdated(broker string) bool { return k.lost[broker].After(k.written) }

// Load reads a record.
func (s *Store) Load(ctx context.Context, id string) (Kept, error) {
	r, known, err := s.owed.word(ctx, id)
	if err != nil {
		return Kept{}, err
	}
	stored := Stored{Data: r.data}
	if !known {
		if stored, err = s.keeper.Load(ctx, id); err != nil {
			return Kept{}, err
		}
	}
	if stored.Data == nil {
		return Kept{}, nil
	}
	k := Kept{Older: stored.Older, lost: s.losses.and(stored.Lost)}
	k.written, k.Data = readHead(stored.Data)
	return k, nil
}

// Keep writes a record, to end after ttl, within some seconds. After an error it is owed: written later, as long as
// there is room for what is owed, and no newer word.
func (s *Store) Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error {
	s.owed.begin(id)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	data = addHead(time.Now(), data)
	err := s.keeper.Keep(ctx, id, data, ttl)
	if err != nil {
		s.owed.owe(id, owedRecord{data, ttl}, true)
	}
	return err
}

// addHead puts before a record when it was written: the time in ms, and a blank.
func addHead(written time.Time, data []byte) []byte {
	return append(append(strconv.AppendInt(nil, written.UnixMilli(), 10), ' '), data...)
}

// readHead takes that off again.
func readHead(text []byte) (written time.Time, data []byte) {
	head, data, _ := bytes.Cut(text, []byte{' '})
	ms, _ := strconv.ParseInt(string(head), 10, 64) // what is not readable is old
	return time.UnixMilli(ms), data
}

// Forget removes a record, if there is one; likewise.
func (s *Store) Forget(ctx context.Context, id string) error {
	s.owed.begin(id)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.keeper.Forget(ctx, id)
	if err != nil {
		s.owed.owe(id, owedRecord{}, true)
	}
	return err
}

// ForgetSoon removes a record, if there is one, together with others and without waiting for that.
func (s *Store) ForgetSoon(id string) { s.owed.owe(id, owedRecord{}, false) }

// Item is one MQTT Session whose record is written.
type Item struct {
	store *Store
	later func()

	queued bool // guarded by store.mu

	mu    sync.Mutex
	ended chan struct{} // closed when the write that is under way has ended; nil: none is
	again bool          // then there is to be another
}

// Item makes an item that later writes when it is asked for by Later.
func (s *Store) Item(later func()) *Item { return &Item{store: s, later: later} }

// Later has the item written soon: as it is then, or newer.
func (i *Item) Later() {
	s := i.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.queued {
		return
	}
	i.queued = true
	s.queue = append(s.queue, i)
	s.wake.Signal()
}

// Do calls write when no other write of the item runs, and keeps others from it until that returns.
func (i *Item) Do(write func()) {
	for !i.begin(false) {
		i.mu.Lock()
		ended := i.ended
		i.mu.Unlock()
		if ended != nil {
			<-ended
		}
	}
	defer i.finish()
	write()
}

// begin reports whether a write may run now. If another does, and again is set, there will be one more after it.
func (i *Item) begin(again bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended != nil {
		i.again = i.again || again
		return false
	}
	i.ended = make(chan struct{})
	return true
}

func (i *Item) finish() {
	i.mu.Lock()
	again := i.again
	close(i.ended)
	i.ended, i.again = nil, false
	i.mu.Unlock()
	if again {
		i.Later()
	}
}

// write writes what is queued, until the store is closed. It waits for no write of somebody else's.
func (s *Store) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		if len(s.queue) == 0 {
			return
		}
		item := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		item.queued = false
		s.mu.Unlock()
		if item.begin(true) {
			item.later()
			item.finish()
		}
		s.mu.Lock()
	}
}
