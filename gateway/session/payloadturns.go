package session

import (
	"runtime"
	"sync"

	"topicgate/policy/fair"
)

// payloadTurns bound how many sessions work on long payloads at a time, so that half of the processors are left for
// all others. Users are served in turn, by bytes: who publishes from many sessions holds up nobody else. The zero
// value is ready for use.
type payloadTurns struct {
	mu      sync.Mutex
	waiting fair.Turns[*payloadTurn]
	users   map[string]*fair.Line[*payloadTurn] // by username, while somebody waits
	working int
}

// payloadTurn is one that is waited for.
type payloadTurn struct {
	given chan struct{} // closed when it is
	bytes int

	// Guarded by payloadTurns.mu.
	isGiven, isOver bool
}

func payloadWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// begin takes a turn for so many bytes of a user's. Nil: it is given at once. Who has one calls end.
func (t *payloadTurns) begin(username string, bytes int) *payloadTurn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.working < payloadWorkers() {
		t.working++
		return nil
	}
	if t.users == nil {
		t.users = make(map[string]*fair.Line[*payloadTurn])
	}
	line := t.users[username]
	if line == nil {
		line = &fair.Line[*payloadTurn]{}
		t.users[username] = line
	}
	turn := &payloadTurn{given: make(chan struct{}), bytes: bytes}
	t.waiting.Add(line, turn)
	return turn
}

// end gives a turn to whoever is next.
func (t *payloadTurns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked()
}

func (t *payloadTurns) endLocked() {
	for !t.waiting.Empty() {
		turn := t.waiting.Take(func(turn *payloadTurn) int { return turn.bytes })
		if !turn.isOver {
			turn.isGiven = true
			close(turn.given)
			return
		}
	}
	t.waiting, t.users = fair.Turns[*payloadTurn]{}, nil
	t.working--
}

// giveUp is for who does not wait any more, and may have been given the turn meanwhile.
func (t *payloadTurns) giveUp(turn *payloadTurn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn.isOver = true; turn.isGiven {
		t.endLocked()
	}
}
